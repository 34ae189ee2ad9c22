import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.special import log_softmax

from helpers.training import CPU, TINY, Watcher, normalised, same_state, state, tiny_dataset, tiny_fit, tiny_recipe
from winnow.core.types import Subset
from winnow.datasets.batches import batches
from winnow.datasets.loader import Batch, InMemoryLoader, on_device
from winnow.training import loop
from winnow.training.callbacks.forgetting import Forgetting
from winnow.training.fit import Measured, measure
from winnow.training.module import ClassifierModule, weighted_loss


@pytest.fixture(scope="module")
def dataset():
    return tiny_dataset()


def weighted(n, weights):
    return Subset(np.arange(len(weights)), np.array(weights), np.zeros(len(weights), dtype=bool), n)


def train_step(batch, **recipe):
    """The loss of one step on a fresh model, with gradients, and the gradient of its head."""
    torch.manual_seed(0)
    module = ClassifierModule(TINY.build((8, 8, 1), 3).eval(), tiny_recipe(**recipe), steps=1)
    module.log = lambda *_, **__: None  # no trainer is attached
    output = module.training_step(batch, 0)
    output["loss"].backward()
    return output, module.model.head.weight.grad


def made_batch(weights, size=4):
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(size, 1, 8, 8, generator=generator)
    return Batch(torch.arange(size), images, torch.tensor([0, 1, 2, 1])[:size], torch.tensor(weights), size)


def test_weighted_loss_by_hand():
    # (0.5·1 + 2·3 + 1·5 + 4·0) / 4: divided by the size of the batch, not by the sum of weights 7.5.
    losses, weights = torch.tensor([1.0, 3.0, 5.0, 0.0]), torch.tensor([0.5, 2.0, 1.0, 4.0])
    assert weighted_loss(losses, weights).item() == 11.5 / 4


def test_step_divides_by_the_batch_and_not_by_the_weights():
    batch = made_batch([0.5, 2.0, 3.0, 1.5])
    output, _ = train_step(batch)
    losses = F.cross_entropy(output["logits"], batch.label, reduction="none")
    assert output["loss"].item() == pytest.approx((batch.weight @ losses).item() / 4, rel=1e-6)
    doubled, _ = train_step(batch._replace(weight=2 * batch.weight))
    assert doubled["loss"].item() == pytest.approx(2 * output["loss"].item(), rel=1e-6)


def test_weights_reach_the_gradient():
    # Weight 2 on the first of three is that example twice, divided by 3 all the same.
    batch = made_batch([2.0, 1.0, 1.0], size=3)
    twice = Batch(*(torch.cat([part, part[:1]]) for part in batch[:4]), 4)._replace(weight=torch.ones(4))
    _, heavy = train_step(batch)
    _, repeated = train_step(twice)
    torch.testing.assert_close(heavy, repeated * 4 / 3)
    _, plain = train_step(batch._replace(weight=torch.ones(3)))
    assert not torch.allclose(heavy, plain, rtol=0.01)


def test_step_yields_detached_logits():
    output, _ = train_step(made_batch([1.0] * 4))
    assert not output["logits"].requires_grad
    assert output["logits"].dtype == torch.float32


def losses_and_weights_of_a_fit(dataset, subset):
    watcher = Watcher()
    fitted = tiny_fit(dataset, tiny_recipe(batch_size=17), subset=subset, callbacks=[watcher])
    return [output["loss"] for output in watcher.outputs], state(fitted.model)


def test_weight_one_is_no_weight(dataset, monkeypatch):
    losses, ended = losses_and_weights_of_a_fit(dataset, Subset.full(dataset.n))

    def without_subset(*args, subset, **options):
        return batches(*args, **options)

    monkeypatch.setattr(loop, "batches", without_subset)
    monkeypatch.setattr("winnow.training.module.weighted_loss", lambda losses, weights, size: losses.sum() / size)
    plain, plain_end = losses_and_weights_of_a_fit(dataset, Subset.full(dataset.n))
    assert len(losses) == 8
    assert all(torch.equal(one, other) for one, other in zip(losses, plain, strict=True))
    assert same_state(ended, plain_end)


