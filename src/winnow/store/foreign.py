"""Files of the user's own: read where they lie, named in keys by what they hold. Nothing is unpickled but tensors."""

import functools
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from winnow.store.checksums import sha256

if TYPE_CHECKING:
    import torch


def foreign_array(path: Path) -> np.ndarray:
    """A user's .npy as a read-only memory map; OSError or ValueError where it is none. Nothing is unpickled."""
    return np.load(path, mmap_mode="r", allow_pickle=False)


def foreign_tensors(path: Path) -> "dict[str, torch.Tensor]":
    """The weights in a user's file, .safetensors or what torch.save wrote, by name. Nothing is unpickled but tensors.

    Training programs wrap them: what is below "state_dict" or "model" counts, and a leading "module." does not.
    Raises OSError, ValueError, RuntimeError, UnpicklingError or SafetensorError where it holds none.
    """
    import torch  # takes seconds, and only weights need it
    from safetensors.torch import load_file

    if path.suffix == ".safetensors":
        return load_file(path)
    loaded = torch.load(path, map_location="cpu", weights_only=True)
    for wrapper in ("state_dict", "model"):
        loaded = loaded[wrapper] if isinstance(loaded, dict) and wrapper in loaded else loaded
    if not isinstance(loaded, dict):
        raise ValueError(f"it holds a {type(loaded).__name__}, not weights by name")
    return {name.removeprefix("module."): value for name, value in loaded.items()}


def foreign_digest(path: Path) -> str:
    """SHA-256 of a user's file, read again only when its size or time of modification changes."""
    status = path.stat()
    return _digest_of_status(path.resolve(), status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=4096)
def _digest_of_status(path: Path, size: int, modified: int) -> str:
    return sha256(path)
