"""A selector's signal by name: what a configuration may say instead of a whole node."""

from typing import Any

from omegaconf import DictConfig, OmegaConf

from winnow.cli.components import plain
from winnow.cli.configuration import options
from winnow.core.errors import check_choice


def with_named_signal(node: Any, cfg: DictConfig) -> Any:
    """A selector whose signal is given by the name of its yaml (selector.signal=ccs), with that yaml in its place."""
    signal = node.get("signal") if isinstance(node, dict) else None
    if not isinstance(signal, str):
        return node
    known = {name: path for name, path in options("selector", cfg).items() if "defaults" not in OmegaConf.load(path)}
    check_choice("selector.signal", signal, tuple(sorted(known)))
    return node | {"signal": plain(OmegaConf.load(known[signal]))}