def test_other_weights_train_another_model(dataset):
    _, plain = losses_and_weights_of_a_fit(dataset, Subset.full(dataset.n))
    _, tilted = losses_and_weights_of_a_fit(dataset, weighted(dataset.n, [0.5, 1.5] * (dataset.n // 2)))
    assert not same_state(plain, tilted)


def test_label_smoothing_reaches_the_loss_only(dataset):
    watcher, recorder = Watcher(), Forgetting().build(np.arange(dataset.n), dataset.n_classes)
    tiny_fit(dataset, tiny_recipe(epochs=1, label_smoothing=0.4), callbacks=[watcher, recorder])
    batch, output = watcher.batches[0], watcher.outputs[0]
    log_p = output["logits"].log_softmax(1)
    truth = -log_p.gather(1, batch.label[:, None]).squeeze(1)
    smoothed = 0.6 * truth - 0.4 * log_p.mean(1)
    assert output["loss"].item() == pytest.approx(smoothed.mean().item(), rel=1e-5)
    recorded = recorder.trajectory().loss[0, batch.index.numpy()]
    np.testing.assert_allclose(recorded, truth.numpy(), rtol=1e-5)
    assert abs(smoothed.mean() - truth.mean()) > 0.01


@pytest.mark.parametrize("batch", [1000, 16])
def test_measure_is_the_mean_over_the_whole_test_set(dataset, batch, monkeypatch):
    monkeypatch.setattr("winnow.datasets.batches.at_once", lambda image_shape, kind: batch)
    model = tiny_fit(dataset, tiny_recipe(label_smoothing=0.2)).model
    measured = measure(dataset, model, recipe=tiny_recipe(label_smoothing=0.2), trainer=CPU)
    with torch.no_grad():
        logits = model.eval()(normalised(dataset, dataset.test_images)).double().numpy()
    assert dataset.n_test % 16
    wrong = logits.argmax(axis=1) != dataset.test_labels
    assert measured.error == np.mean(wrong)
    assert measured.wrong == tuple(np.bincount(dataset.test_labels[wrong], minlength=3))
    assert measured.tested == tuple(np.bincount(dataset.test_labels))
    assert measured.class_errors == {label: np.mean(wrong[dataset.test_labels == label]) for label in range(3)}
    log_p = log_softmax(logits, axis=1)
    assert measured.loss == pytest.approx(-log_p[np.arange(dataset.n_test), dataset.test_labels].mean(), rel=1e-5)


def test_views_of_the_test_images_are_averaged(dataset):
    """By hand, one shift after the other."""
    model = tiny_fit(dataset).model.eval()
    images = normalised(dataset, dataset.test_images)

    def logits(rows, columns):
        shifted = images[:, :, rows][:, :, :, columns]
        with torch.no_grad():
            return (model(shifted) + model(shifted.flip(3))) / 2

    still, back, on = list(range(8)), [1, 0, 1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6, 7, 6]
    both = logits(still, still)
    six = both / 2 + logits(back, back) / 4 + logits(on, on) / 4
    labels = torch.tensor(dataset.test_labels)
    for views, expected in ((2, both), (6, six)):
        measured = measure(dataset, model, recipe=tiny_recipe(test_views=views), trainer=CPU)
        assert measured.loss == pytest.approx(F.cross_entropy(expected, labels).item(), rel=1e-4)
        assert measured.error == pytest.approx((expected.argmax(1) != labels).double().mean().item(), abs=1e-9)
    assert six.sub(both).abs().max() > 0.01


def test_a_class_without_test_images_has_no_error():
    measured = Measured(error=0.25, loss=1.0, wrong=(1, 0, 0), tested=(2, 0, 2))
    assert measured.class_errors == {0: 0.5, 2: 0.0}


def test_measure_leaves_the_model_as_it_was(dataset):
    model = tiny_fit(dataset).model
    before = state(model)
    first = measure(dataset, model, recipe=tiny_recipe(), trainer=CPU)
    assert same_state(before, state(model))
    assert measure(dataset, model, recipe=tiny_recipe(), trainer=CPU) == first


def test_images_are_normalised_by_the_training_set(dataset):
    for data, images in zip(
        on_device(dataset, torch.device("cpu")), (dataset.train_images, dataset.test_images), strict=True
    ):
        (batch,) = InMemoryLoader(data, batch_size=1000)
        torch.testing.assert_close(batch.image, normalised(dataset, images), rtol=1e-4, atol=1e-4)
