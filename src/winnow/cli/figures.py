"""What the command `figures` does: draw a figure, and leave beside it its numbers and how it was made."""

import json
import shlex
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from winnow.cli.calling import begins, called
from winnow.cli.components import function
from winnow.core.errors import OptionError
from winnow.core.machine import processor_name
from winnow.figures.style import Drawing, save
from winnow.scaling.grid import of_rules, together
from winnow.scaling.grid import read as read_rows
from winnow.scaling.wandb_runs import PREFIX, read_grid
from winnow.store import results
from winnow.store.provenance import provenance
from winnow.store.writing import write_atomically

if TYPE_CHECKING:
    import pandas as pd


def task(cfg: DictConfig) -> None:
    """Draw the figure that a configuration describes, and print its path."""
    name = HydraConfig.get().runtime.choices["figure"]
    if missing := sorted(OmegaConf.missing_keys(cfg)):
        raise OptionError(f"the figure {name} needs {', '.join(missing)}; give {missing[0]}=... .")
    of_wandb = _taken_from_wandb(cfg, name)
    draw = function(cfg.figure, "figure", Drawing)
    options = draw.keywords
    read = options.get("grid") or options.get("table")
    folder = Path(read).parent if read else Path(options.get("folder", "outputs/figures"))
    outs = [Path(cfg.out)] if cfg.out else [folder / f"{_drawn(name, options)}.{ending}" for ending in cfg.formats]
    if not outs:
        raise OptionError("formats=[] draws nothing; give formats=[png], or out=... .")
    if read and outs[0].with_suffix(".csv").resolve() == Path(read).resolve():
        numbers = outs[0].with_suffix(".csv")
        raise OptionError(f"{numbers} holds the data of the figure, and its numbers would replace them; give out=... .")
    if of_wandb is not None:
        write_atomically(Path(cfg.figure.grid), of_wandb.to_csv(index=False))
    command = shlex.join([*begins("figures").split(), *HydraConfig.get().overrides.task])
    for path in _leave(_drawing(cfg), outs, command):
        print(path)


def _drawing(cfg: DictConfig) -> Drawing:
    """The figure, of the grids and the rules that are asked for."""
    chosen = [f"{name}=..." for name in ("rules", "also") if cfg[name]]
    if not chosen:
        return function(cfg.figure, "figure", Drawing)()
    if "grid" not in cfg.figure:
        raise OptionError(f"{chosen[0]} is about rows of a grid, and this figure reads none; leave it out.")
    rows = together([read_rows(path) for path in (cfg.figure.grid, *cfg.also)])
    with tempfile.TemporaryDirectory() as folder:
        part = Path(folder) / results.GRID
        part.write_text((of_rules(rows, list(cfg.rules)) if cfg.rules else rows).to_csv(index=False))
        cfg.figure.grid = str(part)
        return function(cfg.figure, "figure", Drawing)()


def draw_of_sweep(folder: Path, node: DictConfig, name: str, experiment: str | None) -> list[Path]:
    """Draw what a sweep ends with from the table that it left in its folder, as PNG and PDF; the paths.

    node: of the group figure, whose grid, table or folder is not given yet. An experiment's figure has its name.
    """
    tables = {"grid": folder / results.GRID, "table": folder / results.SHIFTS, "folder": folder}
    OmegaConf.set_readonly(node, False)
    for option, table in tables.items():
        if OmegaConf.is_missing(node, option):
            node[option] = str(table)
    draw = function(node, "figure", Drawing)
    outs = [folder / f"{experiment or _drawn(name, draw.keywords)}.{ending}" for ending in ("png", "pdf")]
    return _leave(draw(), outs, shlex.join([*called(), *sys.argv[1:]]))


def _drawn(name: str, options: Mapping[str, Any]) -> str:
    """The name of a figure's file: its own, and that of what else is drawn than by default."""
    choices = {"error": "mean", "x": "examples"}
    chosen = [options[key] for key, usual in choices.items() if options.get(key, usual) != usual]
    return "_".join([name, *chosen, *(["published"] if options.get("published") else [])])


def _leave(drawing: Drawing, outs: Sequence[Path], command: str) -> list[Path]:
    """Save the figure in each form, and once beside them its numbers and how it was made."""
    paths = [save(drawing, out) for out in outs]
    write_atomically(outs[0].with_suffix(".csv"), drawing.table.to_csv(index=False, float_format="%.7g"))
    made = provenance() | {"device": processor_name(), "command": command}
    write_atomically(outs[0].with_suffix(".provenance.json"), json.dumps(made, indent=1) + "\n")
    return paths


def _taken_from_wandb(cfg: DictConfig, name: str) -> "pd.DataFrame | None":
    """Where the grid is one in wandb, its rows; the configuration then has the file that they are to be kept in."""
    source = str(cfg.figure.get("grid") or "")
    if not source.startswith(PREFIX):
        return None
    folder = Path(cfg.out).parent if cfg.out else Path("outputs/figures")
    cfg.figure.grid = str(folder / f"{name}_grid.csv")
    return read_grid(source.removeprefix(PREFIX))
