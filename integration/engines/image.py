"""A small image, made here: one tar that is an OCI layout and what `docker save` writes at once.

`ctr image import`, `podman load` and `docker load` all read it.  It holds busybox with its programs, a user `app`
(1000) who is also in group `extra` (2000), a directory /data of its own with a file, and three programs that cannot be run.
"""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any

BUSYBOX = Path("/bin/busybox")
NAME = "docker.io/library/pyrunc-test:latest"
PAUSE = "docker.io/library/pyrunc-pause:latest"
APP = "docker.io/library/pyrunc-test-app:latest"  # with a user and a directory of its own
ENV = ["PATH=/usr/local/bin:/bin", "FROM_IMAGE=yes"]
FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:app:/home/app:/bin/sh\n",
    "etc/group": "root:x:0:\napp:x:1000:\nextra:x:2000:app\n",
    "data/file": "from the image\n",
    "bin/not-executable": "#!/bin/sh\n",  # mode 0644
}
PROGRAMS = {"bin/no-format": "neither a program nor a script\n", "bin/no-interpreter": "#!/bin/missing\n"}
DIRECTORIES = {"root": 0o700, "tmp": 0o1777, "proc": 0o755, "sys": 0o755, "dev": 0o755, "run": 0o755, "home/app": 0o755}


def archive(path: Path, name: str = NAME, **config: Any) -> Path:
    """Write the image to PATH under NAME, with CONFIG in the words of the image specification, and return PATH."""
    layer = _layer()
    settings = {"Env": ENV, "Cmd": ["sh"], "WorkingDir": "/", **config}
    image = _json(
        architecture="amd64",
        os="linux",
        created="2024-01-01T00:00:00Z",
        config=settings,
        rootfs={"type": "layers", "diff_ids": ["sha256:" + _digest(layer)]},
        history=[{"created": "2024-01-01T00:00:00Z", "created_by": "pyrunc's tests"}],
    )
    kind = "application/vnd.oci.image."
    manifest = _json(
        schemaVersion=2,
        mediaType=kind + "manifest.v1+json",
        config=_descriptor(kind + "config.v1+json", image),
        layers=[_descriptor(kind + "layer.v1.tar", layer)],
    )
    top = _descriptor(kind + "manifest.v1+json", manifest)
    tag = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name.rpartition(":")[2]}
    index = _json(schemaVersion=2, manifests=[{**top, "annotations": tag}])
    blob = "blobs/sha256/"
    saved = {"Config": blob + _digest(image), "RepoTags": [name], "Layers": [blob + _digest(layer)]}
    with tarfile.open(path, "w") as tar:
        for content in (layer, image, manifest):
            _add(tar, blob + _digest(content), content)
        _add(tar, "oci-layout", _json(imageLayoutVersion="1.0.0"))
        _add(tar, "index.json", index)
        _add(tar, "manifest.json", json.dumps([saved]).encode())
    return path


def pause(directory: Path) -> Path:
    """Write to DIRECTORY the image of what holds a pod's namespaces, and return its path."""
    return archive(directory / "pause.tar", PAUSE, Entrypoint=["/bin/busybox", "sleep", "infinity"], Cmd=[])


def _layer() -> bytes:
    """Return the file system as a tar."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, mode in DIRECTORIES.items():
            _add(tar, name, b"", mode, tarfile.DIRTYPE)
        _add(tar, "bin/busybox", BUSYBOX.read_bytes(), 0o755)
        listed = subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True, check=True).stdout.split()
        for program in listed:
            if program != "busybox":
                _add(tar, f"bin/{program}", b"busybox", kind=tarfile.SYMTYPE)
        for name, text in FILES.items():
            _add(tar, name, text.encode())
        for name, text in PROGRAMS.items():
            _add(tar, name, text.encode(), 0o755)
    return buffer.getvalue()


def _add(tar: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644, kind: bytes = tarfile.REGTYPE) -> None:
    """Add one member; the CONTENT of a link is where it leads to."""
    member = tarfile.TarInfo(name)
    member.mode, member.type = mode, kind
    if kind == tarfile.SYMTYPE:
        member.linkname = content.decode()
    else:
        member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def _json(**members: Any) -> bytes:
    """Return an object of MEMBERS as JSON."""
    return json.dumps(members).encode()


def _digest(content: bytes) -> str:
    """Return the SHA-256 of CONTENT."""
    return hashlib.sha256(content).hexdigest()


def _descriptor(media_type: str, content: bytes) -> dict[str, Any]:
    """Return what the image specification calls a descriptor of CONTENT."""
    return {"mediaType": media_type, "digest": "sha256:" + _digest(content), "size": len(content)}
