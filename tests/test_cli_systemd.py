"""What a service manager says in the environment, and when it is meant for us."""

from __future__ import annotations

import posix

import pytest

from pyrunc.cli import systemd


@pytest.fixture
def environment(monkeypatch):
    """Return a function that makes variables all of the environment; OWN stands for our pid."""

    def be(**variables: str) -> None:
        found = {name.encode(): value.replace("OWN", str(posix.getpid())).encode() for name, value in variables.items()}
        monkeypatch.setattr(posix, "environ", found)

    return be


@pytest.mark.parametrize(
    ("variables", "found"),
    [
        ({}, {}),
        ({"LISTEN_FDS": "2"}, {}),
        ({"LISTEN_PID": "OWN"}, {}),
        ({"LISTEN_FDS": "2", "LISTEN_PID": "1"}, {}),
        ({"LISTEN_FDS": "2", "LISTEN_PID": "OWN0"}, {}),
        ({"LISTEN_FDS": "-2", "LISTEN_PID": "OWN"}, {}),
        ({"LISTEN_FDS": "two", "LISTEN_PID": "OWN"}, {}),
        ({"LISTEN_FDS": "", "LISTEN_PID": "OWN"}, {}),
        ({"LISTEN_FDS": "0", "LISTEN_PID": "OWN"}, {"listen_fds": 0, "listen_names": ""}),
        ({"LISTEN_FDS": "2", "LISTEN_PID": "OWN"}, {"listen_fds": 2, "listen_names": ""}),
        ({"LISTEN_FDS": "2", "LISTEN_PID": "OWN", "LISTEN_FDNAMES": "a:b"}, {"listen_fds": 2, "listen_names": "a:b"}),
    ],
)
def test_sockets(environment, variables: dict[str, str], found: dict):
    environment(**variables)
    assert systemd.sockets() == found


@pytest.mark.parametrize("address", ["", "/run/systemd/notify", "@abstract"])
def test_where_readiness_is_told(environment, address: str):
    environment(**({"NOTIFY_SOCKET": address} if address else {}))
    assert systemd.notify_socket() == address
