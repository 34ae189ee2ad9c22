"""Content keys: the same inputs give the same key, in any process, on any machine. It names what was asked for, and
no device, though another one's rounding gives other numbers.

A component (data set, model, recipe, metric, selector...) is a frozen dataclass. Its part of a key is its qualified
name, its fields, and the class attribute `version`, which is raised when its results change. A field that cannot change
a result (a display name, a folder) is declared with `field(metadata=NOT_IN_KEY)`. One that was added to a component
that had results already, and whose default is what was done before, with `field(metadata=LATER)`: it is part of the key
only where it is not at its default, so that those results stay. One that was renamed keeps its old name in keys with
`field(metadata=named_in_key("old"))`.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import Field, fields, is_dataclass
from pathlib import Path
from typing import Any, ClassVar

SCHEMA = 2
"""Raised when the layout of artifacts changes, so that old ones are left alone and made anew."""

NOT_IN_KEY = {"key": False}
LATER = {"key": "unless default"}


def named_in_key(name: str) -> dict[str, str]:
    """Metadata of a field that is called `name` in keys, as it was when its first results were made."""
    return {"named": name}


class Component:
    """Base of every keyed component; a subclass raises `version` when its results change."""

    version: ClassVar[int] = 1

    def _version(self) -> int:
        """The version of what this one computes: its class's, unless the results of some options alone changed."""
        return self.version

    def check_settled(self) -> None:
        """Raise OptionError while a field only stands for a choice that is still to be made; no key can be of that."""


def describe(value: Any) -> Any:
    """A JSON value that says what `value` is, for keys and provenance.

    Whole floats become integers, because an override `alpha.value=0` must mean the same as `alpha.value=0.0`.

    Raises what the component's `check_settled` raises.
    """
    if is_dataclass(value) and not isinstance(value, type):
        kind = type(value)
        if isinstance(value, Component):
            value.check_settled()
        entering = [f for f in fields(value) if _in_key(value, f)]
        named = {f.metadata.get("named", f.name): describe(getattr(value, f.name)) for f in entering}
        version = value._version() if isinstance(value, Component) else 1
        return {"is": f"{kind.__module__}.{kind.__qualname__}", "version": version, **named}
    if isinstance(value, Mapping):
        return {str(name): describe(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [describe(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted(describe(item) for item in value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Path):
        return str(value)
    assert value is None or isinstance(value, bool | int | float | str), f"{value!r} cannot be part of a key"
    return value


def _in_key(component: Any, field: Field[Any]) -> bool:
    said = field.metadata.get("key", True)
    return getattr(component, field.name) != field.default if said == LATER["key"] else said


def make_key(prefix: str, inputs: Any) -> str:
    """`prefix-` and 16 hexadecimal digits that name the inputs; what no file name should hold becomes `-`."""
    text = json.dumps([SCHEMA, describe(inputs)], sort_keys=True, separators=(",", ":"), allow_nan=False)
    readable = re.sub(r"[^\w.-]+", "-", prefix)
    return f"{readable}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def is_key(text: str) -> bool:
    """Whether a text has the form of what `make_key` gives; then it is the name of a file, and leads nowhere else."""
    return re.fullmatch(r"[\w.-]+-[0-9a-f]{16}", text) is not None
