import numpy as np
import pytest
import torch
import torch.nn.functional as F

from helpers.training import TINY, normalised, tiny_dataset
from winnow.core.errors import OptionError, ShapeError
from winnow.diagnostics.contributions import contributions, gradient_sum, summarise

RNG = np.random.default_rng(0)


def outputs(n, classes=3, features=4):
    return RNG.normal(0, 2, (n, classes)), RNG.integers(0, classes, n), RNG.normal(0, 1, (n, features))


def test_against_autograd_on_a_model():
    dataset = tiny_dataset(n=24)
    torch.manual_seed(0)
    model = TINY.build(dataset.image_shape, dataset.n_classes).double().eval()
    images = normalised(dataset, dataset.train_images).double()
    labels = torch.tensor(dataset.train_labels)
    parameters = list(model.head.parameters())

    def gradient(which):
        loss = F.cross_entropy(model(images[which]), labels[which])
        return torch.cat([g.flatten() for g in torch.autograd.grad(loss, parameters)])

    target, kept = torch.arange(16, 24), torch.arange(16)
    expected = [float(gradient(target) @ gradient(i[None])) for i in kept]
    with torch.no_grad():
        features = model.features(images)
        logits = model.head(features)
    parts = [array.numpy() for array in (logits, labels, features)]
    mean = gradient_sum(*(part[16:] for part in parts)) / 8
    np.testing.assert_allclose(contributions(*(part[:16] for part in parts), mean), expected, rtol=1e-9)


def test_by_hand():
    # Softmax (1/2, 1/2), class 0, feature 3: p − y = (−1/2, 1/2) and [h, 1] = (3, 1).
    hand = np.zeros((1, 2)), np.array([0]), np.array([[3.0]])
    np.testing.assert_allclose(gradient_sum(*hand), [[-1.5, -0.5], [1.5, 0.5]])
    # With itself as the target it is ‖p − y‖² (‖h‖² + 1) = 1/2 · 10; with the label turned round, minus that.
    assert contributions(*hand, gradient_sum(*hand)) == pytest.approx([5])
    assert contributions(hand[0], np.array([1]), hand[2], gradient_sum(*hand)) == pytest.approx([-5])


def test_blocks_give_the_whole():
    parts = outputs(20)
    whole = gradient_sum(*parts)
    blocks = [tuple(part[i : i + 7] for part in parts) for i in range(0, 20, 7)]
    np.testing.assert_allclose(sum(gradient_sum(*block) for block in blocks), whole)
    np.testing.assert_allclose(
        np.concatenate([contributions(*block, whole) for block in blocks]), contributions(*parts, whole)
    )


def test_the_mean_contribution_of_the_target_is_the_squared_gradient():
    parts = outputs(30)
    mean = gradient_sum(*parts) / 30
    assert contributions(*parts, mean).mean() == pytest.approx((mean**2).sum())


def test_summary_by_hand():
    values = np.array([[4.0, -4, 0, 0.04], [1, 1, 1, 1]])
    summary = summarise(values, freeloader=0.02, levels=(0.0, 0.5, 1.0))
    np.testing.assert_allclose(summary.mean, [0.01, 1])
    np.testing.assert_allclose(summary.std, [values[0].std(), 0])
    np.testing.assert_allclose(summary.quantiles, [[-4, 0.02, 4], [1, 1, 1]])
    np.testing.assert_allclose(summary.freeloaders, [0.5, 0])  # the mean size is 2.01, its fiftieth 0.0402
    np.testing.assert_allclose(summary.harmful, [0.25, 0])
    assert summarise(values, freeloader=0).freeloaders.tolist() == [0.25, 0]


def test_what_does_not_fit_is_refused():
    logits, labels, features = outputs(5)
    target = gradient_sum(logits, labels, features)
    for wrong in (
        (logits[:4], labels, features),
        (logits, labels + 3, features),
        (logits, labels, features[:, 0]),
        (np.full_like(logits, np.nan), labels, features),
    ):
        with pytest.raises(ShapeError):
            contributions(*wrong, target)
    with pytest.raises(ShapeError, match="same model"):
        contributions(logits, labels, features, target[:, 1:])
    with pytest.raises(OptionError, match="freeloader"):
        summarise(np.ones((1, 2)), freeloader=-1)
    for bad in (np.ones(3), np.ones((2, 0)), np.array([[np.inf]])):
        with pytest.raises(ShapeError, match="finite numbers"):
            summarise(bad)
