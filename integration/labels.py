"""A policy for SELinux and a profile for AppArmor, loaded into a kernel that has the one or the other: the virtual machine's."""

from __future__ import annotations

import subprocess
from pathlib import Path

POLICY = Path(__file__).with_name("labels.cil")
SELINUXFS = Path("/sys/fs/selinux")
LABEL = "system_u:system_r:container_t:s0:c1,c2"
FILES = "system_u:object_r:container_file_t:s0:c1,c2"
PROFILE, OTHER_PROFILE = "pyrunc-test", "pyrunc-test-other"
# The last three are for CRIU, which works from inside the process.
RULES = """
profile NAME flags=(attach_disconnected,mediate_deleted) {
  file,
  capability,
  signal,
  deny /denied rwkl,
  network,
  unix,
  ptrace,
}
"""


def selinux() -> bool:
    """Return whether this kernel was booted with SELinux."""
    return SELINUXFS.is_dir()


def apparmor() -> bool:
    """Return whether AppArmor is enabled."""
    enabled = Path("/sys/module/apparmor/parameters/enabled")
    return enabled.exists() and enabled.read_text()[:1] == "Y"


def load_policy(scratch: Path) -> None:
    """Compile the policy in SCRATCH and give it to the kernel, unless it has one: once it has, tasks have labels."""
    if not (SELINUXFS / "enforce").exists():
        subprocess.run(["mount", "-t", "selinuxfs", "selinuxfs", SELINUXFS], check=True)
    if Path("/proc/self/attr/current").read_text().startswith("system_u:"):
        return
    compiled = scratch / "policy"
    subprocess.run(["secilc", "-o", compiled, "-f", "/dev/null", POLICY], check=True)
    with (SELINUXFS / "load").open("wb", buffering=0) as file:
        file.write(compiled.read_bytes())


def load_profiles() -> None:
    """Give the profiles to the kernel, in the place of those that it may have."""
    for name in (PROFILE, OTHER_PROFILE):
        subprocess.run(["apparmor_parser", "--replace", "--skip-cache"], input=RULES.replace("NAME", name), text=True, check=True)
