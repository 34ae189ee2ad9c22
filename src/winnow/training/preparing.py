"""What some models take from the training images before the first step."""

import numpy as np
import torch

from winnow.core.seeds import stream
from winnow.core.types import Subset
from winnow.datasets.base import ImageDataset
from winnow.datasets.batches import batches
from winnow.models.base import Classifier, ModelSpec


def prepare(
    classifier: Classifier, model: ModelSpec, dataset: ImageDataset, subset: Subset, device: torch.device, seed: int
) -> None:
    """Show a new classifier, where its architecture asks for them, images that are kept: the same in every process."""
    count = min(model.prepared_on, subset.m)
    if not count:
        return
    chosen = np.sort(stream(seed, "prepare").choice(subset.indices, count, replace=False))
    shown = Subset(indices=chosen, weights=np.ones(count), is_signal=np.zeros(count, dtype=bool), n=subset.n)
    images = [batch.image for batch in batches(dataset, "train", device=device, subset=shown)]
    model.prepare(classifier.to(device), torch.cat(images))
