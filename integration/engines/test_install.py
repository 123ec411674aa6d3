"""`pyrunc install`: each engine reads what was written, where it looks by itself, and runs a container by that name.

In the namespaces of the place, the directories in /etc that engines read are the test's.  CRI-O is not in Debian.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from integration.engines import image as images
from integration.engines import network
from integration.engines.conftest import need
from integration.engines.image import NAME
from integration.harness import leaks
from integration.harness.machine import SCRATCH
from integration.harness.runtime import wait_for

if TYPE_CHECKING:
    from integration.engines.place import Place

pytestmark = pytest.mark.pyrunc_only("has no such command")
need("dockerd", "containerd", "podman", "runc")

ETC = ("/etc/containerd", "/etc/docker", "/etc/containers")
# What engines keep there is shared with others on this machine.
SHARED = ("/run/containerd", "/run/docker", "/run/containers", "/run/libpod", "/run/crun", "/dev/shm", "/var/lib/containers")
POLICY = '{"default": [{"type": "insecureAcceptAnything"}]}'
DOCKER = "/usr/bin/docker"
SECONDS = 600 if SCRATCH.is_mount() else 60


@pytest.fixture(scope="module")
def etc(place: Place) -> Path:
    """Return the directory that is /etc to engines, as far as they look there."""
    top = place.directory / "etc"
    for path in ETC:
        made = top / path.removeprefix("/etc/")
        made.mkdir(parents=True)
        place.run("sh", "-c", f"mkdir -p {path} && mount --bind {made} {path}")
    for path in SHARED:
        place.run("sh", "-c", f"mkdir -p {path} && mount -t tmpfs -o mode=711 tmpfs {path}")
    return top


@pytest.fixture
def install(place: Place, binary: str):
    """Return a function that runs `pyrunc install` there, and returns what it said."""

    def run(*words: str) -> str:
        return str(place.run(binary, "install", *words).stdout)

    return run


def take_back(place: Place, binary: str, said: str) -> None:
    """Run the command that was said to take it back."""
    (line,) = [line for line in said.splitlines() if line.startswith("take back:")]
    program, *words = line.removeprefix("take back:").split()
    assert program == "pyrunc"
    place.run(binary, *words)


# Docker


@pytest.fixture
def dockerd(place: Place, etc: Path):
    """Return a client, what starts a dockerd that reads /etc/docker/daemon.json, and that file."""
    where = place.directory / "docker"
    where.mkdir()
    settings = {
        "hosts": [f"unix://{where}/docker.sock"],
        "data-root": f"{where}/data",
        "exec-root": f"{where}/exec",
        "pidfile": f"{where}/pid",
        "storage-driver": "vfs",
        "iptables": False,
        "bridge": "none",
    }
    file = etc / "docker/daemon.json"
    file.write_text(json.dumps(settings, indent=2))

    def docker(*words, **options):
        return place.run(DOCKER, "-H", settings["hosts"][0], *words, timeout=SECONDS, **options)

    daemons = []

    def start():
        while daemons:
            place.stop(daemons.pop())
        daemons.append(place.daemon("dockerd", ready=lambda: docker("info", check=False).returncode == 0))
        return daemons[0]

    yield docker, start, file
    for daemon in daemons:
        place.stop(daemon)


def reload(daemon, place: Place) -> None:
    """Do what `systemctl reload docker` does."""
    log = place.directory / "dockerd.log"
    before = log.read_text().count("Reloaded configuration")
    daemon.send_signal(signal.SIGHUP)
    wait_for(lambda: log.read_text().count("Reloaded configuration") > before, "dockerd to read its configuration", seconds=SECONDS)


def test_docker(place, dockerd, install, image, binary):
    docker, start, file = dockerd
    before = file.read_bytes()
    daemon = start()
    assert "Loaded image" in docker("load", "--input", image).stdout
    refused = docker("run", "--rm", "--network=none", "--runtime", "pyrunc", NAME, "true", check=False)
    assert refused.returncode == 125, refused

    said = install("docker", "--default")
    assert f"done:      Docker knows \"pyrunc\" as {binary}, its default\n" in said
    assert "next:      systemctl reload docker\n" in said
    reload(daemon, place)
    info = json.loads(docker("info", "--format", "{{json .}}").stdout)
    assert info["Runtimes"]["pyrunc"]["path"] == binary
    assert info["DefaultRuntime"] == "pyrunc"
    for option in ("--runtime=pyrunc", "--name=by-default"):
        kept = ["run", "--network=none", option, "--detach", NAME, "sleep", "1000"]
        container = docker(*kept).stdout.strip()
        assert docker("inspect", "--format", "{{.HostConfig.Runtime}}", container).stdout.strip() == "pyrunc"
        # 20.10 calls the directory by its own default, whatever the runtime.
        (root,) = (place.directory / "docker/exec").glob("runtime-*/moby")
        state = json.loads(place.run(binary, "--root", root, "state", container).stdout)
        assert state["status"] == "running"
        docker("rm", "--force", container)

    take_back(place, binary, said)
    assert file.read_bytes() == before
    start()
    assert "pyrunc" not in json.loads(docker("info", "--format", "{{json .Runtimes}}").stdout)


# Podman


@pytest.fixture
def podman(place: Place, etc: Path):
    """Return Podman with a storage of its own, which reads /etc/containers."""
    (etc / "containers/policy.json").write_text(POLICY)
    where = place.directory / "podman"
    # No default limits: root may lack CAP_SYS_RESOURCE, and then cannot raise any.
    (etc / "containers/containers.conf").write_text(
        '[containers]\ndefault_ulimits = ["nofile=512:1024", "nproc=512:1024"]\ndefault_sysctls = []\n'
        f'[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\nlock_type = "file"\ntmp_dir = "{where}/tmp"\n'
        f'static_dir = "{where}/root/libpod"\nvolume_path = "{where}/root/volumes"\n'
        f'[engine.runtimes]\nother = ["{shutil.which("runc")}"]\n'
    )
    (etc / "containers/storage.conf").write_text(
        # A short one: with more than 50 characters Podman's own cleanup fails, and each `run` waits 20 s for it.
        f'[storage]\ndriver = "vfs"\ngraphroot = "{where}/root"\nrunroot = "/run/containers/storage"\n'
    )
    return lambda *words, **options: place.run("podman", *words, timeout=SECONDS, **options)


def test_podman(place, podman, etc, install, image, binary):
    podman("load", "--input", image)
    refused = podman("--runtime", "pyrunc", "run", "--rm", "--network=none", NAME, "true", check=False)
    assert refused.returncode == 125, refused

    said = install("podman")
    assert "try it:    podman --runtime pyrunc run --rm hello-world\n" in said
    done = podman("--runtime", "pyrunc", "run", "--rm", "--network=none", NAME, "echo", "from inside")
    assert done.stdout == "from inside\n"
    runtime = ["info", "--format", "{{.Host.OCIRuntime.Name}} {{.Host.OCIRuntime.Path}}"]
    assert podman("--runtime", "pyrunc", *runtime).stdout == f"pyrunc {binary}\n"
    assert "pyrunc" not in podman(*runtime).stdout
    assert podman("--runtime", "other", *runtime).stdout.startswith("other /")  # what others have written still counts

    assert "its default" in install("podman", "--default")
    assert podman(*runtime).stdout == f"pyrunc {binary}\n"
    assert podman("run", "--rm", "--network=none", NAME, "sh", "-c", "exit 3", check=False).returncode == 3
    missing = podman("run", "--rm", "--network=none", NAME, "no-such-program", check=False)
    assert missing.returncode == 127, missing
    assert "executable file not found in $PATH" in missing.stderr
    take_back(place, binary, said)
    assert list((etc / "containers/containers.conf.d").iterdir()) == []
    assert "pyrunc" not in podman(*runtime).stdout


# containerd

CRI = "io.containerd.grpc.v1.cri"
STATES = "/run/containerd/runc/k8s.io"
# As Debian's package has it: a section about the plugin, without a word about runtimes.
SECTION = '[plugins."io.containerd.grpc.v1.cri".cni]\n  bin_dir = "/usr/lib/cni"\n  conf_dir = "{where}/cni"\n'


@pytest.fixture
def containerd(place: Place, etc: Path):
    """Return a function that starts containerd with /etc/containerd/config.toml, and returns its plugins and configuration."""
    where = place.directory / "containerd"
    where.mkdir(exist_ok=True)
    file = etc / "containerd/config.toml"
    head = f'version = 2\nroot = "{where}/root"\nstate = "{where}/state"\n'
    file.write_text(f'{head}[grpc]\n  address = "{where}/sock"\n{SECTION.format(where=where)}')

    def start() -> tuple[str, str]:
        ctr = ("ctr", "--address", where / "sock")
        daemon = place.daemon("containerd", ready=lambda: place.run(*ctr, "version", check=False).returncode == 0)
        try:
            return place.run(*ctr, "plugins", "ls").stdout, place.run("containerd", "config", "dump").stdout
        finally:
            place.stop(daemon)

    return start, file


def cri(plugins: str) -> str:
    """Return the state of the CRI plugin."""
    (line,) = [line for line in plugins.splitlines() if line.split()[:2] == ["io.containerd.grpc.v1", "cri"]]
    return line.split()[-1]


def table(dump: str, name: str) -> dict[str, object]:
    """Return what the configuration that containerd made of its files says about the CRI plugin's NAME."""
    import tomllib

    found = tomllib.loads(dump)["plugins"][CRI]
    return found["containerd"] if name == "containerd" else found[name]


