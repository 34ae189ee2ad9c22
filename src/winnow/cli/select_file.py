"""What the command `select-file` does: a subset of scored examples that are no data set of Winnow's."""

from typing import Any

from omegaconf import DictConfig, OmegaConf

from winnow.cli.components import component, fits, plain
from winnow.cli.signal import with_named_signal
from winnow.core.errors import OptionError, check_choice
from winnow.pipeline.out_of_core import select_out_of_core
from winnow.pipeline.parquet import select_from_parquet
from winnow.selectors.alpha import Auto, Fixed
from winnow.selectors.base import Selector
from winnow.selectors.compression import Count, Fraction

TYPES = {
    "scores": str, "to": str, "column": str, "index": str | None, "label": str | None, "higher_is": str, "seed": int,
    "engine": str, "memory": str, "threads": int | None,
}  # fmt: skip
OUT_OF_CORE = ("memory", "threads")


def task(cfg: DictConfig) -> None:
    """Select, and print the path of the table."""
    if missing := sorted(OmegaConf.missing_keys(cfg)):
        raise OptionError(f"{missing[0]} is not given; give {missing[0]}=... .")
    asked: dict[str, Any] = {name: cfg[name] for name in TYPES}
    for name, kind in TYPES.items():
        if not fits(asked[name], kind):
            raise OptionError(f"{name}={asked[name]} has the wrong type; it must be {getattr(kind, '__name__', kind)}.")
    alpha = component(cfg.alpha, "alpha", Fixed | Auto)
    if not isinstance(alpha, Fixed):
        raise OptionError("alpha=auto trains models to choose alpha, and a table of scores has none; give alpha.value.")
    engine = asked.pop("engine")
    check_choice("engine", engine, ("memory", "duckdb"))
    limits = {name: asked.pop(name) for name in OUT_OF_CORE}
    asked["selector"] = component(with_named_signal(plain(cfg.selector), cfg), "selector", Selector)
    asked["r"] = component(cfg.compression, "compression", Fraction | Count)
    if engine == "memory":
        select_from_parquet(**asked, alpha=alpha.value)
    elif asked["label"] is not None or asked["index"] is None:
        raise OptionError("engine=duckdb reads no label and numbers no lines; leave label out and name index.")
    else:
        del asked["label"]
        select_out_of_core(**asked, **limits, alpha=alpha.value)
    print(asked["to"])
