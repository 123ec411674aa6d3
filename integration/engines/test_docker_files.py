"""Docker: volumes, file systems, copies and images."""

from __future__ import annotations

import os
import tarfile

import pytest

from integration.engines.conftest import need
from integration.engines.docker import CLIENT, IMAGE

need("dockerd", "containerd", CLIENT, "docker-init")

QUICK = ()
BAD_BUILD = "FROM pyrunc-test\nRUN exit 9\n"
GOOD_BUILD = """\
FROM pyrunc-test
ENV MADE=yes
RUN echo "made $MADE" >/made && mkdir /work
WORKDIR /work
USER app
RUN id -u >/tmp/who && pwd >>/tmp/who
COPY context.txt /copied
CMD ["cat", "/made", "/tmp/who", "/copied"]
"""


def test_a_directory_of_the_host(docker, tmp_path):
    (tmp_path / "file").write_text("of the host\n")
    assert docker.inside("cat /v/file; echo new >/v/written", "--volume", f"{tmp_path}:/v") == "of the host"
    assert (tmp_path / "written").read_text() == "new\n"


def test_a_directory_to_read_only(docker, tmp_path):
    done = docker.run("touch /v/file", "--volume", f"{tmp_path}:/v:ro", check=False)
    assert done.returncode == 1
    assert "Read-only file system" in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_file_by_mount(docker, tmp_path):
    file = tmp_path / "file"
    file.write_text("one file\n")
    assert docker.inside("cat /etc/one", "--mount", f"type=bind,source={file},target=/etc/one,readonly") == "one file"


@pytest.mark.parametrize("mode", ["rslave", "rprivate"])
def test_mounts_that_come_later(docker, place, mode):
    """A mount that the host makes in a volume is seen by the container if propagation says so."""
    source = place.directory / f"propagation-{mode}"
    source.mkdir()
    place.run("mount", "--bind", source, source)
    place.run("mount", "--make-shared", source)
    (source / "sub").mkdir()
    name = docker.start_container("--volume", f"{source}:/v:{mode}")
    place.run("mount", "-t", "tmpfs", "later", source / "sub")
    seen = docker.exec(name, "grep -c ' /v/sub ' /proc/mounts || true")
    place.run("umount", source / "sub")
    docker("rm", "--force", name)
    place.run("umount", source)
    assert seen == ("1" if mode == "rslave" else "0")


def test_tmpfs(docker):
    options = ("--tmpfs", "/scratch:size=1m,mode=700,exec")
    line = docker.inside("grep ' /scratch ' /proc/mounts", *options).split()
    assert line[2] == "tmpfs"
    assert {"size=1024k", "mode=700", "nosuid", "nodev"} <= set(line[3].split(","))
    assert "noexec" not in line[3]


def test_a_named_volume(docker):
    name = docker.new_name()
    docker("volume", "create", name)
    docker.inside("echo kept >/v/file", "--volume", f"{name}:/v")
    assert docker.inside("cat /v/file", "--volume", f"{name}:/v:ro") == "kept"
    docker("volume", "rm", name)


def test_a_volume_begins_with_what_the_image_has(docker):
    name = docker.new_name()
    assert docker.inside("cat /data/file; echo more >>/data/file", "--volume", f"{name}:/data") == "from the image"
    assert docker.inside("cat /data/file", "--volume", f"{name}:/data") == "from the image\nmore"
    docker("volume", "rm", name)


def test_volumes_of_another_container(docker):
    first = docker.start_container("--volume", "/shared")
    docker.exec(first, "echo told >/shared/word")
    assert docker.inside("cat /shared/word", "--volumes-from", first) == "told"


def test_a_root_to_read_only(docker):
    done = docker.run("echo in >/tmp/file && cat /tmp/file; touch /file", "--read-only", "--tmpfs", "/tmp", check=False)
    assert done.stdout == "in\n"
    assert "Read-only file system" in done.stderr


def test_copying_in_and_out(docker, tmp_path):
    name = docker.start_container()
    (tmp_path / "in").write_text("from outside\n")
    docker("cp", tmp_path / "in", f"{name}:/tmp/in")
    docker.exec(name, "tr a-z A-Z </tmp/in >/tmp/out")
    docker("cp", f"{name}:/tmp/out", tmp_path / "out")
    assert (tmp_path / "out").read_text() == "FROM OUTSIDE\n"


def test_diff_and_commit(docker):
    name, made = docker.start_container(), f"{IMAGE}-committed-{os.getpid()}"
    docker.exec(name, "echo changed >/data/file; rm /bin/no-format; mkdir /new")
    assert {"C /data/file", "D /bin/no-format", "A /new"} <= set(docker.output("diff", name).splitlines())
    docker("commit", "--change", 'CMD ["cat", "/data/file"]', name, made)
    assert docker.output("run", "--rm", "--network=none", made) == "changed"
    docker("rmi", made)


def test_export_and_import(docker, tmp_path):
    name, made = docker.start_container(), f"{IMAGE}-imported-{os.getpid()}"
    docker.exec(name, "echo exported >/data/file")
    docker("export", "--output", tmp_path / "root.tar", name)
    with tarfile.open(tmp_path / "root.tar") as tar:
        assert tar.extractfile("data/file").read() == b"exported\n"
    docker("import", "--change", "ENV PATH=/bin", tmp_path / "root.tar", made)
    assert docker.output("run", "--rm", "--network=none", made, "cat", "/data/file") == "exported"
    docker("rmi", made)


def test_rename(docker):
    name, other = docker.start_container(), docker.new_name()
    docker("rename", name, other)
    assert docker.exec(other, "echo same") == "same"
    assert docker("inspect", name, check=False).returncode == 1


def build(docker, tmp_path, text):
    (tmp_path / "Dockerfile").write_text(text)
    (tmp_path / "context.txt").write_text("of the context\n")
    made = f"{IMAGE}-built-{os.getpid()}"
    return made, docker("build", "--network=none", "--force-rm", "--tag", made, tmp_path, check=False)


def test_build(docker, tmp_path):
    made, done = build(docker, tmp_path, GOOD_BUILD)
    assert done.returncode == 0, done.stdout + done.stderr
    assert docker.output("run", "--rm", "--network=none", made).split("\n") == ["made yes", "1000", "/work", "of the context"]
    docker("rmi", made)


def test_build_stops_at_a_step_that_fails(docker, tmp_path):
    _, done = build(docker, tmp_path, BAD_BUILD)
    assert done.returncode == 9
    assert "returned a non-zero code: 9" in done.stderr