@pytest.mark.parametrize("options", [(), ("--default",)], ids=["added", "default"])
def test_containerd(place, containerd, install, binary, options):
    start, file = containerd
    before = file.read_bytes()
    said = install("containerd", *options)
    plugins, dump = start()
    assert cri(plugins) == "ok"
    runtimes = table(dump, "containerd")["runtimes"]
    assert sorted(runtimes) == ["pyrunc", "runc"]
    assert runtimes["pyrunc"]["options"]["BinaryName"] == binary
    assert runtimes["pyrunc"]["runtime_type"] == runtimes["runc"]["runtime_type"] == "io.containerd.runc.v2"
    assert table(dump, "containerd")["default_runtime_name"] == ("pyrunc" if options else "runc")
    assert table(dump, "cni")["bin_dir"] == "/usr/lib/cni"
    take_back(place, binary, said)
    assert file.read_bytes() == before


@pytest.fixture
def node(place: Place, containerd, image):
    """Return a function that starts a containerd that can run pods, for as long as the test takes, and returns what calls it."""
    grpc = pytest.importorskip("grpc", reason="not installed: grpcio")
    from integration.engines import cri as interface

    where, (_, file) = place.directory / "containerd", containerd
    settings = f'[plugins."{CRI}"]\n  sandbox_image = "{images.PAUSE}"\n  restrict_oom_score_adj = true\n'
    file.write_text(file.read_text() + settings)
    (where / "cni").mkdir(exist_ok=True)  # containerd makes it, if it was started before
    (where / "cni/10-pods.conflist").write_text(network.configuration(where / "addresses"))
    # Layers of layers need another file system than that of a container this may run in.
    place.run("sh", "-ec", f"mkdir -p {where}/root; mount -t tmpfs tmpfs {where}/root")
    with contextlib.ExitStack() as stack:

        def start():
            made = interface.Cri(where / "sock", SECONDS)
            stack.callback(made.channel.close)

            def ready():
                with contextlib.suppress(grpc.RpcError):
                    return all(condition.status for condition in made("Status").status.conditions)

            daemon = place.daemon("containerd", ready=ready)
            stack.callback(place.stop, daemon)
            for archive in (image, images.pause(where)):
                place.run("ctr", "--address", where / "sock", "--namespace", "k8s.io", "image", "import", archive)
            return made

        yield start
    place.run("umount", f"{where}/root")
    shutil.rmtree(where / "cni")


