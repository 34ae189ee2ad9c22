"""Run one cell, or with -m a grid of them: python scripts/run.py metric=el2n selector=threshold compression.r=0.3

The last line printed is the path of row.json; a grid ends with a table, grid.csv and scaling_curves.png.
"""

import sys

sys.path.pop(0)  # this folder: its select.py must not hide the standard library's select


from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from winnow.cli import app


def task(cfg: DictConfig) -> None:
    if cfg.plan:
        print(app.plan([cfg]))
        return
    path = app.run_cell(cfg)
    if HydraConfig.get().mode == RunMode.RUN:
        print(path)


if __name__ == "__main__":
    app.hydra_script(task)
