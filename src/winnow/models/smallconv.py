"""A two-convolution net for images of about 8x8 pixels."""

from dataclasses import dataclass

from torch import nn

from winnow.models.base import Classifier, ModelSpec


@dataclass(frozen=True, kw_only=True)
class SmallConv(ModelSpec):
    """Two 3x3 convolutions of `width` and 2·`width` channels with batch norm, ReLU and 2x2 pooling; 4·2·width features.

    The last pooling adapts to a 2x2 map, so any image of at least 4x4 pixels fits.
    """

    width: int = 32

    @property
    def family(self) -> str:
        return "smallconv"

    @property
    def name(self) -> str:
        return "smallconv" if self.width == 32 else f"smallconv-w{self.width}"

    def build(self, image_shape: tuple[int, int, int], n_classes: int) -> Classifier:
        wide = 2 * self.width
        backbone = nn.Sequential(
            nn.Conv2d(image_shape[2], self.width, 3, padding=1, bias=False),
            nn.BatchNorm2d(self.width),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(self.width, wide, 3, padding=1, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
        )
        return Classifier(backbone, 4 * wide, n_classes)
