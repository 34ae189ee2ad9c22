"""What every model gives: logits, and the penultimate features behind them."""

from abc import abstractmethod
from dataclasses import dataclass

from torch import Tensor, nn

from winnow.keys import Component


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
class ModelSpec(Component):
    """Which architecture; `build` makes it with the weights of torch's current random state."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Short name for rows and figures."""

    @abstractmethod
    def build(self, image_shape: tuple[int, int, int], n_classes: int) -> Classifier:
        """A new model for images of shape (H, W, C)."""
