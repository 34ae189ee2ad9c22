"""What the probes take over from their cell: its model and recipe, but for what is set for the probes alone.

conf/probe/default.yaml names each option once, as `lr: ${oc.select:recipe.lr}`, so that probe.recipe.lr=0.1 is an
override like any other. What still reads so has not been set. Then the rest is the cell's own, options and all that
the yaml does not name included; but where the probes have a component of their own (recipe@probe.recipe=images), the
rest is that component's defaults.
"""

from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

TAKEN_OVER = ("model", "recipe")


def with_taken_over(cfg: DictConfig) -> DictConfig:
    """The node of the probe, with its model and recipe whole."""
    probe = cfg.probe.copy()
    with open_dict(probe):
        for name in TAKEN_OVER:
            own = _set(cfg.probe[name], name)
            probe[name] = own if "_target_" in own else OmegaConf.merge(_plain(cfg[name]), own)
    return probe


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
            own[name] = _plain(node[name])
    return own


def _plain(value: Any) -> Any:
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
