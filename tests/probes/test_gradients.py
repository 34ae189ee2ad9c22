"""Per-example gradients against autograd, one example at a time."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from helpers.models import MODELS
from winnow.datasets.loader import Batch
from winnow.models.efficientnet import EfficientNetB0
from winnow.probes import gradients
from winnow.probes.gradients import examples_at_once, gradient_norms, input_gradient_norms

N = 23


@pytest.fixture(params=MODELS)
def model(request):
    """A model in evaluation mode whose batch norm has seen data, in float64."""
    torch.manual_seed(3)
    model = MODELS[request.param]().double()
    model(torch.randn(64, 3, 12, 12, dtype=torch.float64) * 2 + 1)
    return model.eval()


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(4)
    images = torch.randn(N, 3, 12, 12, generator=generator, dtype=torch.float64)
    return Batch(torch.arange(N), images, torch.randint(0, 4, (N,), generator=generator), torch.ones(N), N)


def part(batch, rows):
    return Batch(*(array[rows] for array in batch[:4]), 0)


def loop(model, batch):
    """One backward pass an example: (norms in the parameters, norms in the input)."""
    parameters, norms, inputs = [p for p in model.parameters() if p.requires_grad], [], []
    for row in range(len(batch.label)):
        image = batch.image[[row]].requires_grad_()
        loss = F.cross_entropy(model(image), batch.label[[row]])
        *of_parameters, of_image = torch.autograd.grad(loss, [*parameters, image])
        norms.append(torch.stack([g.square().sum() for g in of_parameters]).sum().sqrt())
        inputs.append(of_image.norm())
    return torch.stack(norms), torch.stack(inputs)


def test_equals_the_loop(model, batch):
    in_parameters, in_input = loop(model, batch)
    torch.testing.assert_close(gradient_norms(model, batch), in_parameters, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(input_gradient_norms(model, batch), in_input, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("stem", ["cifar", "imagenet"])
def test_equals_the_loop_on_efficientnet(stem, batch):
    """Squeeze-excitation, depthwise convolutions, activations and shortcuts in place."""
    torch.manual_seed(3)
    model = EfficientNetB0(stem=stem).build((12, 12, 3), 4).double()
    model(torch.randn(8, 3, 12, 12, dtype=torch.float64) * 2 + 1)
    model.eval()
    few = part(batch, slice(2))
    in_parameters, in_input = loop(model, few)
    torch.testing.assert_close(gradient_norms(model, few), in_parameters, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(input_gradient_norms(model, few), in_input, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("of", [gradient_norms, input_gradient_norms])
def test_batch_size_and_position_do_not_matter(model, batch, of):
    whole = of(model, batch)
    for size in (1, 7):
        parts = [of(model, part(batch, slice(start, start + size))) for start in range(0, N, size)]
        torch.testing.assert_close(torch.cat(parts), whole, rtol=1e-8, atol=1e-8)
    turned = of(model, part(batch, torch.arange(N).flip(0)))
    torch.testing.assert_close(turned.flip(0), whole, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("of", [gradient_norms, input_gradient_norms])
def test_single_precision_is_close(model, batch, of):
    exact = of(model, batch)
    single = Batch(batch.index, batch.image.float(), batch.label, batch.weight, N)
    for size in (1, 7, N):
        parts = [of(model.float(), part(single, slice(start, start + size))) for start in range(0, N, size)]
        torch.testing.assert_close(torch.cat(parts), exact, rtol=1e-4, atol=1e-6)


def test_both_ways_through_a_convolution_agree(batch, monkeypatch):
    """Whichever way is cheaper on a layer, the other gives the same."""
    torch.manual_seed(0)
    layer = nn.Conv2d(3, 6, 3, padding=1, groups=3).double()
    a, b = torch.randn(5, 3, 4, 4).double(), torch.randn(5, 6, 4, 4).double()
    norms = gradients._of_convolution(layer, a, b)
    for row in range(5):
        (gradient,) = torch.autograd.grad(layer(a[[row]]), layer.weight, b[[row]])
        torch.testing.assert_close(norms[row], gradient.square().sum())
    wide = nn.Conv2d(3, 40, 3).double()
    a, b = torch.randn(5, 3, 4, 4).double(), torch.randn(5, 40, 2, 2).double()
    for row, norm in enumerate(gradients._of_convolution(wide, a, b)):
        (gradient,) = torch.autograd.grad(wide(a[[row]]), wide.weight, b[[row]])
        torch.testing.assert_close(norm, gradient.square().sum())


def test_nothing_is_left_behind(batch):
    model = MODELS["resnet"]().double().eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    gradient_norms(model, batch)
    examples_at_once(model.float(), (12, 12, 3), 0.1)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(value, before[name].to(value.dtype)) for name, value in model.state_dict().items())
    assert not any(layer._forward_hooks for layer in model.modules())


def test_the_memory_budget_sets_the_batch():
    model = MODELS["resnet"]()
    small, large = (examples_at_once(model, (12, 12, 3), gigabytes) for gigabytes in (0.01, 0.1))
    assert 1 <= small < large
    assert large == pytest.approx(10 * small, rel=0.2)
    assert examples_at_once(model, (12, 12, 3), 1e-9) == 1
    assert model.training


@pytest.mark.parametrize(
    "options",
    [{"kernel_size": 3, "padding": 1}, {"kernel_size": 3, "padding": 1, "stride": 2}, {"kernel_size": 1, "stride": 2},
     {"kernel_size": (3, 2), "padding": (2, 0), "stride": (1, 2), "dilation": (2, 3)}, {"kernel_size": 4, "groups": 2}],
)  # fmt: skip
@pytest.mark.parametrize("width", [5, 19])
@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_patches_are_those_of_torch(options, width, memory):
    layer = nn.Conv2d(6, 4, **options)
    images = torch.randn(3, 6, 11, width).to(memory_format=memory)
    asked = (layer.kernel_size, layer.dilation, layer.padding, layer.stride)
    assert torch.equal(gradients.unfolded(layer, images), F.unfold(images, *asked))
