"""ResNet-18, -34 and -50 on torchvision's blocks, with a stem for small images."""

from dataclasses import dataclass

from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from winnow.core.errors import check_choice
from winnow.models.base import Classifier, ModelSpec

_BLOCKS: dict[int, tuple[type[BasicBlock | Bottleneck], list[int]]] = {
    18: (BasicBlock, [2, 2, 2, 2]),
    34: (BasicBlock, [3, 4, 6, 3]),
    50: (Bottleneck, [3, 4, 6, 3]),
}


@dataclass(frozen=True, kw_only=True)
class ResNetTorchvision(ModelSpec):
    """torchvision's ResNet, trained from scratch.

    stem: "cifar" is one 3x3 convolution of stride 1 and no pooling, the usual change for 32x32 images;
    "imagenet" keeps the 7x7 stride-2 convolution and the max-pooling.

    Raises OptionError for another depth or stem.
    """

    depth: int = 18
    stem: str = "cifar"

    def __post_init__(self) -> None:
        check_choice("model.depth", self.depth, tuple(_BLOCKS))
        check_choice("model.stem", self.stem, ("cifar", "imagenet"))

    @property
    def family(self) -> str:
        return self.name.replace(str(self.depth), "-torchvision")

    @property
    def name(self) -> str:
        return f"resnet{self.depth}" + ("" if self.stem == "cifar" else "-imagenet-stem")

    def build(self, image_shape: tuple[int, int, int], n_classes: int) -> Classifier:
        block, layers = _BLOCKS[self.depth]
        backbone = ResNet(block, layers)
        feature_dim = backbone.fc.in_features
        backbone.fc = nn.Identity()
        channels = image_shape[2]
        if self.stem == "cifar":
            backbone.conv1 = nn.Conv2d(channels, 64, 3, stride=1, padding=1, bias=False)
            backbone.maxpool = nn.Identity()
        else:
            backbone.conv1 = nn.Conv2d(channels, 64, 7, stride=2, padding=3, bias=False)
        nn.init.kaiming_normal_(backbone.conv1.weight, mode="fan_out", nonlinearity="relu")
        return Classifier(backbone, feature_dim, n_classes)
