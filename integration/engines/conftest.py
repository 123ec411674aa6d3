"""What the modules share: a place for the engine, and an image."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from integration.engines import image as images
from integration.engines.containerd import Boxes, Containerd
from integration.engines.docker import Docker
from integration.engines.place import SECONDS, Place
from integration.engines.podman import FOREVER, Engine
from integration.harness.runtime import wait_for
from integration.harness.screen import Screen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from integration.engines.cri import Cri, Pods


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all tests of a module that names QUICK ones as slow_vm, but for those."""
    for item in items:
        quick = getattr(getattr(item, "module", None), "QUICK", None) if "engines" in item.nodeid else None
        if quick is not None and item.nodeid.partition("::")[2].partition("[")[0] not in quick:
            item.add_marker(pytest.mark.slow_vm)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    made = Place(tmp_path_factory.mktemp("engine"))
    yield made
    made.close()


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the tar of an image with busybox, called images.NAME."""
    return images.archive(tmp_path_factory.mktemp("image") / "image.tar")


@pytest.fixture(scope="module")
def podman_engine(place: Place, binary: str, image: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Return Podman with both images, for all tests of a module; nothing may be left of their containers."""
    made = Engine("podman", place, binary)
    pause = images.archive(tmp_path_factory.mktemp("pause") / "pause.tar", images.PAUSE, Entrypoint=list(FOREVER), Cmd=[])
    for archive in (image, pause):
        made("load", "--input", archive)
    yield made
    made("pod", "rm", "--all", "--force", "--time=0")
    made("rm", "--all", "--force", "--time=0", "--volumes")
    made.check()


@pytest.fixture
def podman(podman_engine: Engine) -> Iterator[Engine]:
    """Return Podman for one test; what it names is removed after it."""
    yield podman_engine
    podman_engine.remove_used()


@pytest.fixture(scope="module")
def docker_engine(place: Place, binary: str, image: Path) -> Iterator[Docker]:
    """Return Docker's daemon with the image, for all tests of a module."""
    made = Docker(place, binary, place.directory / "docker")
    made.start()
    made("load", "--input", image)
    yield made
    made.stop()


@pytest.fixture
def docker(docker_engine: Docker) -> Iterator[Docker]:
    """Return the daemon for one test, after which its containers are removed."""
    yield docker_engine
    docker_engine.remove_used()


@pytest.fixture(scope="module")
def sleeper(docker_engine: Docker) -> Iterator[str]:
    """Return the name of a container of Docker's that sleeps, for tests that change nothing in it."""
    name = docker_engine.start_container("--hostname", "sleeper", "--env", "A=of the container")
    docker_engine.used.remove(name)
    yield name
    docker_engine("rm", "--force", name)


@pytest.fixture(scope="module")
def ctr_engine(place: Place, binary: str, image: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Containerd]:
    """Return containerd for ctr, with the image and one of another user (APP), for all tests of a module."""
    made = Containerd(place, binary)
    try:
        app = images.archive(tmp_path_factory.mktemp("app") / "image.tar", images.APP, User="app", WorkingDir="/data", Cmd=["id"])
        made.load(image, app)
        yield made
    finally:
        made.close()


@pytest.fixture
def box(ctr_engine: Containerd, tmp_path: Path) -> Iterator[Boxes]:
    """Return what makes containers with ctr for one test, which end with it."""
    made = Boxes(ctr_engine, tmp_path)
    yield made
    made.remove()


@pytest.fixture
def screen(box: Boxes) -> Callable[..., Screen]:
    """Run ctr with some words on a terminal."""
    return lambda *words: Screen(box.containerd.place.argv(*box.containerd.argv(*words)))


@pytest.fixture(scope="module")
def containerd(place: Place, binary: str, image: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Containerd]:
    """Return containerd with the container runtime interface and both images, for all tests of a module."""
    from integration.engines.cri import with_cri  # needs grpcio

    made = with_cri(place, binary)
    try:
        made.load(image, images.pause(tmp_path_factory.mktemp("pause")))
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def cri(containerd: Containerd) -> Iterator[Cri]:
    """Return what calls that interface."""
    from integration.engines.cri import Cri

    made = Cri(containerd.socket, SECONDS)

    def ready() -> bool:
        return all(condition.status for condition in made("Status").status.conditions)

    wait_for(ready, lambda: made("Status"), what="runtime and network to be ready")
    yield made
    made.channel.close()


@pytest.fixture
def pods(containerd: Containerd, cri: Cri, tmp_path: Path) -> Iterator[Pods]:
    """Return what makes pods for one test, which end with it."""
    from integration.engines.cri import Pods

    made = Pods(cri, tmp_path, containerd)
    yield made
    made.remove()


@pytest.fixture
def pod(pods: Pods) -> str:
    """Return the id of a pod."""
    return pods.pod()


def need(*programs: str) -> None:
    """Skip a module whose engine is not installed here."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)} (script/test installs them)", allow_module_level=True)
