"""Frozen records that cost microseconds to define.

Forty frozen dataclasses cost a command 29 ms of start-up, forty subclasses of
this base 0.5 ms, so every value that pyrunc passes between its layers is one
of these.  `mypy --strict` checks them as it checks dataclasses.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, Self, TypeVar, dataclass_transform

    T = TypeVar("T")
else:

    def dataclass_transform(**_: object):  # noqa: ANN201
        """Stand in for the decorator that only a type checker reads."""
        return lambda cls: cls


@dataclass_transform(frozen_default=True)
class Record:
    """An immutable value: annotations are fields, class attributes defaults.

        class Mount(Record):
            destination: str
            options: tuple[str, ...] = ()

    Fields are taken by position or by name.  Two records are equal when their
    class and every field are.  Raises TypeError for a missing, surplus or
    unknown field, AttributeError on assignment.
    """

    _fields: tuple[str, ...] = ()
    _defaults: dict[str, object] = {}  # noqa: RUF012 - shared on purpose, never written

    def __init_subclass__(cls) -> None:
        """Read the fields off the annotations, inherited ones first."""
        own = [name for name in cls.__dict__.get("__annotations__", ()) if name[0] != "_"]
        cls._fields = cls._fields + tuple(name for name in own if name not in cls._fields)
        cls._defaults = {**cls._defaults, **{n: cls.__dict__[n] for n in own if n in cls.__dict__}}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Set every field from ARGS, KWARGS or its default."""
        fields = self._fields
        values = self.__dict__
        values.update(self._defaults)
        if args:
            values.update(zip(fields, args, strict=False))
        values.update(kwargs)
        if len(values) != len(fields) or len(args) > len(fields) or not all(map(fields.__contains__, kwargs)):
            missing = [name for name in fields if name not in values]
            surplus = [name for name in values if name not in fields]
            raise TypeError(f"{type(self).__name__}: missing {missing}, unknown {surplus}")

    def __setattr__(self, name: str, value: object) -> None:
        """Refuse: records do not change."""
        raise AttributeError(f"{type(self).__name__}.{name} is read-only")

    def __delattr__(self, name: str) -> None:
        """Refuse: records do not change."""
        raise AttributeError(f"{type(self).__name__}.{name} is read-only")

    def __eq__(self, other: object) -> bool:
        """Compare class and fields."""
        if type(other) is not type(self):
            return NotImplemented
        return self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        """Hash the fields; a record that holds a dict is not hashable."""
        return hash((type(self), *(self.__dict__[name] for name in self._fields)))

    def __repr__(self) -> str:
        """Show the fields that differ from their defaults."""
        shown = ", ".join(
            f"{name}={value!r}"
            for name, value in self.items()
            if name not in self._defaults or value != self._defaults[name]
        )
        return f"{type(self).__name__}({shown})"

    def items(self) -> Iterator[tuple[str, Any]]:
        """Iterate over (field, value) in the order of declaration."""
        values = self.__dict__
        return ((name, values[name]) for name in self._fields)

    def replace(self, **changes: Any) -> Self:
        """Return a copy in which CHANGES are made."""
        return type(self)(**{**self.__dict__, **changes})


COMPILED = "<constructor>"  # the file that a compiled constructor says it is from


def compile_constructor(cls: type[Record]) -> None:
    """Give CLS a constructor of its own, with its fields as parameters, which is ten times as fast as the one of all records.

    To compile it takes longer than all that a command makes of it; the native program has it done when it is
    built (native/warm.py).  A class with a constructor of its own keeps it, and so does one with a field
    without default behind one with: that is no list of parameters.
    """
    needed = [name not in cls._defaults for name in cls._fields]
    if "__init__" in cls.__dict__ or not cls._fields or sorted(needed, reverse=True) != needed:
        return
    parameters = ", ".join(name if name not in cls._defaults else f"{name}=defaults[{name!r}]" for name in cls._fields)
    lines = "\n".join(f"    values[{name!r}] = {name}" for name in cls._fields)
    source = f"def __init__(self, {parameters}):\n    values = self.__dict__\n{lines}\n"
    names: dict[str, Any] = {"defaults": cls._defaults, "__name__": cls.__module__}
    exec(compile(source, COMPILED, "exec"), names)
    cls.__init__ = names["__init__"]  # type: ignore[method-assign]
