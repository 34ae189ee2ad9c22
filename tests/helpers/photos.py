"""A folder of images whose names sort differently by letters than by numbers, each of a grey level of its own."""

from pathlib import Path

import numpy as np
from PIL import Image


def grey(path: Path, level: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8, 3), level, dtype=np.uint8)).save(path)


def make_photos(root: Path) -> Path:
    """root/{train,test}/{cat,dog,emu}/img<i>.png: twelve, twelve and four to train on, one each to test."""
    level = 0
    for name, count in (("cat", 12), ("dog", 12), ("emu", 4)):
        for i in range(1, count + 1):
            level += 1
            grey(root / "train" / name / f"img{i}.png", level)
        grey(root / "test" / name / "img1.png", 200 + level)
    return root
