"""Where the yaml files of configurations lie: the package's own, and beside them the user's (--config-dir)."""

from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

CONF = str((Path(__file__).parents[1] / "conf").resolve())
"""In a checkout a link to conf/ at its top, in a wheel a copy of it."""


def options(group: str, cfg: DictConfig | None = None) -> dict[str, Path]:
    """The yaml files of a group by their names, the user's own included; of two of one name the package's counts.

    cfg: a composed configuration, with Hydra's own part where no task of Hydra runs.
    """
    asked = OmegaConf.select(cfg, "hydra") if cfg is not None else None
    if asked is None and HydraConfig.initialized():
        asked = HydraConfig.get()
    sources = OmegaConf.select(asked, "runtime.config_sources") if asked is not None else None
    own = [source.path for source in sources or () if source.schema == "file"]
    found: dict[str, Path] = {}
    for folder in dict.fromkeys([CONF, *own]):
        for path in sorted((Path(folder) / group).glob("*.yaml")):
            found.setdefault(path.stem, path)
    return found
