"""A small convolutional network that learns 32x32 photographs in few passes."""

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from winnow.core.errors import OptionError
from winnow.models.base import Classifier, ModelSpec
from winnow.store.keys import LATER

PATCH = 2
PREPARED_ON = 5000
LEAST_VARIANCE = 5e-4
"""Added to the variance of each direction of the patches."""


@dataclass(frozen=True, kw_only=True)
class FastNet(ModelSpec):
    """A whitening layer, three groups of convolutions, and the largest value of each channel as features.

    After Jordan 2024 (2404.00498, airbench): the first layer's 2x2 filters are the principal directions of the training
    images' patches, each and its negative, scaled to unit variance and fixed; its bias is learnt. A group is a 3x3
    convolution, 2x2 max-pooling and `depth` - 1 more convolutions, each with batch norm whose scale is fixed, and GELU;
    where depth is 3, a shortcut goes around the last (his network for 96%). Convolutions begin as the identity in the
    channels that they have, and features are divided by 9. Groups have width, 4·width and last·width channels; his
    for 94% has width 64 and last 4, those for 95 and 96% width 128 and last 3 and 4, the latter with depth 3.
    stride: of the first layer; 2 takes a third of the multiplications, for processors.

    Deviations: the head has a bias, and the first layer's is learnt to the end. Works for any number of channels and
    any size; maps of one pixel are pooled no further.

    Raises OptionError for values outside their range.
    """

    width: int = 64
    last: int = 4
    depth: int = 2
    stride: int = field(default=1, metadata=LATER)

    def __post_init__(self) -> None:
        if self.width < 1 or self.last < 1 or self.depth not in (2, 3):
            options = f"model.width={self.width}, last={self.last} and depth={self.depth}"
            raise OptionError(f"{options}: width and last must be at least 1, and depth 2 or 3.")
        if self.stride not in (1, 2):
            raise OptionError(f"model.stride={self.stride} must be 1 or 2.")

    @property
    def family(self) -> str:
        """Width and depth are told apart; the rest of the options is the family's."""
        return self._named({"last": (self.last, 4), "stride": (self.stride, 1)})

    @property
    def name(self) -> str:
        options = {"w": (self.width, 64), "d": (self.depth, 2), "last": (self.last, 4), "stride": (self.stride, 1)}
        return self._named(options)

    @staticmethod
    def _named(options: dict[str, tuple[int, int]]) -> str:
        """With each option that is not as usual."""
        return "-".join(["fastnet", *(f"{name}{now}" for name, (now, usual) in options.items() if now != usual)])

    def build(self, image_shape: tuple[int, int, int], n_classes: int) -> Classifier:
        height, width, channels = image_shape
        filters = 2 * channels * PATCH**2
        whitening = nn.Conv2d(channels, filters, PATCH, stride=self.stride)
        whitening.weight.requires_grad_(False)
        assert whitening.bias is not None
        nn.init.zeros_(whitening.bias)
        side = (min(height, width) - PATCH) // self.stride + 1
        layers: list[nn.Module] = [whitening, nn.GELU()]
        for out in (self.width, 4 * self.width, self.last * self.width):
            layers.append(_Group(filters, out, self.depth, pooled=side > 1))
            filters, side = out, max(side // 2, 1)
        return Classifier(nn.Sequential(*layers, nn.AdaptiveMaxPool2d(1), nn.Flatten(), _Scaled()), filters, n_classes)

    @property
    def prepared_on(self) -> int:
        return PREPARED_ON

    def prepare(self, classifier: Classifier, images: Tensor) -> None:
        backbone = classifier.backbone
        assert isinstance(backbone, nn.Sequential)
        whitening = backbone[0]
        assert isinstance(whitening, nn.Conv2d)
        patches = F.unfold(images, PATCH).transpose(1, 2).flatten(0, 1).double()  # [B positions, channels patch²]
        variances, directions = torch.linalg.eigh(patches.T @ patches / len(patches))
        filters = (directions / (variances + LEAST_VARIANCE).sqrt()).T.reshape(-1, *whitening.weight.shape[1:])
        with torch.no_grad():
            whitening.weight.copy_(torch.cat([filters, -filters]))


class _Group(nn.Module):
    def __init__(self, channels: int, out: int, depth: int, *, pooled: bool) -> None:
        super().__init__()
        first = [_convolution(channels, out), *([nn.MaxPool2d(2)] if pooled else []), _norm(out), nn.GELU()]
        self.first = nn.Sequential(*first, _convolution(out, out), _norm(out))
        self.second = nn.Sequential(nn.GELU(), _convolution(out, out), _norm(out)) if depth == 3 else None
        self.end = nn.GELU()

    def forward(self, images: Tensor) -> Tensor:
        out = self.first(images)
        if self.second is not None:
            out = out + self.second(out)
        return self.end(out)


class _Scaled(nn.Module):
    def forward(self, features: Tensor) -> Tensor:
        return features / 9


def _convolution(channels: int, out: int) -> nn.Conv2d:
    layer = nn.Conv2d(channels, out, 3, padding=1, bias=False)
    nn.init.dirac_(layer.weight[: min(channels, out)].data)
    return layer


def _norm(channels: int) -> nn.BatchNorm2d:
    layer = nn.BatchNorm2d(channels, eps=1e-12, momentum=0.4)
    layer.weight.requires_grad_(False)
    return layer
