"""Small models with layers of every kind, for tests of what is done to them layer by layer."""

from torch import nn

from winnow.models.base import Classifier
from winnow.models.fastnet import FastNet
from winnow.models.resnet_cifar import ResNetCifar
from winnow.models.smallconv import SmallConv


class Grouped(nn.Module):
    """Layers of every kind that is done by layer, on few positions and on many."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1, groups=1, bias=True),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 16, 3, stride=2, dilation=2, groups=4),
            nn.BatchNorm2d(16, affine=False),
            nn.Conv2d(16, 64, 1),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(64, 5, bias=False),
        )

    def forward(self, images):
        return self.layers(images)


class InPlace(nn.Module):
    """A block whose activations and shortcut write into the outputs of its layers, as torchvision's do."""

    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(inplace=True))
        self.second = nn.Sequential(nn.Conv2d(6, 6, 3, padding=1), nn.BatchNorm2d(6))
        self.last = nn.ReLU(inplace=True)

    def forward(self, images):
        identity = self.first(images)
        out = self.second(identity)
        out += identity
        return self.last(out).mean(dim=(2, 3))


class Normed(nn.Module):
    """A layer that is not known by name, so that torch.func does it."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.LayerNorm(3 * 12 * 12), nn.Linear(3 * 12 * 12, 6))

    def forward(self, images):
        return self.layers(images)


MODELS = {
    "smallconv": lambda: SmallConv(width=4).build((12, 12, 3), 4),
    "resnet": lambda: ResNetCifar(depth=8, width=4).build((12, 12, 3), 4),
    "fixed parts": lambda: FastNet(width=2).build((12, 12, 3), 4),
    "grouped": lambda: Classifier(Grouped(), 5, 4),
    "in place": lambda: Classifier(InPlace(), 6, 4),
    "torch.func": lambda: Classifier(Normed(), 6, 4),
}
