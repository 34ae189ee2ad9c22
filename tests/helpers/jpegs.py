"""A folder of small photographs of mixed sizes, kinds and orientation, each with a texture of its own."""

from pathlib import Path

import numpy as np
from PIL import Image

UPSIDE_DOWN, TURNED = 3, 6  # of EXIF


def photo(path: Path, seed: int, *, height: int, width: int, orientation: int = 1, **options: object) -> None:
    """Coarse random colours, saved in the format of the path's ending."""
    path.parent.mkdir(parents=True, exist_ok=True)
    colours = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    image = Image.fromarray(colours).resize((width, height), Image.Resampling.BICUBIC)
    exif = Image.Exif()
    exif[0x112] = orientation
    image.save(path, exif=exif, **options)


def make_jpegs(root: Path, *, train: int = 8, test: int = 3, classes: tuple[str, ...] = ("ant", "bee", "cow")) -> Path:
    """root/{train,val}/<class>/img<i>.jpg, every fourth of them turned, and one PNG in each training class."""
    rng = np.random.default_rng(1)
    for part, count in (("train", train), ("val", test)):
        for label, name in enumerate(classes):
            for i in range(1, count + 1):
                height, width = rng.integers(12, 60, 2)
                ending = "png" if part == "train" and i == 3 else "jpg"
                turned = TURNED if i % 4 == 0 else 1
                path = root / part / name / f"img{i}.{ending}"
                photo(path, 1000 * label + 10 * i + len(part), height=height, width=width, orientation=turned)
    return root
