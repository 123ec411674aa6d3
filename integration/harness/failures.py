"""Creates that must fail, and leave nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from integration.harness.leaks import Leaks, cgroup_directories

if TYPE_CHECKING:
    from integration.harness.bundle import Bundle
    from integration.harness.runtime import Runtime


def fails(runtime: Runtime, b: Bundle, *flags: str, verb: str = "create", text: str | None = None, **options: Any) -> str:
    """Check that VERB of B fails with status 1 and leaves no process, mount, cgroup or state directory.

    TEXT replaces its config.json.  Return standard error, with BUNDLE for the path of the bundle.
    """
    name = runtime.prepare(b)
    if text is not None:
        (b.path / "config.json").write_text(text)
    leaks = Leaks(runtime)
    said = runtime.refuses(verb, "--bundle", str(b.path), *flags, name, **options)
    assert not (runtime.root / name).exists()
    assert not cgroup_directories(name)
    leaks.check()
    return said.replace(str(b.path), "BUNDLE")
