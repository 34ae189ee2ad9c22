"""What every model gives: logits, and the penultimate features behind them."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from winnow.store.keys import Component


class Classifier(nn.Module):
    """A backbone to penultimate features [B, d] and a linear head to logits [B, C]."""

    def __init__(self, backbone: nn.Module, feature_dim: int, n_classes: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(feature_dim, n_classes)

    def features(self, images: Tensor) -> Tensor:
        """Penultimate features [B, d] of images [B, C, H, W]."""
        return self.backbone(images)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.features(images))


@dataclass(frozen=True, kw_only=True)
class ModelSpec(Component, ABC):
    """Which architecture; `build` makes it with the weights of torch's current random state."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Short name for rows and figures."""

    @property
    def family(self) -> str:
        """What this architecture shares with those that differ from it in width or depth alone."""
        return self.name

    @property
    def width(self) -> int | None:
        """Channels of the first stage, where that is an option of the architecture."""
        return None

    @property
    def depth(self) -> int | None:
        """Layers with weights, where that is an option of the architecture."""
        return None

    @abstractmethod
    def build(self, image_shape: tuple[int, int, int], n_classes: int) -> Classifier:
        """A new model for images of shape (H, W, C)."""

    @property
    def prepared_on(self) -> int:
        """How many images `prepare` asks for; 0 where the architecture takes nothing from the images."""
        return 0

    def prepare(self, classifier: Classifier, images: Tensor) -> None:
        """Set, before the first step, what this architecture takes from training images [B, C, H, W], normalised."""

    def normalises_one(self, image_shape: tuple[int, int, int], n_classes: int) -> bool:
        """Whether a training step on a single image of shape (H, W, C) leaves batch norm several values a channel."""
        height, width, channels = image_shape
        with torch.device("meta"):
            model, image = self.build(image_shape, n_classes), torch.zeros(1, channels, height, width)
        try:
            model.train()(image)
        except ValueError:  # torch refuses to normalise a single value
            return False
        return True

    def multiply_adds(self, image_shape: tuple[int, int, int], n_classes: int) -> int:
        """Multiplications with an addition in one forward pass of one image (H, W, C): of convolutions and the head.

        Half of what torch's counter of floating-point operations gives; batch norm, ReLU and pooling are left out.
        """
        from torch.utils.flop_counter import FlopCounterMode  # brings triton where that is installed

        height, width, channels = image_shape
        with torch.device("meta"):
            model, image = self.build(image_shape, n_classes), torch.zeros(1, channels, height, width)
        with FlopCounterMode(display=False) as counter:
            model.eval()(image)
        return counter.get_total_flops() // 2
