"""The options of a config group, as Hydra composes them."""

from functools import cache
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

CONF = Path(__file__).parents[2] / "conf"


def options(group: str) -> list[Path]:
    """The yaml files of a group."""
    return sorted((CONF / group).glob("*.yaml"))


@cache
def composed(path: Path) -> dict[str, Any]:
    """One option of a group, with the defaults that it is built on."""
    group = path.parent.name
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose(f"{group}/{path.stem}", overrides=["+seed=0", "+probe.seed=0"])
        return OmegaConf.to_container(config[group], resolve=True)


def is_preset(path: Path) -> bool:
    """Whether the option only sets values of another one, which it names in its defaults."""
    return "defaults" in OmegaConf.load(path)
