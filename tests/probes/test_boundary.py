"""DeepFool against closed forms, and what it does to a trained model."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from helpers.training import normalised, tiny_dataset, tiny_fit, tiny_recipe
from winnow.datasets.loader import Batch
from winnow.models.base import Classifier
from winnow.probes.boundary import OVERSHOOT, boundary_distances, smallest_perturbation

N, SHAPE = 17, (3, 4, 4)


def images(n: int = N) -> Batch:
    generator = torch.Generator().manual_seed(1)
    image = torch.randn(n, *SHAPE, generator=generator, dtype=torch.float64)
    return Batch(torch.arange(n), image, torch.zeros(n, dtype=torch.int64), torch.ones(n), n)


def linear(classes: int) -> Classifier:
    torch.manual_seed(2)
    return Classifier(nn.Flatten(), 48, classes).double().eval()


def rows(batch: Batch, which: slice) -> Batch:
    return Batch(*(array[which] for array in batch[:4]), 0)


def closed_form(model: Classifier, batch: Batch, classes: int) -> np.ndarray:
    """min over the other classes k, among the most likely, of (f_0 − f_k) / ‖w_0 − w_k‖, one image at a time."""
    weight, outputs = model.head.weight.detach().numpy(), model(batch.image).detach().numpy()
    expected = []
    for f in outputs:
        first, *others = np.argsort(-f)[:classes]
        expected.append(min((f[first] - f[k]) / np.linalg.norm(weight[first] - weight[k]) for k in others))
    return np.array(expected)


def test_two_classes_of_a_linear_model():
    model, batch = linear(2), images()
    f, (w0, w1) = model(batch.image).detach(), model.head.weight.detach()
    expected = (f[:, 1] - f[:, 0]).abs() / (w1 - w0).norm()
    torch.testing.assert_close(boundary_distances(model, batch), expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("classes", [2, 3, 7, 10])
def test_many_classes_of_a_linear_model(classes):
    model, batch = linear(7), images()
    distances = boundary_distances(model, batch, classes=classes)
    np.testing.assert_allclose(distances.numpy(), closed_form(model, batch, classes), rtol=1e-12)


def test_the_nearest_boundary_is_not_always_that_of_the_second_class():
    model, batch = linear(7), images()
    assert (closed_form(model, batch, 7) < closed_form(model, batch, 2) * 0.99).any()


@pytest.fixture(scope="module")
def trained():
    """(a trained model, its training set as a batch, float32)."""
    dataset = tiny_dataset(200)
    model = tiny_fit(dataset, tiny_recipe(epochs=6, lr=0.1)).model.eval()
    n = dataset.n
    batch = Batch(
        torch.arange(n), normalised(dataset, dataset.train_images), torch.tensor(dataset.train_labels), torch.ones(n), n
    )
    return model, batch


def test_the_perturbation_changes_the_prediction_of_a_trained_model(trained):
    model, batch = trained
    perturbation, found = smallest_perturbation(model, batch)
    with torch.no_grad():
        before = model(batch.image).argmax(1)
        after = model(batch.image + (1 + OVERSHOOT) * perturbation).argmax(1)
        halfway = model(batch.image + 0.5 * perturbation).argmax(1)
    assert found.float().mean() >= 0.95
    assert (before[found] != after[found]).float().mean() >= 0.95
    assert (before == halfway).float().mean() >= 0.9  # it is not much longer than it must be
    torch.testing.assert_close(
        boundary_distances(model, batch)[found], perturbation[found].flatten(1).double().norm(dim=1)
    )


def test_the_batch_does_not_matter(trained):
    model, batch = copy.deepcopy(trained[0]).double(), trained[1]
    batch = rows(batch._replace(image=batch.image.double()), slice(40))
    whole = boundary_distances(model, batch)
    for size in (1, 7):
        parts = [boundary_distances(model, rows(batch, slice(s, s + size))) for s in range(0, 40, size)]
        torch.testing.assert_close(torch.cat(parts), whole, rtol=1e-9, atol=1e-9)


def test_no_boundary_within_the_cap_is_infinitely_far(trained):
    model, batch = trained
    whole, short = (boundary_distances(model, batch, iterations=cap) for cap in (50, 1))
    far = torch.isinf(short)
    assert 0 < far.sum() < len(far)
    torch.testing.assert_close(short[~far], whole[~far])


def test_where_all_gradients_are_zero_there_is_no_boundary():
    model = linear(3)
    nn.init.zeros_(model.head.weight)
    with torch.no_grad():
        model.head.bias.copy_(torch.tensor([0.0, 1.0, 2.0]))
    assert torch.isinf(boundary_distances(model, images(2))).all()
    nn.init.zeros_(model.head.bias)  # all classes alike: every image is on the boundary
    assert (boundary_distances(model, images(2)) == 0).all()


def test_nothing_is_left_behind():
    model, batch = linear(3), images()
    boundary_distances(model, batch)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not batch.image.requires_grad
