"""What models give of data, and a pass over data for it: what is asked for; scorer.py does it."""

from collections.abc import Callable

import numpy as np
from torch import Tensor

from winnow.datasets.base import ImageDataset
from winnow.datasets.batches import Part, length
from winnow.datasets.loader import Batch
from winnow.models.base import Classifier
from winnow.training.devices import TrainerSpec

Output = Callable[[Classifier, Batch], Tensor]
"""What a pass computes of a batch with one model: [B, ...]."""


def logits(model: Classifier, batch: Batch) -> Tensor:
    """[B, C]"""
    return model(batch.image)


def features(model: Classifier, batch: Batch) -> Tensor:
    """Penultimate features [B, d]."""
    return model.features(batch.image)


def pass_into(
    out: np.ndarray,
    models: list[Classifier],
    dataset: ImageDataset,
    *,
    part: Part = "train",
    trainer: TrainerSpec,
    output: Output = logits,
    differentiates: bool = False,
    batch_size: int | None = None,
    channels_last: bool,
) -> None:
    """Fill `out` [K, n, ...], which may be a memory map, with the output of every example of a part, not augmented.

    differentiates: whether the output needs gradients. batch_size: of each process, where there are several; each
    passes its own examples, every one once.
    """
    from winnow.probes.scorer import score_part  # Lightning takes seconds, and what has been passed needs none

    assert out.shape[1] == length(dataset, part)
    trainer.everywhere(
        score_part,
        alone={"out": out},
        models=models,
        dataset=dataset,
        part=part,
        trainer=trainer,
        output=output,
        differentiates=differentiates,
        batch_size=batch_size,
        channels_last=channels_last,
    )
