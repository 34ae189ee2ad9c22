"""The small ResNets for 32x32 images of He et al. 2016 (1512.03385, §4.2)."""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from winnow.core.errors import OptionError
from winnow.models.base import Classifier, ModelSpec


@dataclass(frozen=True, kw_only=True)
class ResNetCifar(ModelSpec):
    """Depth 6k+2 (8, 20, 56...): three stages of k basic blocks with width, 2·width and 4·width channels.

    Shortcuts are the paper's option A: no parameters, stride 2 and zero channels. `width` is 16 in the paper.

    Raises OptionError for a depth that is not 6k+2.
    """

    depth: int = 8
    width: int = 16

    def __post_init__(self) -> None:
        if self.depth < 8 or self.depth % 6 != 2:
            raise OptionError(f"model.depth={self.depth} must be 6k+2, for example 8, 20, 32, 44, 56 or 110.")

    @property
    def family(self) -> str:
        return "resnet"

    @property
    def name(self) -> str:
        return f"resnet{self.depth}" + ("" if self.width == 16 else f"-w{self.width}")

    def build(self, image_shape: tuple[int, int, int], n_classes: int) -> Classifier:
        blocks = self.depth // 6
        layers: list[nn.Module] = [_convolution(image_shape[2], self.width), nn.BatchNorm2d(self.width), nn.ReLU()]
        channels = self.width
        for stage in range(3):
            for block in range(blocks):
                out = self.width * 2**stage
                layers.append(_Block(channels, out, stride=2 if stage > 0 and block == 0 else 1))
                channels = out
        backbone = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        for module in backbone.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        return Classifier(backbone, channels, n_classes)


def _convolution(channels: int, out: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(channels, out, 3, stride=stride, padding=1, bias=False)


class _Block(nn.Module):
    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = _convolution(channels, out, stride), nn.BatchNorm2d(out)
        self.conv2, self.norm2 = _convolution(out, out), nn.BatchNorm2d(out)
        self.stride, self.missing = stride, out - channels

    def forward(self, images: Tensor) -> Tensor:
        out = F.relu(self.norm1(self.conv1(images)))
        out = self.norm2(self.conv2(out))
        shortcut = images
        if self.missing:
            shortcut = F.pad(images[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.missing))
        return F.relu(out + shortcut)
