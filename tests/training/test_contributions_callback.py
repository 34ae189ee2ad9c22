from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from pytorch_lightning import Callback

from helpers.training import TINY, Watcher, normalised, same_state, state, tiny_dataset, tiny_fit, tiny_recipe
from winnow import pipeline
from winnow.core.errors import MissingEvidenceError, OptionError
from winnow.core.types import Subset
from winnow.datasets.augmentation import Augmentation
from winnow.diagnostics.contributions import summarise
from winnow.store.artifacts import ArtifactStore
from winnow.store.records import load_contributions
from winnow.training.callbacks.contributions import Contributions
from winnow.training.callbacks.forgetting import Forgetting
from winnow.training.loggers import CSVLog


@pytest.fixture(scope="module")
def dataset():
    return tiny_dataset()


def kept(dataset, m=24):
    indices = np.sort(np.random.default_rng(1).choice(dataset.n, m, replace=False))
    return Subset(indices, np.linspace(0.5, 1.5, m), np.zeros(m, dtype=bool), dataset.n)


class AfterEpochs(Callback):
    """Keeps a copy of the weights after each epoch."""

    def __init__(self):
        self.states = []

    def on_train_epoch_end(self, trainer, module):
        self.states.append(state(module.model))


def test_training_is_bit_identical_with_the_recorder(dataset):
    subset, recipe = kept(dataset), tiny_recipe(epochs=3, augmentation=Augmentation(shift=0.125))
    alone, beside = Watcher(), Watcher()
    plain = tiny_fit(dataset, recipe, subset=subset, callbacks=[alone])
    recorder = Contributions().build(subset.indices, dataset.n_classes)
    watched = tiny_fit(dataset, recipe, subset=subset, callbacks=[recorder, beside])
    assert len(alone.states) == len(beside.states) == plain.steps
    assert all(same_state(*pair) for pair in zip(alone.states, beside.states, strict=True))
    assert same_state(state(plain.model), state(watched.model))
    assert plain.examples_seen == watched.examples_seen
    assert all(part.training for part in watched.model.modules()) == all(p.training for p in plain.model.modules())


def test_records_what_autograd_gives(dataset):
    subset, after = kept(dataset), AfterEpochs()
    spec = Contributions(target=10, seed=3)
    recorder = spec.build(subset.indices, dataset.n_classes)
    recipe = tiny_recipe(lr=0.2, augmentation=Augmentation(shift=0.125))
    tiny_fit(dataset, recipe, subset=subset, callbacks=[recorder, after])
    values = recorder.contributions()
    assert (values.shape, values.dtype) == ((2, subset.m), np.float32)
    images, labels = normalised(dataset, dataset.train_images), torch.tensor(dataset.train_labels)
    for weights, row in zip(after.states, values, strict=True):
        model = TINY.build(dataset.image_shape, dataset.n_classes)
        model.load_state_dict(weights)
        model.eval()

        def gradient(which, model=model):
            loss = F.cross_entropy(model(images[which]), labels[which])
            return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.head.parameters()))])

        target = gradient(torch.tensor(recorder.target_indices))
        expected = [float(target @ gradient(torch.tensor([i]))) for i in subset.indices]
        np.testing.assert_allclose(row, expected, rtol=1e-3, atol=1e-5)


def test_the_target_is_held_out_where_anything_is(dataset):
    indices = kept(dataset).indices
    spec = Contributions(target=10)
    target = spec.target_indices(indices, dataset.n)
    assert target.size == 10
    assert not np.intersect1d(target, indices).size
    assert np.all(np.diff(target) > 0)
    assert np.array_equal(target, spec.target_indices(indices, dataset.n))
    assert not np.array_equal(target, replace(spec, seed=1).target_indices(indices, dataset.n))
    assert Contributions().target_indices(indices, dataset.n).size == dataset.n - indices.size
    everything = spec.target_indices(np.arange(dataset.n), dataset.n)
    assert everything.size == 10
    assert everything.max() < dataset.n


def test_every_and_the_last_epoch(dataset, tmp_path):
    recorder = Contributions(every=3).build(np.arange(dataset.n), dataset.n_classes)
    logger = CSVLog(folder=str(tmp_path))
    opened = logger.open("one", kind="cell", config={})
    tiny_fit(dataset, tiny_recipe(epochs=7), callbacks=[recorder], logger=opened)
    logger.close(opened)
    assert recorder.epochs == [3, 6, 7]
    summary = recorder.summary()
    assert summary["epoch"].tolist() == recorder.epochs
    by_hand = summarise(recorder.contributions(), freeloader=0.01)
    np.testing.assert_array_equal(summary["harmful"], by_hand.harmful)
    np.testing.assert_array_equal(summary["q95"], by_hand.quantiles[:, -1])
    logged = pd.read_csv(tmp_path / "logs" / "cell-one" / "metrics.csv")
    rows = logged.dropna(subset="contributions/mean")
    assert rows["step"].tolist() == [12, 24, 28]
    for name in ("mean", "std", "q05", "q50", "freeloaders", "harmful"):
        np.testing.assert_allclose(rows[f"contributions/{name}"], summary[name])


def test_they_come_back_from_the_model_artifact_beside_a_trajectory(dataset, tmp_path):
    store, subset = ArtifactStore(tmp_path), kept(dataset)
    options = {"model": TINY, "recipe": tiny_recipe(), "store": store}
    plain = pipeline.train_subset(dataset, subset, **options)
    with pytest.raises(MissingEvidenceError, match="callbacks=contributions"):
        load_contributions(store.load("model", plain.key))
    both = pipeline.train_subset(dataset, subset, recorders=(Forgetting(), Contributions()), **options)
    assert both.test_error == plain.test_error
    artifact = store.load("model", both.key)
    epochs, values = load_contributions(artifact)
    assert epochs.tolist() == [1, 2]
    assert values.shape == (2, subset.m)
    np.testing.assert_array_equal(artifact.array("contributions_indices"), subset.indices)
    assert not np.intersect1d(artifact.array("contributions_target"), subset.indices).size
    np.testing.assert_allclose(artifact.table("contributions_summary")["mean"], values.mean(axis=1), rtol=1e-5)
    assert pipeline.load_recorded(both.key, store=store).epochs == 2


def test_options_are_checked():
    for wrong in ({"every": 0}, {"target": 0}, {"freeloader": -0.1}):
        with pytest.raises(OptionError, match=next(iter(wrong))):
            Contributions(**wrong)
