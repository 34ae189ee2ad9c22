"""Content keys: the same inputs give the same key, in any process, on any machine. It names what was asked for, and
no device, though another one's rounding gives other numbers.

A component (data set, model, recipe, metric, selector...) is a frozen dataclass. Its part of a key is its qualified
name, its fields, and the class attribute `version`, which is raised when its results change. A field that cannot change
a result (a display name, a folder) is declared with `field(metadata=NOT_IN_KEY)`.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, ClassVar

SCHEMA = 2
"""Raised when the layout of artifacts changes, so that old ones are left alone and made anew."""

NOT_IN_KEY = {"key": False}


class Component:
    """Base of every keyed component; a subclass raises `version` when its results change."""

    version: ClassVar[int] = 1

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
        named = {f.name: describe(getattr(value, f.name)) for f in fields(value) if f.metadata.get("key", True)}
        return {"is": f"{kind.__module__}.{kind.__qualname__}", "version": getattr(kind, "version", 1), **named}
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


def make_key(prefix: str, inputs: Any) -> str:
    """`prefix-` and 16 hexadecimal digits that name the inputs; what no file name should hold becomes `-`."""
    text = json.dumps([SCHEMA, describe(inputs)], sort_keys=True, separators=(",", ":"), allow_nan=False)
    readable = re.sub(r"[^\w.-]+", "-", prefix)
    return f"{readable}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
