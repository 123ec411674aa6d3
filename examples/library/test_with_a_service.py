"""A pytest fixture that runs a service in a container, and a test that uses it.

    sudo ROOTFS=... pytest test_with_a_service.py

ROOTFS is a directory with a busybox. The service is its web server, in the network of the host; the container goes when the
module's tests are done, and so it does if pytest is killed.
"""

from __future__ import annotations

import os
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

import pyrunc

PAGE = "echo it works >/tmp/index.html; echo ready; exec httpd -f -p 127.0.0.1:$PORT -h /tmp"


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    """Run the service; return its address."""
    port = free_port()
    bundle = pyrunc.Bundle.from_rootfs(os.environ["ROOTFS"], ["sh", "-c", PAGE], env={"PORT": str(port)})
    config = bundle.load()
    config["linux"]["namespaces"] = [each for each in config["linux"]["namespaces"] if each["type"] != "network"]
    config["mounts"].append({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"})
    config["mounts"] = [each for each in config["mounts"] if each["type"] != "sysfs"]
    with pyrunc.Container.run(pyrunc.Bundle(bundle.path, config), stdout=pyrunc.PIPE) as container:
        assert container.stdout is not None
        assert container.stdout.readline() == b"ready\n"
        yield f"http://127.0.0.1:{port}/"


def test_the_page(service: str) -> None:
    """The service answers, once it listens."""
    end = time.monotonic() + 20
    while True:
        try:
            with urllib.request.urlopen(service, timeout=5) as answer:
                assert answer.read() == b"it works\n"
                return
        except urllib.error.URLError:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)
