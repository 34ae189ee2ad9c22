"""What the command `figures` does: draw a figure, and leave beside it its numbers and how it was made."""

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from winnow.cli.calling import begins
from winnow.cli.components import function
from winnow.core.errors import OptionError
from winnow.core.machine import processor_name
from winnow.figures.style import Drawing, save
from winnow.scaling.wandb_runs import PREFIX, read_grid
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
    drawn = name if options.get("error", "mean") == "mean" else f"{name}_{options['error']}"
    out = Path(cfg.out) if cfg.out else folder / f"{drawn}.png"
    numbers = out.with_suffix(".csv")
    if read and numbers.resolve() == Path(read).resolve():
        raise OptionError(f"{numbers} holds the data of the figure, and its numbers would replace them; give out=... .")
    if of_wandb is not None:
        write_atomically(Path(cfg.figure.grid), of_wandb.to_csv(index=False))
    drawing = draw()
    path = save(drawing, out)
    write_atomically(numbers, drawing.table.to_csv(index=False, float_format="%.7g"))
    command = shlex.join([*begins("figures").split(), *HydraConfig.get().overrides.task])
    made = provenance() | {"device": processor_name(), "command": command}
    write_atomically(out.with_suffix(".provenance.json"), json.dumps(made, indent=1) + "\n")
    print(path)


def _taken_from_wandb(cfg: DictConfig, name: str) -> "pd.DataFrame | None":
    """Where the grid is one in wandb, its rows; the configuration then has the file that they are to be kept in."""
    source = str(cfg.figure.get("grid") or "")
    if not source.startswith(PREFIX):
        return None
    folder = Path(cfg.out).parent if cfg.out else Path("outputs/figures")
    cfg.figure.grid = str(folder / f"{name}_grid.csv")
    return read_grid(source.removeprefix(PREFIX))
