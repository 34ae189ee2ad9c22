import pytest
import torch
import torch.nn.functional as F

from winnow.core.errors import OptionError
from winnow.models.fastnet import LEAST_VARIANCE, FastNet


def images(shape, count=200):
    """Smooth ones, whose neighbouring pixels and channels are alike."""
    height, width, channels = shape
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(count, channels + 1, height + 1, width + 1, generator=generator)
    return F.avg_pool2d(noise[:, 1:] + noise[:, :1], 2, stride=1)


@pytest.mark.parametrize("shape", [(32, 32, 3), (8, 8, 1), (9, 12, 5)])
@torch.no_grad()
def test_the_first_layer_whitens_the_patches(shape):
    spec = FastNet(width=4)
    model = spec.build(shape, 3)
    batch = images(shape)
    spec.prepare(model, batch)
    seen = model.backbone[0](batch)
    half = seen.shape[1] // 2
    assert half == 4 * shape[2]
    torch.testing.assert_close(seen[:, half:], -seen[:, :half])
    values = seen[:, :half].movedim(1, 0).flatten(1)
    moments = values @ values.T / values.shape[1]
    # A direction of variance v leaves the layer with v / (v + LEAST_VARIANCE), and no two have anything in common.
    torch.testing.assert_close(moments, moments.diag().diag(), rtol=0, atol=1e-3)
    patches = F.unfold(batch, 2).transpose(1, 2).flatten(0, 1).double()
    variances = torch.linalg.eigvalsh(patches.T @ patches / len(patches))
    torch.testing.assert_close(moments.diag().double(), variances / (variances + LEAST_VARIANCE), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("shape", [(8, 8, 1), (32, 32, 3), (11, 64, 2)])
@pytest.mark.parametrize("depth", [2, 3])
def test_any_channels_and_any_size_from_8x8(shape, stride, depth):
    model = FastNet(width=2, last=3, depth=depth, stride=stride).build(shape, 5)
    batch = images(shape, 4)
    assert model.features(batch).shape == (4, 6)
    model(batch).sum().backward()
    learnt = {name for name, p in model.named_parameters() if p.grad is not None}
    fixed = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert learnt | fixed == {name for name, _ in model.named_parameters()}
    assert "backbone.0.weight" in fixed
    assert "backbone.0.bias" in learnt


def test_convolutions_begin_as_the_identity():
    group = FastNet(width=8).build((32, 32, 3), 10).backbone[3]
    maps = torch.randn(2, 8, 15, 15)
    with torch.no_grad():
        assert torch.equal(group.first[0](maps)[:, :8], maps)


def test_multiply_adds_of_the_network_for_94_percent():
    # 2x2 patches of 3 channels to 24 at 31x31 places, then 3x3 convolutions at 31x31, 15x15 twice, 7x7 twice, 3x3.
    maps = [(24 * 12, 31), (64 * 24 * 9, 31), (64 * 64 * 9, 15), (256 * 64 * 9, 15), (256 * 256 * 9, 7)]
    maps += [(256 * 256 * 9, 7), (256 * 256 * 9, 3)]
    assert FastNet().multiply_adds((32, 32, 3), 10) == sum(each * side**2 for each, side in maps) + 2560


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"width": 0}, r"model\.width=0"),
        ({"last": 0}, "last=0"),
        ({"depth": 4}, "depth=4"),
        ({"stride": 3}, "stride=3"),
    ],
)
def test_bad_options(bad, message):
    with pytest.raises(OptionError, match=message):
        FastNet(**bad)
