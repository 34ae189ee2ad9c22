"""Select a subset and print the path of its table: python scripts/select.py selector=calibrated compression.r=0.1"""

import sys

sys.path.pop(0)  # this folder: its select.py must not hide the standard library's select


from omegaconf import DictConfig

from winnow import app


def task(cfg: DictConfig) -> None:
    print(app.select(cfg))


if __name__ == "__main__":
    app.hydra_script(task, config_name="select")
