"""From a config node to a component: its class is found and checked, then its options, and only then it is made.

`_target_` is the only registry, so that a class of the user's own is used like any other, and it may name anything that
Python can import. So nothing is called but a class that extends the base of its group, or of the field whose value it
is, or for a figure a function that says that it gives one. What it is given are its own options, of the types that it
declares.
"""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import is_dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from omegaconf import OmegaConf

from winnow.core.errors import OptionError

LISTS = (tuple, list, Sequence)


def plain(node: Any) -> Any:
    """What a config node holds, as plain Python, its interpolations resolved. Raises where a value is still missing."""
    if not OmegaConf.is_config(node):
        return node
    return OmegaConf.to_container(node, resolve=True, throw_on_missing=True)


def component(node: Any, name: str, base: Any) -> Any:
    """The component that a config node describes. name: of the node; base: its class, or a union of classes.

    Raises OptionError where `_target_` is not a concrete subclass, or an option is not known, not given, or of another
    type than the class declares, such as a word for a number; and what the component itself raises.
    """
    bases = _components(base)
    wanted = f"a subclass of {' or '.join(map(_path, bases))}"
    found = _found(node, name, wanted)
    if not (isinstance(found, type) and issubclass(found, bases)):
        problem = "is not that" if isinstance(found, type) else "is no class"
        raise OptionError(f"{name}._target_={node['_target_']} {problem}; it must be {wanted}.")
    if inspect.isabstract(found):
        raise OptionError(f"{name}._target_={node['_target_']} is abstract; it must be {wanted} that is not.")
    return found(**_options(node, name, found))


def function(node: Any, name: str, returns: type) -> "partial[Any]":
    """The function that a config node names, with the options that it gives, ready to be called.

    Raises OptionError where `_target_` is no function that declares to return a `returns`, and for its options as
    `component` does.
    """
    wanted = f"a function that returns {_path(returns)}"
    found = _found(node, name, wanted)
    given = _hints(found).get("return") if inspect.isfunction(found) else None
    if not (isinstance(given, type) and issubclass(given, returns)):
        raise OptionError(f"{name}._target_={node['_target_']} is not that; it must be {wanted}.")
    return partial(found, **_options(node, name, found))


def fits(value: Any, hint: Any) -> bool:
    """Whether a value of a configuration is of the type that a class declares.

    A whole number is a float too, a number that is not finite is none. Of declarations that are no plain types, the
    class is left to judge.
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (UnionType, Union):
        return any(fits(value, option) for option in arguments)
    if origin is Literal:
        return value in arguments
    if origin in LISTS:
        return isinstance(value, list) and all(fits(item, arguments[0]) for item in value)
    if origin in (dict, Mapping):
        return isinstance(value, dict)
    if hint is Any or not isinstance(hint, type):
        return True
    if is_dataclass(hint):
        return isinstance(value, dict) and "_target_" in value
    if isinstance(value, bool):
        return hint is bool
    if isinstance(value, float) and not math.isfinite(value):
        return False
    kinds: dict[type, Any] = {float: (int, float), Path: str}
    return isinstance(value, kinds.get(hint, hint))


def _path(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _components(hint: Any) -> tuple[type, ...]:
    """The classes of components that a type names."""
    options = get_args(hint) if get_origin(hint) in (UnionType, Union) else (hint,)
    return tuple(option for option in options if isinstance(option, type) and is_dataclass(option))


def _found(node: Any, name: str, wanted: str) -> Any:
    """What the `_target_` of a node names. Modules are imported on the way to it, and nothing is called."""
    target = node.get("_target_") if isinstance(node, dict) or OmegaConf.is_dict(node) else None
    if not isinstance(target, str):
        raise OptionError(f"{name}._target_ is not given ({name}={node}); it must be {wanted}.")
    module, *rest = target.split(".")
    try:
        found = import_module(module)
        for part in rest:
            module = f"{module}.{part}"
            if not hasattr(found, part):
                import_module(module)
            found = getattr(found, part)
    except Exception as error:  # a module of the user's may raise anything
        raise OptionError(
            f"{name}._target_={target} cannot be imported ({type(error).__name__}: {error}); it must be {wanted}, in a "
            "module that Python finds (in this folder, or by PYTHONPATH)."
        ) from error
    return found


def _options(node: Any, name: str, target: Callable[..., Any]) -> dict[str, Any]:
    """The options that a node gives its class or function, with the components among them made."""
    node = plain(node)  # at once: a config node takes long to ask value by value
    parameters = inspect.signature(target).parameters
    anything = any(each.kind == each.VAR_KEYWORD for each in parameters.values())
    hints = _hints(target)
    given: dict[str, Any] = {}
    for key in node:
        field, path = str(key), f"{name}.{key!s}"
        if field == "_target_":
            continue
        if field not in parameters and not anything:
            known = ", ".join(sorted(parameters)) or "none"
            raise OptionError(f"{path} is no option of {node['_target_']}; it has: {known}.")
        value, hint = node[key], hints.get(field, Any)
        if not fits(value, hint):
            wanted = getattr(hint, "__name__", None) or str(hint)
            raise OptionError(f"{path}={value} has the wrong type; it must be {wanted}.")
        given[field] = _value(value, path, hint)
    for each in parameters.values():
        needed = each.default is each.empty and each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)
        if needed and each.name not in given:
            raise OptionError(f"{name}.{each.name} is not given; {node['_target_']} needs it.")
    return given


def _value(value: Any, path: str, hint: Any) -> Any:
    """A value that fits, with the components in it made."""
    if isinstance(value, dict) and "_target_" in value and _components(hint):
        return component(value, path, hint)
    if isinstance(value, list):
        of_items = [get_args(each)[0] for each in (hint, *get_args(hint)) if get_origin(each) in LISTS]
        if of_items:
            return [_value(item, f"{path}[{i}]", of_items[0]) for i, item in enumerate(value)]
    return value


def _hints(target: Any) -> dict[str, Any]:
    try:
        return get_type_hints(target)
    except NameError:  # imported for type checkers alone; the class is left to judge its options
        return {}
