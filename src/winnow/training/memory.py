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
    model: ModelSpec,
    recipe: Recipe,
    image_shape: tuple[int, int, int],
    n_classes: int,
    batch: int,
    *,
    unfolded: bool = False,
) -> int:
    """The most bytes of tensors at once in a training step of `batch` images (H, W, C).

    Weights, gradients, momentum, what the backward pass keeps of the forward one, and what it makes on its way. With
    bfloat16 the activations and a copy of the weights are of half the size. unfolded: whether the device's convolutions
    copy each image's patches side by side first (machine.unfolds), which takes k² times their input while they last.
    Two steps are taken on torch's meta device, which computes no numbers; what else the real device's convolutions use
    for themselves, and what its allocator wastes, comes on top.
    """
    half = recipe.precision == "bfloat16"
    with _Live(unfolded=unfolded) as live, torch.device("meta"):
        classifier = model.build(image_shape, n_classes).to(dtype=torch.bfloat16 if half else torch.float32)
        optimiser, _ = recipe.optimiser(classifier, steps=2)
        for _ in range(2):  # the first makes the momentum
            loss = F.cross_entropy(classifier(_images(image_shape, batch, half)), torch.zeros(batch, dtype=torch.int64))
            loss.backward()
            optimiser.step()
            optimiser.zero_grad()
            del loss
        averages = recipe.ema or recipe.lookahead
        averaged = sum(each.nbytes for each in classifier.state_dict().values()) if averages else 0
        # Held now are weights and momentum by halves. Autocast has halves of weights alone, and both as a whole.
        return live.most + (3 * live.now // 2 if half else 0) + averaged * (2 if half else 1)


@functools.lru_cache(maxsize=64)
def evaluation_bytes(model: ModelSpec, image_shape: tuple[int, int, int], n_classes: int, n: int, kind: str) -> int:
    """The most bytes of tensors at once in a pass over n images without gradients, float32, in its own batches.

    kind: of the device, "cpu", "cuda" or "mps", which has its own batches.
    """
    with _Live() as live, torch.device("meta"), torch.no_grad():
        batch = min(n, at_once(image_shape, kind))
        model.build(image_shape, n_classes).eval()(_images(image_shape, batch, half=False))
        return live.most


def _images(image_shape: tuple[int, int, int], count: int, half: bool) -> Tensor:
    height, width, channels = image_shape
    return torch.zeros(count, channels, height, width, dtype=torch.bfloat16 if half else torch.float32)


class _Live(TorchDispatchMode):
    """Counts the bytes of the storages that operations have made and that somebody still holds: now, and the most.

    unfolded: to count, while a convolution lasts, the patches that it copies side by side.
    """

    def __init__(self, *, unfolded: bool = False) -> None:
        super().__init__()
        self.unfolded = unfolded
        self.now = self.most = 0
        self.held: dict[int, weakref.ref[Any]] = {}

    def __torch_dispatch__(
        self, operation: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        made = operation(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor):
                self._hold(tensor.untyped_storage())
        if self.unfolded and operation is torch.ops.aten.convolution.default:
            self.most = max(self.most, self.now + _patches(args[0], args[1], made))
        elif self.unfolded and operation is torch.ops.aten.convolution_backward.default:
            self.most = max(self.most, self.now + _patches(args[1], args[2], args[0]))
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


def _patches(images: Tensor, weight: Tensor, outputs: Tensor) -> int:
    """The bytes of the patches of `images` under a convolution's window, at each place of `outputs`; a window of one
    element at every place needs no copy."""
    if weight.shape[2:].numel() == 1 and images.shape[2:] == outputs.shape[2:]:
        return 0
    return len(images) * weight[0].numel() * outputs.shape[2:].numel() * images.element_size()
