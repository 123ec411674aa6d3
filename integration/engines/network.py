"""A network by CNI, whose programs Debian has in /usr/lib/cni: a pair of interfaces for each container, and an address."""

from __future__ import annotations

import json
from pathlib import Path

PLUGINS = Path("/usr/lib/cni")
SUBNET = "10.88.0.0/16"


def configuration(addresses: Path, plugin: str = "ptp") -> str:
    """Return what a file of /etc/cni/net.d says; the addresses in use are files in ADDRESSES."""
    ipam = {"type": "host-local", "subnet": SUBNET, "routes": [{"dst": "0.0.0.0/0"}], "dataDir": str(addresses)}
    return json.dumps({"cniVersion": "0.3.1", "name": "pods", "plugins": [{"type": plugin, "ipam": ipam}]})
