"""Projected gradients against explicit gradients and explicit projections."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from helpers.models import MODELS
from winnow.core.seeds import derive
from winnow.datasets.loader import Batch
from winnow.models.base import Classifier
from winnow.models.smallconv import SmallConv
from winnow.probes.gradients import examples_at_once
from winnow.probes.projections import _projection, exact_losses, margins, projected_gradients, scratch

N = 6


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(4)
    images = torch.randn(N, 3, 12, 12, generator=generator, dtype=torch.float64)
    return Batch(torch.arange(N), images, torch.randint(0, 4, (N,), generator=generator), torch.ones(N), N)


def made(name: str) -> Classifier:
    """A model in evaluation mode whose batch norm has seen data, in float64."""
    torch.manual_seed(3)
    model = MODELS[name]().double()
    model(torch.randn(64, 3, 12, 12, dtype=torch.float64) * 2 + 1)
    return model.eval()


def explicit(model: Classifier, batch: Batch) -> list[dict[str, torch.Tensor]]:
    """∇_θ log(p / (1 − p)) by name, one backward pass an example, through the probability itself."""
    gradients = []
    for row in range(len(batch.label)):
        p = model(batch.image[[row]]).softmax(dim=1)[0, batch.label[row]]
        learnt = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
        found = torch.autograd.grad((p / (1 - p)).log(), list(learnt.values()))
        gradients.append(dict(zip(learnt, found, strict=True)))
    return gradients


def products(gradients: list[dict[str, torch.Tensor]]) -> torch.Tensor:
    """⟨g_i, g_j⟩ [N, N]"""
    rows = torch.stack([torch.cat([g.flatten() for g in one.values()]) for one in gradients])
    return rows @ rows.T


def test_margins():
    outputs = torch.tensor([[2.0, 1.0, -1.0], [200.0, 0.0, 0.0]], dtype=torch.float64)
    p = outputs.softmax(dim=1)[0, 1]
    torch.testing.assert_close(margins(outputs, torch.tensor([1, 0]))[0], (p / (1 - p)).log())
    assert margins(outputs, torch.tensor([1, 0]))[1] == pytest.approx(200 - math.log(2), rel=1e-15)


@pytest.mark.parametrize("name", ["smallconv", "torch.func"])
def test_gradients_of_the_loss_are_those_of_the_margin_times_p_minus_one(name, batch):
    model = made(name)
    p = model(batch.image).softmax(dim=1).gather(1, batch.label[:, None])
    expected = (p - 1) * projected_gradients(model, batch, size=64)
    torch.testing.assert_close(projected_gradients(model, batch, size=64, objective=exact_losses), expected)


def test_the_gradient_of_the_loss_is_not_rounded_to_zero():
    outputs = torch.tensor([[60.0, 0.0]], requires_grad=True)
    loss = exact_losses(outputs, torch.tensor([0]))
    (gradient,) = torch.autograd.grad(loss.sum(), outputs)
    assert gradient.flatten().tolist() == pytest.approx([-math.exp(-60), math.exp(-60)], rel=1e-5)


@pytest.mark.parametrize("name", ["smallconv", "fixed parts", "grouped", "torch.func"])
def test_inner_products_are_kept_in_expectation(name, batch):
    """Mean over seeds of ⟨φ_i, φ_j⟩ within 5 standard errors of ⟨g_i, g_j⟩, the errors themselves small."""
    model, seeds = made(name), 100
    exact = products(explicit(model, batch)).numpy()
    drawn = np.empty((seeds, N, N))
    for seed in range(seeds):
        phi = projected_gradients(model, batch, size=36, seed=seed).numpy()
        drawn[seed] = phi @ phi.T
    error = drawn.std(axis=0, ddof=1) / math.sqrt(seeds)
    lengths = np.sqrt(np.outer(np.diag(exact), np.diag(exact)))
    assert (error / lengths).max() < 0.08
    assert np.abs((drawn.mean(axis=0) - exact) / error).max() < 5


def test_equals_the_explicit_projection(batch):
    """The Kronecker products, made, times the gradients, made."""
    torch.manual_seed(0)
    model, side = SmallConv(width=4).build((12, 12, 3), 4).double().eval(), 3

    def matrix(layer, name, columns):
        seed = derive(7, "projection", layer, name)
        return _projection(side, columns, seed, torch.float64, torch.device("cpu")).numpy()

    def project(layer, gradient, names=("out", "in")):
        out, into = (matrix(layer, name, columns) for name, columns in zip(names, gradient.shape, strict=True))
        return np.kron(out, into) @ gradient.flatten()

    expected = []
    for gradients in explicit(model, batch):
        g = {name: value.numpy() for name, value in gradients.items()}
        total = project(0, g["backbone.0.weight"].reshape(4, -1), ("out0", "in0"))
        total += project(1, np.stack([g["backbone.1.weight"], g["backbone.1.bias"]], axis=1))
        total += project(2, g["backbone.4.weight"].reshape(8, -1), ("out0", "in0"))
        total += project(3, np.stack([g["backbone.5.weight"], g["backbone.5.bias"]], axis=1))
        total += project(4, np.concatenate([g["head.weight"], g["head.bias"][:, None]], axis=1))
        expected.append(total)
    phi = projected_gradients(model, batch, size=side**2, seed=7)
    np.testing.assert_allclose(phi.numpy(), expected, rtol=1e-8, atol=1e-12)


def test_a_layer_narrower_than_the_projection_is_kept_exactly(batch):
    torch.manual_seed(0)
    model = Classifier(nn.Sequential(nn.AvgPool2d(4), nn.Flatten()), 27, 4).double().eval()
    phi = projected_gradients(model, batch, size=28**2)
    torch.testing.assert_close(phi @ phi.T, products(explicit(model, batch)), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", MODELS)
def test_the_batch_does_not_matter(name, batch):
    model = made(name)
    whole = projected_gradients(model, batch, size=16)
    assert whole.shape == (N, 16)
    for size in (1, 4):
        parts = [
            projected_gradients(model, Batch(*(array[start : start + size] for array in batch[:4]), 0), size=16)
            for start in range(0, N, size)
        ]
        torch.testing.assert_close(torch.cat(parts), whole, rtol=1e-8, atol=1e-10)


def test_seeds_differ(batch):
    model = made("smallconv")
    one, other = (projected_gradients(model, batch, size=16, seed=seed) for seed in (0, 1))
    assert not torch.allclose(one, other)


def test_the_scratch_of_a_large_projection_makes_the_batch_smaller():
    model = MODELS["resnet"]()

    def at_once(size):
        return examples_at_once(model, (12, 12, 3), 0.1, lambda layer, out: scratch(layer, out, size=size, seed=0))

    assert at_once(64) > 2 * at_once(16_384)
