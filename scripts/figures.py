"""Draw a published figure, from results on disk or from theory.

    python scripts/figures.py figure=scaling_curves figure.grid=outputs/sweep/grid.csv out=curves.png
    python scripts/figures.py figure=perceptron_curves

`out` may end in .png, .pdf or .svg; without it the figure is written beside the file that it was drawn from, or, if it
reads none, to outputs/figures, named after the figure and the error that it draws (scaling_curves_worst_class.png).
Beside it go the numbers drawn, curves.csv, and how it was made, curves.provenance.json.
"""

import sys

sys.path.pop(0)  # this folder: its select.py must not hide the standard library's select


import json
import shlex
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from winnow.cli import app
from winnow.cli.components import function
from winnow.core.errors import OptionError
from winnow.core.machine import device_name
from winnow.figures.style import Drawing, save
from winnow.store.artifacts import provenance, write_atomically


def task(cfg: DictConfig) -> None:
    name = HydraConfig.get().runtime.choices["figure"]
    if missing := sorted(OmegaConf.missing_keys(cfg)):
        raise OptionError(f"the figure {name} needs {', '.join(missing)}; give {missing[0]}=... .")
    draw = function(cfg.figure, "figure", Drawing)
    options = draw.keywords
    read = options.get("grid") or options.get("table")
    folder = Path(read).parent if read else Path(options.get("folder", "outputs/figures"))
    drawn = name if options.get("error", "mean") == "mean" else f"{name}_{options['error']}"
    out = Path(cfg.out) if cfg.out else folder / f"{drawn}.png"
    numbers = out.with_suffix(".csv")
    if read and numbers.resolve() == Path(read).resolve():
        raise OptionError(f"{numbers} holds the data of the figure, and its numbers would replace them; give out=... .")
    drawing = draw()
    path = save(drawing, out)
    write_atomically(numbers, drawing.table.to_csv(index=False, float_format="%.7g"))
    command = shlex.join(["python", "scripts/figures.py", *HydraConfig.get().overrides.task])
    made = provenance() | {"device": device_name("cpu"), "command": command}
    write_atomically(out.with_suffix(".provenance.json"), json.dumps(made, indent=1) + "\n")
    print(path)


if __name__ == "__main__":
    app.hydra_script(task, config_name="figures")
