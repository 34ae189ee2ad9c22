"""How scripts compose configurations: as Hydra does, but reading and merging yaml files once a command.

Hydra composes everything anew for each cell of a sweep, and twice before a single run, the first time only to see
whether a yaml sets hydra.mode. Each time it reads some 25 files, which takes a few tenths of a second: more than it
takes to see that a cell is finished. But what it reads depends on the chosen options of groups alone. So here Hydra
itself composes once for each set of choices, and a copy of that gets the values, by Hydra's own code: the same as what
Hydra makes. Whatever fails so is left to Hydra altogether, whose errors are then the ones told.
"""

import copy
import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager

from hydra._internal import hydra as engine
from hydra._internal.config_loader_impl import ConfigLoaderImpl, get_overrides_dirname
from hydra._internal.config_repository import ConfigRepository
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.plugins.config_source import ConfigResult
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf


class ReadOnce(ConfigRepository):
    """The yaml files below the search path, each read when it is first asked for. A change after that is not seen."""

    def initialize_sources(self, config_search_path: ConfigSearchPath) -> None:
        super().initialize_sources(config_search_path)
        self._read: dict[str, ConfigResult | None] = {}  # other sources have other files of the same name

    def load_config(self, config_path: str) -> ConfigResult | None:
        if config_path not in self._read:
            self._read[config_path] = super().load_config(config_path)
        return copy.deepcopy(self._read[config_path])  # for who composes changes it

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_read": {}}

    def __deepcopy__(self, memo: object) -> "ReadOnce":
        twin = copy.copy(self)  # Hydra takes a copy each time it composes, lest it change the sources
        twin._read = self._read
        return twin


class QuickLoader(ConfigLoaderImpl):
    """Hydra's loader, except that what differs only in values from what was composed before is made from that."""

    def __init__(self, config_search_path: ConfigSearchPath) -> None:
        super().__init__(config_search_path)
        self.repository = ReadOnce(config_search_path)
        self._parsed: dict[str, Override] = {}
        self._bases: dict[tuple[str | None, ...], bytes | None] = {}  # pickled, which is quicker to copy

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_parsed": {}, "_bases": {}}  # to other machines without what was composed here

    def load_configuration(
        self,
        config_name: str | None,
        overrides: list[str],
        run_mode: RunMode,
        from_shell: bool = True,
        validate_sweep_overrides: bool = True,
    ) -> DictConfig:
        try:
            parsed = [self._parse(override) for override in overrides]
            if validate_sweep_overrides:
                self.validate_sweep_overrides_legal(parsed, run_mode, from_shell)
            config = self._from_base(config_name, parsed)
        except Exception:  # Hydra says why
            config = None
        if config is not None:
            return config
        return super().load_configuration(config_name, overrides, run_mode, from_shell, validate_sweep_overrides)

    def _parse(self, override: str) -> Override:
        if override not in self._parsed:
            self._parsed[override] = OverridesParser.create().parse_override(override)
        return self._parsed[override]

    def _from_base(self, config_name: str | None, overrides: list[Override]) -> DictConfig | None:
        """Composed from what has the same choices, and Hydra's options; None where other folders have a say in it."""
        fixed = [each for each in overrides if not each.is_sweep_override()]  # swept ones only Hydra's records have
        values: list[Override] = []
        choices: list[str] = []
        for each in fixed:
            if self._is_value(each):
                values.append(each)
            else:
                choices.append(str(each.input_line))
        key = (config_name, *choices)
        if key not in self._bases:
            # As a single run: what is left out by a sweep that lacks a choice is an error here, and left to Hydra.
            base = super().load_configuration(config_name, choices, RunMode.RUN)
            OmegaConf.clear_cache(base)  # of ${now:...}, which is of the command that asks
            self._bases[key] = None if base.hydra.searchpath else pickle.dumps(base)
        pickled = self._bases[key]
        if pickled is None:
            return None
        config: DictConfig = pickle.loads(pickled)
        self._apply_overrides_to_config(values, config)
        own = [each for each in overrides if not each.is_hydra_override()]
        config.hydra.overrides.task = [each.input_line for each in own]
        config.hydra.overrides.hydra = [each.input_line for each in overrides if each.is_hydra_override()]
        config.hydra.runtime.cwd = os.getcwd()
        config.hydra.job.override_dirname = get_overrides_dirname(own, **config.hydra.job.config.override_dirname)
        return config

    def _is_value(self, override: Override) -> bool:
        """Whether it comes after composing. Hydra's own options do not: composing sets and asks some of them."""
        name = override.key_or_group
        if name == "hydra" or override.is_hydra_override():
            return name == "hydra.mode"  # which Hydra adds after the first time
        return isinstance(override.value(), dict) or not self.repository.group_exists(name)


@contextmanager
def composing_once() -> Iterator[None]:
    """Within this, Hydra composes for its commands by QuickLoader; it has no option for that."""
    before = engine.ConfigLoaderImpl
    engine.ConfigLoaderImpl = QuickLoader  # type: ignore[misc]
    try:
        yield
    finally:
        engine.ConfigLoaderImpl = before  # type: ignore[misc]
