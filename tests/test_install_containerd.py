"""`pyrunc install containerd`: the lines go where containerd heeds them, and nothing else changes its meaning."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from pyrunc.errors import StateError, UnsupportedError
from pyrunc.install import containerd
from tests.engine_files import FILES, PROGRAM, Machine

CRI = 'plugins."io.containerd.grpc.v1.cri"'
DEBIAN = f"""\
version = 2

[plugins]
  [{CRI}]
    [{CRI}.cni]
      bin_dir = "/usr/lib/cni"
"""


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def effective(machine: Machine, path: str = FILES["containerd"]) -> dict:
    return tomllib.loads(machine.text(path))["plugins"]["io.containerd.grpc.v1.cri"]["containerd"]


@pytest.mark.parametrize("text", [DEBIAN, DEBIAN.rstrip("\n"), DEBIAN.replace("\n", "\r\n"), "# nothing\n", DEBIAN + "\n\n\n"])
def test_containerd_keeps_what_is_there(machine: Machine, text: str):
    machine.put(FILES["containerd"], text)
    machine.add("containerd", default=True)
    after = machine.text(FILES["containerd"])
    assert after.startswith(text)
    assert not machine.add("containerd", default=True).changes
    machine.remove("containerd")
    assert machine.text(FILES["containerd"]) == text


def test_containerd_keeps_runc(machine: Machine):
    """A file that names a runtime replaces the built-in entry of runc, whose name is the default."""
    machine.put(FILES["containerd"], DEBIAN)
    machine.add("containerd")
    assert effective(machine)["runtimes"] == {
        "runc": {"runtime_type": "io.containerd.runc.v2"},
        "pyrunc": {"runtime_type": "io.containerd.runc.v2", "options": {"BinaryName": PROGRAM}},
    }


RUNC = f'[{CRI}.containerd.runtimes.runc]\nruntime_type = "io.containerd.runc.v2"\n[{CRI}.containerd.runtimes.runc.options]\n'


@pytest.mark.parametrize("systemd", [False, True])
def test_containerd_uses_the_cgroup_driver_of_its_default_runtime(machine: Machine, systemd: bool):
    machine.put(FILES["containerd"], f"{DEBIAN}{RUNC}SystemdCgroup = {str(systemd).lower()}\n")
    machine.add("containerd")
    runtimes = effective(machine)["runtimes"]
    assert runtimes["runc"]["options"] == {"SystemdCgroup": systemd}
    assert runtimes["pyrunc"]["options"] == {"BinaryName": PROGRAM} | ({"SystemdCgroup": True} if systemd else {})


def test_containerd_the_last_file_about_the_plugin_gets_the_lines(machine: Machine):
    """An import replaces all that earlier files say about a plugin."""
    machine.put(FILES["containerd"], 'imports = ["conf.d/*.toml", "/etc/other.toml", "/etc/absent.toml"]\n' + DEBIAN)
    other = f'[{CRI}]\nsandbox_image = "mine"\n'
    machine.put("/etc/containerd/conf.d/1.toml", other)
    machine.put("/etc/containerd/conf.d/2.toml", 'imports = ["/etc/containerd/config.toml"]\n' + other)
    machine.put("/etc/other.toml", "[debug]\nlevel = 'debug'\n")
    before = machine.files()
    assert machine.add("containerd").path == "/etc/containerd/conf.d/2.toml"
    assert sorted(effective(machine, "/etc/containerd/conf.d/2.toml")["runtimes"]) == ["pyrunc", "runc"]
    assert not machine.add("containerd").changes
    machine.remove("containerd")
    assert machine.files() == before


@pytest.mark.parametrize(
    ("text", "plugin"),
    [
        ("root = '/r'\n", "cri"),
        ("version = 1\n", "cri"),
        ("version = 2\n", "io.containerd.grpc.v1.cri"),
        ("version = 3\n", "io.containerd.cri.v1.runtime"),
        ("", "io.containerd.grpc.v1.cri"),
    ],
)
def test_containerd_versions(machine: Machine, text: str, plugin: str):
    machine.put(FILES["containerd"], text)
    machine.add("containerd")
    document = tomllib.loads(machine.text(FILES["containerd"]))
    assert "pyrunc" in document["plugins"][plugin]["containerd"]["runtimes"]
    assert document.get("version", 1) == (1 if plugin == "cri" else 3 if "v1.runtime" in plugin else 2)
    machine.remove("containerd")
    assert machine.files() == ({FILES["containerd"][1:]: text.encode()} if text else {})


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("version = 9\n", UnsupportedError, "/etc/containerd/config.toml is of version 9"),
        (f'{DEBIAN}[{CRI}.containerd]\ndefault_runtime_name = "x"\n', StateError, 'says default_runtime_name = "x" already'),
        (f'{DEBIAN}[{CRI}.containerd]\nsnapshotter = "native"\n', UnsupportedError, "so that nothing can be added at its end"),
        (f"{DEBIAN}[{CRI}.containerd.runtimes]\npyrunc = {{}}\n", StateError, 'has another runtime "pyrunc" already'),
        (f'version = 2\n[{CRI}]\ncontainerd = {{snapshotter = "native"}}\n', UnsupportedError, "nothing can be added"),
    ],
)
def test_containerd_refuses(machine: Machine, text: str, kind: type, said: str):
    machine.put(FILES["containerd"], text)
    error = machine.refuses("containerd", default=True)
    assert isinstance(error, kind)
    assert said in error.message


def test_containerd_what_others_need_stays(machine: Machine):
    """We began the file, or brought runc's entry; then somebody else relied on that."""
    machine.add("containerd")
    machine.add("containerd", name="second", path="/opt/second")
    machine.remove("containerd")
    document = tomllib.loads(machine.text(FILES["containerd"]))
    assert document["version"] == 2
    assert sorted(effective(machine)["runtimes"]) == ["runc", "second"]


def test_containerd_text_behind_ours_stays(machine: Machine):
    machine.put(FILES["containerd"], DEBIAN)
    machine.add("containerd")
    machine.put(FILES["containerd"], machine.text(FILES["containerd"]) + "[debug]\n")
    assert not machine.add("containerd").changes
    machine.remove("containerd")
    assert machine.text(FILES["containerd"]) == DEBIAN + "[debug]\n"


def test_containerd_knows_a_plugin_that_is_switched_off(machine: Machine):
    assert not containerd.disabled(machine.wanted())
    machine.put(FILES["containerd"], 'disabled_plugins = ["cri"]\n')
    assert containerd.disabled(machine.wanted())
