"""A tiny data set, model and recipe, for tests that really train."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_lightning import Callback

from winnow.core.types import Subset
from winnow.datasets.base import ImageDataset
from winnow.datasets.loader import Batch
from winnow.datasets.synthetic import Synthetic
from winnow.models.smallconv import SmallConv
from winnow.probes.probe import Probe
from winnow.store.artifacts import ArtifactStore
from winnow.training.devices import TrainerSpec
from winnow.training.fit import Fitted, fit
from winnow.training.recipe import Recipe

CPU = TrainerSpec(accelerator="cpu", progress=False)
TINY = SmallConv(width=8)


def tiny_dataset(n: int = 60, **options: Any) -> ImageDataset:
    """Made images of 8x8 pixels in three classes; labels are not sorted."""
    spec = Synthetic(**({"n": n, "n_test": 50, "n_classes": 3} | options))
    return spec.read(ArtifactStore())  # made in memory; nothing is stored


def tiny_recipe(**options: Any) -> Recipe:
    """Two epochs of batches of at most 16."""
    return Recipe(**({"epochs": 2, "batch_size": 16, "lr": 0.05} | options))


def tiny_probe(**options: Any) -> Probe:
    """Two members of two epochs."""
    return Probe(**({"model": TINY, "recipe": tiny_recipe(), "members": 2, "epochs": 2} | options))


def tiny_fit(dataset: ImageDataset, recipe: Recipe | None = None, **options: Any) -> Fitted:
    """The tiny model on all of the data set or options["subset"], on the CPU, without a progress bar."""
    default = {"subset": Subset.full(dataset.n), "model": TINY, "seed": 0, "trainer": CPU}
    return fit(dataset, recipe=recipe or tiny_recipe(), **(default | options))


def state(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """A copy of the parameters and buffers."""
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def same_state(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Whether both hold the same names with bit-identical values."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def normalised(dataset: ImageDataset, images: NDArray[np.uint8]) -> torch.Tensor:
    """Images as the model is to see them, [n, C, H, W], by numpy from the training set's pixels."""
    pixels = dataset.train_images.astype(np.float64)
    mean, std = pixels.mean(axis=(0, 1, 2)), pixels.std(axis=(0, 1, 2))
    return torch.tensor(((images - mean) / std).transpose(0, 3, 1, 2), dtype=torch.float32)


class Watcher(Callback):
    """Keeps what each training step saw and gave, and the parameters after it."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.outputs: list[dict[str, torch.Tensor]] = []
        self.states: list[dict[str, torch.Tensor]] = []

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Batch, batch_idx: int) -> None:
        self.batches.append(batch)
        self.outputs.append({name: value.detach().clone() for name, value in outputs.items()})
        self.states.append(state(module.model))
