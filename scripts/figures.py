"""Draw a published figure from results on disk.

    python scripts/figures.py figure=scaling_curves figure.grid=outputs/sweep/grid.csv out=curves.png

`out` may end in .png, .pdf or .svg; without it the figure is written beside the grid that it was drawn from, or to
outputs/figures where it is drawn from none.
"""

import sys

sys.path.pop(0)  # this folder: its select.py must not hide the standard library's select


from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from winnow.errors import WinnowError
from winnow.figures.style import save


@hydra.main(config_path="../conf", config_name="figures", version_base="1.3")
def main(cfg: DictConfig) -> None:
    name = HydraConfig.get().runtime.choices["figure"]
    if missing := OmegaConf.missing_keys(cfg):
        sys.exit(f"error: the figure {name} needs {', '.join(sorted(missing))}; give {sorted(missing)[0]}=... .")
    draw = hydra.utils.get_method(cfg.figure._target_)
    options = {str(key): value for key, value in cfg.figure.items() if key != "_target_"}
    folder = Path(options["grid"]).parent if "grid" in options else Path("outputs/figures")
    out = Path(cfg.out) if cfg.out else folder / f"{name}.png"
    try:
        print(save(draw(**options), out))
    except WinnowError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
