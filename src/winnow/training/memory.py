"""How much memory a model takes in training and evaluation, found by a step without numbers."""

import functools
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from winnow.datasets.loader import at_once
from winnow.models.base import ModelSpec
from winnow.training.recipe import Recipe


@functools.lru_cache(maxsize=64)
def training_bytes(
    model: ModelSpec, recipe: Recipe, image_shape: tuple[int, int, int], n_classes: int, batch: int
) -> int:
    """The most bytes of tensors at once in a training step of `batch` images (H, W, C).

    Weights, gradients, momentum, what the backward pass keeps of the forward one, and what it makes on its way. With
    bfloat16 the activations and a copy of the weights are of half the size. Two steps are taken on torch's meta device,
    which computes no numbers; what the real device's convolutions use for themselves, and what its allocator wastes,
    comes on top.
    """
    half = recipe.precision == "bfloat16"
    with _Live() as live, torch.device("meta"):
        classifier = model.build(image_shape, n_classes).to(dtype=torch.bfloat16 if half else torch.float32)
        optimiser, _ = recipe.optimiser(classifier, steps=2)
        for _ in range(2):  # the first makes the momentum
            loss = F.cross_entropy(classifier(_images(image_shape, batch, half)), torch.zeros(batch, dtype=torch.int64))
            loss.backward()
            optimiser.step()
            optimiser.zero_grad()
            del loss
        # Held now are weights and momentum by halves. Autocast has halves of weights alone, and both as a whole.
        return live.most + (3 * live.now // 2 if half else 0)


@functools.lru_cache(maxsize=64)
def evaluation_bytes(model: ModelSpec, image_shape: tuple[int, int, int], n_classes: int, n: int) -> int:
    """The most bytes of tensors at once in a pass over n images without gradients, float32, in its own batches."""
    with _Live() as live, torch.device("meta"), torch.no_grad():
        model.build(image_shape, n_classes).eval()(_images(image_shape, min(n, at_once(image_shape)), half=False))
        return live.most


def _images(image_shape: tuple[int, int, int], count: int, half: bool) -> Tensor:
    height, width, channels = image_shape
    return torch.zeros(count, channels, height, width, dtype=torch.bfloat16 if half else torch.float32)


class _Live(TorchDispatchMode):
    """Counts the bytes of the storages that operations have made and that somebody still holds: now, and the most."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self.held: dict[int, weakref.ref[Any]] = {}

    def __torch_dispatch__(
        self, operation: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        made = operation(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor):
                self._hold(tensor.untyped_storage())
        return made

    def _hold(self, storage: torch.UntypedStorage) -> None:
        if storage._cdata in self.held:
            return
        size, name = storage.nbytes(), storage._cdata

        def gone(_: weakref.ref[Any]) -> None:
            self.now -= size
            del self.held[name]

        self.held[name] = weakref.ref(storage, gone)
        self.now += size
        self.most = max(self.most, self.now)
