"""Independent random streams from one user seed."""

import hashlib

import numpy as np


def derive(seed: int, *names: str | int) -> int:
    """A 63-bit seed for the stream called by `names`, statistically independent of other names.

    Neighbouring seeds and streams must not overlap (seed 1's shuffle is not seed 0's augmentation), so the
    pair is hashed instead of added.
    """
    text = "/".join([str(int(seed)), *map(str, names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """A numpy generator for the stream called by `names`."""
    return np.random.default_rng(derive(seed, *names))
