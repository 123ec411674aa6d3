"""What the modules share: a place for the engine, and an image."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from integration.engines import image as images
from integration.engines.place import Place
from integration.engines.podman import FOREVER, Engine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all tests of a module that names QUICK ones as slow_vm, but for those."""
    for item in items:
        quick = getattr(getattr(item, "module", None), "QUICK", None)
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


def need(*programs: str) -> None:
    """Skip a module whose engine is not installed here."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)} (script/test installs them)", allow_module_level=True)
