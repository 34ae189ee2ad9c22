"""Every model of conf/model builds and splits into features and head; sizes are those of the papers."""

from functools import cache
from pathlib import Path

import pytest
import torch
import torchvision
from hydra.utils import instantiate

from helpers.config import composed, options
from winnow.core.errors import OptionError
from winnow.models.base import Classifier
from winnow.models.efficientnet import EfficientNetB0
from winnow.models.fastnet import FastNet
from winnow.models.resnet_cifar import ResNetCifar
from winnow.models.resnet_torchvision import ResNetTorchvision
from winnow.models.smallconv import SmallConv

CONFIGS = options("model")
COLOUR, GREY = (32, 32, 3), (8, 8, 1)
CASES = [pytest.param(path, COLOUR, id=path.stem) for path in CONFIGS]
CASES += [pytest.param(path, GREY, id="smallconv-grey") for path in CONFIGS if path.stem == "smallconv"]


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """On a busy machine, small networks spend most of their time in waiting for the other threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@cache
def built(path: Path, image_shape: tuple[int, int, int]) -> Classifier:
    torch.manual_seed(0)
    return instantiate(composed(path)).build(image_shape, 7).eval()


@cache
@torch.no_grad()
def logits_of(path: Path, image_shape: tuple[int, int, int]) -> torch.Tensor:
    return built(path, image_shape)(images(image_shape))


def images(image_shape, batch=2):
    height, width, channels = image_shape
    return torch.randn(batch, channels, height, width, generator=torch.Generator().manual_seed(1))


def parameters(spec, image_shape=COLOUR, n_classes=10) -> int:
    with torch.device("meta"):  # shapes without the numbers
        model = spec.build(image_shape, n_classes)
    return sum(p.numel() for p in model.parameters())


def test_there_are_models():
    assert {"resnet18", "resnet20", "smallconv"} <= {path.stem for path in CONFIGS}


@pytest.mark.parametrize(("path", "image_shape"), CASES)
@torch.no_grad()
def test_logits_are_the_head_of_the_features(path, image_shape):
    model = built(path, image_shape)
    features, logits = model.features(images(image_shape)), logits_of(path, image_shape)
    assert features.shape == (2, model.head.in_features)
    assert logits.shape == (2, 7)
    assert torch.equal(model.head(features), logits)
    assert torch.isfinite(logits).all()
    assert logits.std(dim=0).min() > 0


@pytest.mark.parametrize(("path", "image_shape"), CASES)
@torch.no_grad()
def test_the_memory_format_does_not_matter(path, image_shape):
    contiguous = logits_of(path, image_shape)
    last = built(path, image_shape)(images(image_shape).to(memory_format=torch.channels_last))
    torch.testing.assert_close(last, contiguous, rtol=1e-3, atol=1e-3 * contiguous.abs().max().item())


@pytest.mark.parametrize("spec", [SmallConv(), ResNetCifar()])
def test_every_parameter_learns(spec):
    model = spec.build(COLOUR, 7)
    model(images(COLOUR)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


@pytest.mark.parametrize("spec", [SmallConv(), ResNetCifar(), ResNetTorchvision()])
def test_weights_are_those_of_the_random_state(spec):
    def weights(seed):
        torch.manual_seed(seed)
        return torch.cat([p.detach().flatten() for p in spec.build(COLOUR, 7).parameters()])

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def by_hand(depth, width, channels=3, n_classes=10) -> int:
    """He et al. 2016, option A: 3x3 convolutions without bias, two numbers a channel of batch norm, a linear head."""
    blocks, total, inputs = (depth - 2) // 6, 9 * channels * width + 2 * width, width
    for outputs in (width, 2 * width, 4 * width):
        total += 9 * inputs * outputs + (2 * blocks - 1) * 9 * outputs**2 + 2 * blocks * 2 * outputs
        inputs = outputs
    return total + (inputs + 1) * n_classes


@pytest.mark.parametrize(("depth", "expected"), [(8, 75_290), (20, 269_722), (56, 853_018)])
def test_parameters_of_the_small_resnets(depth, expected):
    assert parameters(ResNetCifar(depth=depth)) == by_hand(depth, 16) == expected


@pytest.mark.parametrize(
    ("width", "image_shape", "n_classes"), [(4, COLOUR, 10), (32, COLOUR, 10), (8, (28, 28, 1), 3)]
)
def test_width_channels_and_classes_scale(width, image_shape, n_classes):
    expected = by_hand(20, width, image_shape[2], n_classes)
    assert parameters(ResNetCifar(depth=20, width=width), image_shape, n_classes) == expected


@pytest.mark.parametrize(
    ("spec", "n_classes", "expected"),
    [
        (ResNetTorchvision(), 10, 11_173_962),
        (ResNetTorchvision(depth=50), 10, 23_520_842),
        (ResNetTorchvision(depth=34, stem="imagenet"), 1000, 21_797_672),
        (EfficientNetB0(stem="imagenet"), 1000, 5_288_548),
        (ResNetTorchvision(stem="imagenet"), 1000, 11_689_512),
    ],
)
def test_parameters_of_the_large_resnets(spec, n_classes, expected):
    assert parameters(spec, n_classes=n_classes) == expected


def test_parameters_of_the_small_convolutional_net():
    # Two convolutions, two batch norms, and a head on 2x2 positions of 2·width channels.
    assert parameters(SmallConv(), GREY) == 9 * 32 + 64 + 9 * 32 * 64 + 128 + 4 * 64 * 10 + 10
    assert parameters(SmallConv(width=5), COLOUR) == 27 * 5 + 10 + 9 * 5 * 10 + 20 + 4 * 10 * 10 + 10


@pytest.mark.parametrize(
    ("spec", "image_shape", "expected"),
    [
        # by hand: 3x3 convolutions at each position of their map, and a head on 4 · 2 · width features
        (SmallConv(width=5), GREY, 64 * 9 * 5 + 16 * 9 * 5 * 10 + 40 * 10),
        (SmallConv(width=5), (16, 12, 3), 192 * 27 * 5 + 48 * 9 * 5 * 10 + 40 * 10),
        (ResNetCifar(), COLOUR, 1024 * 9 * (48 + 2 * 256) + 256 * 9 * (512 + 1024) + 64 * 9 * (2048 + 4096) + 640),
        (ResNetTorchvision(), COLOUR, 555_422_720),
        # as torchvision gives them for 1,000 classes: 3.66e9 and 0.39e9, less 990 of these
        (ResNetTorchvision(depth=34, stem="imagenet"), (224, 224, 3), 3_663_761_408 - 990 * 512),
        (EfficientNetB0(stem="imagenet"), (224, 224, 3), 385_814_752 - 990 * 1280),
    ],
)
def test_multiply_adds_are_those_of_convolutions_and_head(spec, image_shape, expected):
    state = torch.get_rng_state()
    assert spec.multiply_adds(image_shape, 10) == expected
    assert torch.equal(torch.get_rng_state(), state)


def test_a_family_is_what_width_and_depth_are_not():
    specs = [SmallConv(), SmallConv(width=8), ResNetCifar(), ResNetCifar(depth=20, width=8), ResNetTorchvision()]
    specs += [ResNetTorchvision(depth=50), ResNetTorchvision(stem="imagenet"), EfficientNetB0(), FastNet(stride=2)]
    assert [(spec.family, spec.width, spec.depth) for spec in specs] == [
        ("smallconv", 32, None),
        ("smallconv", 8, None),
        ("resnet", 16, 8),
        ("resnet", 8, 20),
        ("resnet-torchvision", None, 18),
        ("resnet-torchvision", None, 50),
        ("resnet-torchvision-imagenet-stem", None, 18),
        ("efficientnet-b0", None, None),
        ("fastnet-stride2", 64, 2),
    ]


@torch.no_grad()
def test_a_shortcut_between_stages_takes_every_second_pixel_and_adds_empty_channels():
    block = ResNetCifar(depth=8).build(COLOUR, 10).backbone[4].eval()  # after convolution, norm, ReLU and one block
    block.norm2.weight.zero_()
    batch = torch.randn(2, 16, 32, 32)
    out = block(batch)
    assert out.shape == (2, 32, 16, 16)
    assert torch.equal(out[:, :16], batch[:, :, ::2, ::2].relu())
    assert not out[:, 16:].any()


@pytest.mark.parametrize(("stem", "side"), [("cifar", 4), ("imagenet", 1)])
def test_the_stem_for_small_images_keeps_their_size(stem, side):
    backbone = ResNetTorchvision(stem=stem).build(COLOUR, 10).backbone.eval()
    sizes = []
    backbone.layer4.register_forward_hook(lambda module, inputs, out: sizes.append(tuple(out.shape[2:])))
    with torch.no_grad():
        backbone(images(COLOUR))
    assert sizes == [(side, side)]


@pytest.mark.parametrize(
    ("spec", "theirs", "head"),
    [
        (ResNetTorchvision(depth=34, stem="imagenet"), torchvision.models.resnet34, "fc"),
        (EfficientNetB0(stem="imagenet"), torchvision.models.efficientnet_b0, "classifier.1"),
    ],
)
@torch.no_grad()
def test_with_the_same_weights_it_is_torchvisions_model(spec, theirs, head):
    torch.manual_seed(1)
    other, own = theirs(num_classes=7), spec.build((64, 64, 3), 7)
    apart = [name for name in other.state_dict() if not name.startswith(head)]
    given = [value for name, value in other.state_dict().items() if not name.startswith(head)]
    backbone = own.backbone.state_dict()
    assert len(backbone) == len(apart)
    own.backbone.load_state_dict(dict(zip(backbone, given, strict=True)))
    own.head.load_state_dict(other.get_submodule(head).state_dict())
    batch = images((64, 64, 3), batch=4)
    for training in (True, False):
        outputs = []
        for model in (own, other):
            torch.manual_seed(2)  # of dropout and stochastic depth
            outputs.append(model.train(training)(batch))
        assert torch.equal(*outputs)
    assert all(torch.equal(a, b) for a, b in zip(own.backbone.state_dict().values(), other.state_dict().values()))  # noqa: B905


@torch.no_grad()
def test_efficientnet_drops_features_in_training_alone():
    model = EfficientNetB0().build(COLOUR, 7)
    torch.manual_seed(0)
    dropped = (model.train().features(images(COLOUR)) == 0).float().mean().item()
    assert dropped == pytest.approx(0.2, abs=0.05)
    assert not (model.eval().features(images(COLOUR)) == 0).any()
    assert model.head.bias.abs().max() == 0
    assert model.head.weight.abs().max() <= 7**-0.5


@pytest.mark.parametrize(("stem", "side"), [("cifar", 2), ("imagenet", 1)])
def test_the_stem_of_efficientnet(stem, side):
    sizes, network = [], EfficientNetB0(stem=stem).build((32, 32, 1), 10).backbone.eval()
    network[0].register_forward_hook(lambda module, inputs, out: sizes.append(tuple(out.shape[2:])))
    with torch.no_grad():
        network(images((32, 32, 1)))
    assert sizes == [(side, side)]


@pytest.mark.parametrize("size", [4, 8, 28])
def test_the_small_net_takes_images_of_any_size(size):
    model = SmallConv(width=4).build((size, size, 1), 3)
    assert model(images((size, size, 1))).shape == (2, 3)


@pytest.mark.parametrize("depth", [9, 2, 18, 0])
def test_depths_that_are_not_6k_plus_2(depth):
    with pytest.raises(OptionError, match=f"model.depth={depth} must be 6k"):
        ResNetCifar(depth=depth)


def test_unknown_options():
    with pytest.raises(OptionError, match=r"model\.depth=20 is not known; choose one of: 18, 34, 50"):
        ResNetTorchvision(depth=20)
    with pytest.raises(OptionError, match="choose one of: cifar, imagenet"):
        EfficientNetB0(stem="none")
    with pytest.raises(OptionError, match="choose one of: cifar, imagenet"):
        ResNetTorchvision(stem="mnist")


def test_names_tell_variants_apart():
    specs = [
        ResNetCifar(depth=20),
        ResNetCifar(depth=20, width=8),
        ResNetTorchvision(),
        ResNetTorchvision(stem="imagenet"),
        SmallConv(),
        SmallConv(width=8),
        ResNetTorchvision(depth=34),
        EfficientNetB0(),
        EfficientNetB0(stem="imagenet"),
    ]
    assert [spec.name for spec in specs] == [
        "resnet20",
        "resnet20-w8",
        "resnet18",
        "resnet18-imagenet-stem",
        "smallconv",
        "smallconv-w8",
        "resnet34",
        "efficientnet-b0",
        "efficientnet-b0-imagenet-stem",
    ]
