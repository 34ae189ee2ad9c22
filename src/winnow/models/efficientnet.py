"""EfficientNet-B0 on torchvision's blocks, with a stem for small images."""

from dataclasses import dataclass

from torch import nn
from torchvision.models import efficientnet_b0

from winnow.core.errors import check_choice
from winnow.models.base import Classifier, ModelSpec


@dataclass(frozen=True, kw_only=True)
class EfficientNetB0(ModelSpec):
    """torchvision's EfficientNet-B0 (Tan & Le 2019, 1905.11946), trained from scratch: 1,280 features.

    As there, training drops 0.2 of the features before the head, and whole blocks with a probability that rises to 0.2
    with depth (Huang et al. 2016, 1603.09382); the features of evaluation are those before both.
    stem: "imagenet" has a first convolution of stride 2, "cifar" one of stride 1, for images of about 32x32.

    Raises OptionError for another stem.
    """

    stem: str = "cifar"

    def __post_init__(self) -> None:
        check_choice("model.stem", self.stem, ("cifar", "imagenet"))

    @property
    def name(self) -> str:
        return "efficientnet-b0" + ("" if self.stem == "cifar" else "-imagenet-stem")

    def build(self, image_shape: tuple[int, int, int], n_classes: int) -> Classifier:
        network = efficientnet_b0(num_classes=n_classes)
        dropout, head = network.classifier
        assert isinstance(dropout, nn.Dropout)
        assert isinstance(head, nn.Linear)
        first = network.features[0][0]
        stride = 2 if self.stem == "imagenet" else 1
        if (first.in_channels, first.stride) != (image_shape[2], (stride, stride)):
            first = nn.Conv2d(image_shape[2], first.out_channels, 3, stride=stride, padding=1, bias=False)
            nn.init.kaiming_normal_(first.weight, mode="fan_out")
            network.features[0][0] = first
        # Not in place: what a pass calls features is before it, and nothing else may write there.
        backbone = nn.Sequential(network.features, network.avgpool, nn.Flatten(), nn.Dropout(dropout.p))
        classifier = Classifier(backbone, head.in_features, n_classes)
        classifier.head = head  # as torchvision initialises it
        return classifier
