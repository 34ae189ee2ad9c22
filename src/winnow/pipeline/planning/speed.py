"""How long an example takes, by the rows that a store holds already."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from winnow.core.machine import without_threads
from winnow.core.types import Floats, Row
from winnow.store.artifacts import ArtifactStore
from winnow.store.records import load_row


class Speed(NamedTuple):
    """Seconds of an example seen in training, as `rows` rows of `model` say; scaled: by multiply-adds to another."""

    seconds: float
    model: str
    rows: int
    scaled: bool


def past_rows(store: ArtifactStore, device: str) -> list[Row]:
    """The rows in the store that were trained on a device of this name and tell their multiply-adds.

    Where there are none, those of the same processor with another number of threads.
    """
    found = [store.load("row", key) for key in store.keys("row")]
    rows = [load_row(artifact) for artifact in found if artifact is not None]
    told = [row for row in rows if row.multiply_adds and row.examples_seen]
    exact = [row for row in told if row.device == device]
    return exact or [row for row in told if without_threads(row.device) == without_threads(device)]


def speed_of(rows: Sequence[Row], *, model: str | None, multiply_adds: int, batch: float) -> Speed | None:
    """The median over the rows of this model that had batches of the nearest size; None without any row.

    model: as rows call it, None for any with as many multiply-adds. Where there is none of it, the model of the nearest
    multiply-adds stands for it, in proportion to them. Small batches take longer an example, hence their size.
    """
    if not rows or not multiply_adds:
        return None
    own = [row for row in rows if row.multiply_adds == multiply_adds and model in (None, row.model)]
    near = own or _nearest(rows, [row.multiply_adds or 0 for row in rows], multiply_adds)
    near = _nearest(near, [row.examples_seen / row.steps for row in near], batch)
    seconds = np.median([row.seconds / row.examples_seen * multiply_adds / (row.multiply_adds or 1) for row in near])
    return Speed(float(seconds), near[0].model, len(near), scaled=not own)


def _nearest(rows: Sequence[Row], values: Sequence[float], wanted: float) -> list[Row]:
    """The rows whose value is the nearest by ratio, all of that value."""
    distance: Floats = np.abs(np.log(np.asarray(values, dtype=np.float64) / wanted))
    return [row for row, far in zip(rows, distance, strict=True) if far <= distance.min() + 1e-9]
