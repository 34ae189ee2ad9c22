"""The options of a config group, as Hydra composes them."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.config_search_path import ConfigSearchPath
from omegaconf import DictConfig, OmegaConf

from winnow.cli import composing, configuration
from winnow.cli.composing import QuickLoader

CONF = Path(configuration.CONF)

loaders: dict[str, QuickLoader] = {}
"""What has been composed in this process, by search paths, whose yaml files do not change."""


def _kept(config_search_path: ConfigSearchPath) -> QuickLoader:
    path = str(config_search_path)
    if path not in loaders:
        loaders[path] = QuickLoader(config_search_path)
    return loaders[path]


@contextmanager
def composing_once() -> Iterator[None]:
    """As in winnow.cli.composing, but once a process and not once a command."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(composing, "QuickLoader", _kept)
        with composing.composing_once():
            yield


def composed_cell(*overrides: str) -> DictConfig:
    """A cell's configuration, Hydra's own part included."""
    with composing_once(), initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", overrides=list(overrides), return_hydra_config=True)


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
