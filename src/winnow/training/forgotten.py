"""The images that a training forgot most often, for a logger that shows images."""

from collections.abc import Iterable
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from winnow.core.types import Ints
from winnow.datasets.base import ImageDataset
from winnow.training.logger_spec import LoggerSpec, Opened

MOST = 50
NAME = "forgetting/most"


def show_most_forgotten(
    logger: LoggerSpec, opened: Opened, dataset: ImageDataset, indices: Ints, correct: Iterable[NDArray[np.int8]]
) -> None:
    """Show the MOST images that went from correct to wrong most often, those that never did left out.

    indices [m]: the canonical ones of the recorded examples, in whose order ties are shown. correct: [m] of each epoch,
    as in Trajectory.
    """
    events = np.zeros(len(indices), dtype=np.int64)
    for before, after in pairwise(correct):
        events += before > after
    most = np.argsort(-events, kind="stable")[:MOST]
    most = most[events[most] > 0]
    shown = indices[most]
    if shown.size == 0:
        return
    labels = dataset.train_labels[shown]
    table = pd.DataFrame(
        {
            "index": shown,
            "label": labels,
            "class": [dataset.class_names[label] for label in labels],
            "events": events[most],
        }
    )
    logger.images(opened, NAME, table, np.asarray(dataset.train_images[shown]))
