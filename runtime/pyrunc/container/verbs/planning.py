"""`plan`: what create would do, without doing anything."""

from __future__ import annotations

from pyrunc.container.bundle import read_bundle
from pyrunc.container.options import CreateOptions
from pyrunc.container.verbs import create
from pyrunc.errors import UsageError
from pyrunc.host import facts
from pyrunc.oci import parsing
from pyrunc.plan import build
from pyrunc.plan.namespaces import has

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrunc.plan.op import Plan


def plan(bundle: str, container: str = "example", given: bytes | None = None) -> Plan:
    """Return the plan of the container that `create` would make of BUNDLE, called CONTAINER; GIVEN stands for its config.json.

    Raises ConfigError as create does.  Needs no privileges.
    """
    return read_and_plan(bundle, container, given)[0]


def read_and_plan(bundle: str, container: str = "example", given: bytes | None = None) -> tuple[Plan, str, str]:
    """Return the same, with the absolute path of BUNDLE and the text of its configuration."""
    absolute, text = read_bundle(bundle, given)
    if not container:
        raise UsageError("the container's id is empty", hint="name one, such as box, or leave it out")
    config = parsing.parse(text)
    options = CreateOptions(id=container, bundle=bundle)
    known = facts.for_plan(facts.probe(), user_namespace=has(config.linux, "user"))
    made = build.build(config, known, create.request(options, absolute, config, wait=True))
    return made, absolute, text.decode()
