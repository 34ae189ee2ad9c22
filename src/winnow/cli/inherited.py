"""What the probes inherit from their cell: its model and recipe, but for what is set for the probes alone.

conf/probe/default.yaml names each option once, as `lr: ${oc.select:recipe.lr}`, so that probe.recipe.lr=0.1 is an
override like any other. What still reads so has not been set. Then the rest is the cell's own, options and all that
the yaml does not name included; but where the probes have a component of their own (recipe@probe.recipe=images), the
rest is that component's defaults.
"""

from typing import Any

from omegaconf import DictConfig, OmegaConf

from winnow.cli.components import plain

INHERITED = ("model", "recipe")


def with_inherited(cfg: DictConfig) -> dict[str, Any]:
    """What the node of the probe holds, with its model and recipe whole."""
    return {str(name): _whole(cfg, name) if name in INHERITED else plain(cfg.probe[name]) for name in cfg.probe}


def _whole(cfg: DictConfig, name: str) -> dict[str, Any]:
    own = _set(cfg.probe[name], name)
    return own if "_target_" in own else _over(plain(cfg[name]), own)


def _over(whole: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """The options of `whole`, but those of `own` where it has them."""
    merged = whole | own
    for name, value in own.items():
        if isinstance(value, dict) and isinstance(whole.get(name), dict):
            merged[name] = _over(whole[name], value)
    return merged


def _set(node: DictConfig, path: str) -> dict[str, Any]:
    """What has been set for the probes alone, with its values resolved."""
    raw: Any = OmegaConf.to_container(node, resolve=False)
    own = {}
    for name, value in raw.items():
        below = f"{path}.{name}"
        if isinstance(value, dict):
            if inner := _set(node[name], below):
                own[name] = inner
        elif value != f"${{oc.select:{below}}}":
            own[name] = plain(node[name])
    return own
