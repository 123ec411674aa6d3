"""Completion and manual pages, as real shells and mandoc(1) take them; a shell that is not here is skipped."""

from __future__ import annotations

import importlib.util
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pyrunc.cli.table import GLOBAL, commands

CHECKOUT = Path(__file__).parents[1]
NAMES = [row.name for row in commands()]
# Command line, some of what is offered, and what is not.
LINES = {
    "command": ("pyrunc sta", {"start", "state"}, {"stop", "run"}),
    "after an option": ("pyrunc --root state --debug res", {"restore", "resume"}, {"state"}),
    "option": ("pyrunc run --no-", {"--no-pivot", "--no-new-keyring", "--no-subreaper"}, {"--detach", "--debug"}),
    "global option": ("pyrunc --system", {"--systemd-cgroup"}, {"--root"}),
    "choice": ("pyrunc --rootless ", {"auto", "true", "false"}, {"run"}),
    "id": ("pyrunc --root state delete ", {"web"}, {"delete", "state"}),
    "no id": ("pyrunc --root state delete x", set(), {"web"}),
    "new id": ("pyrunc --root state create ", set(), {"web"}),
    "signal": ("pyrunc --root state kill web K", {"KILL"}, {"web"}),
    "id after another word": ("pyrunc --root state mounts add ", {"web"}, {"add"}),
    "engine": ("pyrunc install po", {"podman"}, {"docker"}),
}


def module(name: str):
    spec = importlib.util.spec_from_file_location(f"pyrunc_{name}", CHECKOUT / f"script/{name}.py")
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def need(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"there is no {program} here")
    return found


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with the completions, pyrunc, a container's state, and a bundle."""
    directory = tmp_path_factory.mktemp("completion")
    directory.chmod(0o700)
    module("completion").write(directory / "completions")
    program = directory / "bin/pyrunc"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\nPYTHONPATH={CHECKOUT}/runtime exec {sys.executable} -m pyrunc \"$@\"\n")
    program.chmod(0o755)
    (directory / "state/web").mkdir(parents=True)
    shutil.copy(CHECKOUT / "tests/saved/0.1/state", directory / "state/web")
    for path in (directory / "state", directory / "state/web"):
        path.chmod(0o700)
    (directory / "bundles/one two").mkdir(parents=True)
    (directory / "bundles/file").touch()
    return directory


@pytest.fixture
def environment(place: Path) -> dict[str, str]:
    return {**os.environ, "PATH": f"{place}/bin:{os.environ['PATH']}", "HOME": str(place), "TERM": "dumb"}


def ask_bash(line: str, place: Path, environment: dict[str, str]) -> set[str]:
    """Return what bash's completion offers at the end of LINE."""
    words = line.replace("=", " = ").split(" ")
    script = """
. completions/pyrunc.bash
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_pyrunc
printf '%s\\n' "${COMPREPLY[@]}"
"""
    command = [need("bash"), "--norc", "-c", script, "bash", *words]
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return set(done.stdout.splitlines()) - {""}


def ask_fish(line: str, place: Path, environment: dict[str, str]) -> set[str]:
    script = f"source completions/pyrunc.fish; complete -C '{line}'"
    done = subprocess.run([need("fish"), "-N", "-c", script], cwd=place, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return {each.partition("\t")[0] for each in done.stdout.splitlines()}


@pytest.mark.parametrize("ask", [ask_bash, ask_fish])
@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
def test_what_is_offered(ask, line: tuple[str, set[str], set[str]], place: Path, environment: dict[str, str]):
    typed, offered, kept = line
    found = ask(typed, place, environment)
    assert offered <= found
    assert not kept & found
    assert offered or not found


def test_bash_offers_each_command_and_option(place: Path, environment: dict[str, str]):
    assert ask_bash("pyrunc ", place, environment) == set(NAMES)
    flags = {("--" if len(name) > 1 else "-") + name for each in GLOBAL for name in each.names}
    assert ask_bash("pyrunc -", place, environment) == flags
    for row in commands():
        flags = {("--" if len(name) > 1 else "-") + name for each in row.options for name in each.names}
        assert ask_bash(f"pyrunc {row.name} -", place, environment) == flags | {"--help", "-h"}


@pytest.mark.parametrize("words", ["run --bundle bundles/", "run -b bundles/", "run --bundle=bundles/", "check bundles/"])
def test_bundles_are_directories(words: str, place: Path, environment: dict[str, str]):
    assert ask_bash(f"pyrunc {words}", place, environment) == {"bundles/one two"}


@pytest.mark.parametrize(
    ("typed", "shown"),
    [("pyrunc --root=state run -b bundles/o\t x", "bundles/one\\ two/ x"), ("pyrunc --root state kill w\tK\t", "kill web KILL ")],
)
def test_bash_completes_a_line_as_it_is_typed(typed: str, shown: str, place: Path, environment: dict[str, str]):
    """A blank in a name, and an id of the root that the line names."""
    first = "PS1=; . completions/pyrunc.bash; echo read''y"
    type_into([need("bash"), "--norc", "-i"], first, typed, {shown}, place, environment)


OFFERED = {name: each for name, each in LINES.items() if each[1]}


@pytest.mark.parametrize("line", OFFERED.values(), ids=OFFERED)
def test_zsh_offers_it(line: tuple[str, set[str], set[str]], place: Path, environment: dict[str, str]):
    typed, offered, _ = line
    first = "PS1=; fpath=($PWD/completions $fpath); autoload -Uz compinit; compinit -u -D; LISTMAX=9999; echo read''y"
    type_into([need("zsh"), "-f", "-i"], first, f"{typed}\t\t", offered, place, environment)


def type_into(shell: list[str], first: str, typed: str, awaited: set[str], place: Path, environment: dict[str, str]) -> None:
    """Start SHELL in a terminal, have it do FIRST, which says `ready`, type TYPED, and wait until all of AWAITED is shown."""
    pid, fd = pty.fork()
    if pid == 0:
        os.chdir(place)
        os.execve(shell[0], shell, environment)
    try:
        os.write(fd, f"{first}\n".encode())
        read_until(fd, {"\nready"})
        os.write(fd, typed.encode())
        read_until(fd, awaited)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(fd)


def read_until(fd: int, awaited: set[str]) -> None:
    """Read from FD until all of AWAITED has come."""
    said, end = "", time.monotonic() + 30
    while not all(each in said for each in awaited):
        assert select.select([fd], [], [], max(0, end - time.monotonic()))[0], said
        said += os.read(fd, 65536).decode()


def test_the_manual_has_a_page_for_each_command(tmp_path: Path):
    pages = module("manpages").write(tmp_path)
    assert {page.name for page in pages} == {"pyrunc.8", *(f"pyrunc-{name}.8" for name in NAMES)}
    done = subprocess.run([need("mandoc"), "-Tlint", *map(str, pages)], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_a_page_has_all_options(tmp_path: Path):
    module("manpages").write(tmp_path)
    for row in commands():
        command = [need("mandoc"), "-Tutf8", "-O", "width=200", str(tmp_path / f"pyrunc-{row.name}.8")]
        shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        plain = "".join(letter for place, letter in enumerate(shown) if letter != "\b" and shown[place + 1 : place + 2] != "\b")
        assert row.example in plain
        for option in row.options:
            for name in option.names:
                assert ("--" if len(name) > 1 else "-") + name in plain
            assert option.metavar in plain
