import numpy as np
import pytest
import torch

from helpers.training import CPU, TINY, normalised, same_state, state, tiny_dataset, tiny_fit, tiny_recipe
from winnow.datasets.batches import batches
from winnow.datasets.loader import Batch
from winnow.probes import scorer
from winnow.probes.forward import pass_into
from winnow.probes.scorer import EnsembleScorer


@pytest.fixture(scope="module")
def dataset():
    return tiny_dataset()


@pytest.fixture(scope="module")
def models(dataset):
    """Three trained models, whose batch norm gives other outputs in training mode."""
    return [tiny_fit(dataset, seed=seed).model for seed in range(3)]


def passed(models, dataset, **options):
    out = np.zeros((len(models), dataset.n, 3), dtype=np.float32)
    pass_into(out, models, dataset, trainer=CPU, **({"channels_last": True} | options))
    return out


def expected(models, dataset):
    with torch.no_grad():
        images = normalised(dataset, dataset.train_images)
        return np.stack([model.eval()(images).numpy() for model in models])


def test_predict_step_yields_the_index_and_every_models_logits(models):
    batch = Batch(torch.tensor([9, 2]), torch.randn(2, 1, 8, 8), torch.tensor([0, 1]), torch.ones(2), 2)
    index, logits = EnsembleScorer(models).eval().predict_step(batch, 0)
    assert index.tolist() == [9, 2]
    assert logits.shape == (3, 2, 3)
    for one, model in zip(logits, models, strict=True):
        torch.testing.assert_close(one, model.eval()(batch.image))


@pytest.mark.parametrize("batch", [1000, 7])
@pytest.mark.parametrize("channels_last", [True, False])
def test_logits_of_every_example_in_canonical_order(dataset, models, batch, channels_last, monkeypatch):
    monkeypatch.setattr("winnow.datasets.batches.at_once", lambda image_shape, kind: batch)
    logits = passed(models, dataset, channels_last=channels_last)
    assert logits.shape == (3, dataset.n, 3)
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, expected(models, dataset), rtol=1e-4, atol=1e-4)


def test_the_index_gives_the_place(dataset, models, monkeypatch):
    # Batches in another order, as from a loader that shuffles.
    def shuffled(*of, **options):
        return batches(*of, **(options | {"seed": 5, "batch_size": 13}))

    monkeypatch.setattr(scorer, "batches", shuffled)
    np.testing.assert_allclose(passed(models, dataset), expected(models, dataset), rtol=1e-4, atol=1e-4)


def test_every_example_passes_once_a_model(dataset, models):
    seen = []
    hooks = [model.register_forward_hook(lambda _m, inputs, _o: seen.append(len(inputs[0]))) for model in models]
    passed(models, dataset)
    for hook in hooks:
        hook.remove()
    assert sum(seen) == len(models) * dataset.n


def test_models_are_in_evaluation_mode_and_stay_as_they_are(dataset):
    model = tiny_fit(dataset, tiny_recipe()).model.train()
    before = state(model)
    first = passed([model], dataset)
    assert same_state(before, state(model))  # batch norm's statistics too
    assert any(name.endswith("running_mean") for name in before)
    np.testing.assert_allclose(first, expected([model], dataset), rtol=1e-4, atol=1e-4)
    model.train()
    with torch.no_grad():
        in_training = model(normalised(dataset, dataset.train_images)).numpy()
    assert np.abs(first[0] - in_training).max() > 0.01


def test_gradients_are_not_kept(dataset):
    model = TINY.build(dataset.image_shape, dataset.n_classes)
    passed([model], dataset)
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())
