"""Image files in class folders: which there are, in canonical order, and how one is decoded."""

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from winnow.datasets.natural import natural

ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".pgm", ".ppm", ".tif", ".tiff", ".webp")


def decode_image(path: Path, size: int, resize: str, channels: int) -> NDArray[np.uint8]:
    """[size, size, channels]; whatever the decoder raises where the file is damaged. See ImageFolder for `resize`."""
    with Image.open(path) as file:
        file.draft(None, (2 * size, 2 * size))  # a JPEG far larger than needed is decoded at a fraction of its size
        ImageOps.exif_transpose(file, in_place=True)
        image: Image.Image = file
        if image.mode.startswith("I;16"):
            image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))  # PIL itself would clip at 255
        elif image.mode in ("I", "F"):
            raise ValueError("its pixels have 32 bits and no known range; save it with 8 or 16 bits")
        mode = "RGB" if channels == 3 else "L"
        if image.mode != mode:
            image = image.convert(mode)
        width, height = image.size
        if (width, height) != (size, size):
            left, top = max(width - height, 0) / 2, max(height - width, 0) / 2
            box = (left, top, width - left, height - top) if resize == "crop" else None
            image = image.resize((size, size), Image.Resampling.BILINEAR, box=box)
        pixels = np.asarray(image)
    return pixels.reshape(size, size, channels)


def held_out(root: Path) -> Path:
    """root/test where it has class folders, or nothing else is there; a flat test/ without labels gives way to val/."""
    test, val = root / "test", root / "val"
    return test if test.is_dir() and (class_folders(test) or not val.is_dir()) else val


def class_folders(folder: Path) -> list[str]:
    """Their names, sorted."""
    return sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def image_files(folder: Path, root: Path) -> list[tuple[str, os.stat_result]]:
    """Name relative to root, and file status, of each image below a class folder, in natural order."""
    found = []
    prefix = str(root) + os.sep
    for where, _, names in os.walk(folder):
        for name in names:
            if name.lower().endswith(ENDINGS) and not name.startswith("."):
                path = os.path.join(where, name)
                found.append((path.removeprefix(prefix).replace(os.sep, "/"), _status(path)))
    return sorted(found, key=lambda item: natural(item[0]))


def _status(path: str) -> os.stat_result:
    try:
        return os.stat(path)
    except FileNotFoundError:  # a link that leads nowhere: listed here, then reported with the unreadable files
        return os.lstat(path)