def test_containerd_runs_pods_by_the_handler(place, node, install, binary, tmp_path):
    """And beside them those of the default, runc, whose states are in the same directory."""
    from integration.engines.cri import HANDLER, Pods, refused

    said = install("containerd", "--name", "pyrunc-next", "--path", binary)
    cri = node()
    ours, others = Pods(cri, tmp_path, handler="pyrunc-next"), Pods(cri, tmp_path, handler="")
    ids = []
    try:
        for pods in (ours, others):
            pod = pods.pod()
            ids += [pod, pods.start(pod)]
            assert pods.says(ids[-1], "cat /data/file") == "from the image\n"
        assert cri("PodSandboxStatus", pod_sandbox_id=ids[0]).status.runtime_handler == "pyrunc-next"
        for runtime, pods, (pod, container) in ((binary, ours, ids[:2]), ("runc", others, ids[2:])):
            listed = json.loads(place.run(runtime, "--root", STATES, "list", "--format", "json").stdout)
            assert {row["id"]: row["status"] for row in listed} == {pod: "running", container: "running"}
            assert {row["id"]: row["pid"] for row in listed}[container] == pods.pid(container)
        assert f'no runtime for "{HANDLER}"' in refused(cri, "RunPodSandbox", config={"metadata": {"name": "a"}}, runtime_handler=HANDLER)
    finally:
        for pods in (ours, others):
            pods.end()
            leaks.take_away(Path(pods.cgroup).name)
    wait_for(lambda: not place.stays(), place.stays, what="all of it to end")
    take_back(place, binary, said)


def test_containerd_without_runc_does_not_start_its_plugin(containerd, install, binary):
    """What the lines about runc are for; and what a careless entry would do to a node."""
    start, file = containerd
    table = f'plugins."{CRI}".containerd.runtimes.pyrunc'
    file.write_text(file.read_text() + f'[{table}]\nruntime_type = "io.containerd.runc.v2"\n[{table}.options]\nBinaryName = "{binary}"\n')
    plugins, _ = start()
    assert cri(plugins) == "error"


def test_containerd_imports_replace_a_section(place, containerd, install, binary, etc):
    """Why there is no file of our own in an imported directory."""
    start, file = containerd
    (etc / "containerd/conf.d").mkdir(exist_ok=True)
    other = etc / "containerd/conf.d/pyrunc.toml"
    file.write_text('imports = ["/etc/containerd/conf.d/*.toml"]\n' + file.read_text())
    name = f'plugins."{CRI}".containerd.runtimes'
    other.write_text(f'[{name}.runc]\nruntime_type = "io.containerd.runc.v2"\n')
    _, dump = start()
    assert table(dump, "cni")["bin_dir"] != "/usr/lib/cni"
    said = install("containerd")
    assert "+++ /etc/containerd/conf.d/pyrunc.toml\n" in said
    plugins, dump = start()
    assert cri(plugins) == "ok"
    assert sorted(table(dump, "containerd")["runtimes"]) == ["pyrunc", "runc"]
    take_back(place, binary, said)
    other.unlink()
