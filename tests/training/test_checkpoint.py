"""An interrupted training ends where the uninterrupted one does, bit for bit."""

import logging
import os
import signal
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from pytorch_lightning import Callback
from torch import nn

from helpers.training import CPU, TINY, Watcher, same_state, state, tiny_dataset, tiny_fit, tiny_recipe
from winnow import interruption
from winnow.datasets.augmentation import Augmentation
from winnow.errors import REQUEUE, STOPPED, Interrupted
from winnow.models.base import Classifier, ModelSpec
from winnow.training.callbacks.contributions import Contributions
from winnow.training.callbacks.forgetting import FIELDS, Forgetting
from winnow.types import Subset

AUGMENTED = Augmentation(shift=0.125, flip=True)
STEPS = 12  # of the recipe below: three epochs of four batches


@dataclass(frozen=True, kw_only=True)
class Dropping(ModelSpec):
    """A model that draws random numbers in training."""

    name: str = "dropping"

    def build(self, image_shape, n_classes):
        channels, side = image_shape[2], image_shape[0]
        layers = [nn.Flatten(), nn.Linear(channels * side * side, 16), nn.ReLU(), nn.Dropout(0.5)]
        return Classifier(nn.Sequential(*layers), nn.Linear(16, n_classes))


class KillAfter(Callback):
    """Sends this process a signal after some step."""

    def __init__(self, step, number=signal.SIGTERM):
        self.step, self.number = step, number

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        if trainer.global_step == self.step:
            os.kill(os.getpid(), self.number)


@pytest.fixture(scope="module")
def dataset():
    return tiny_dataset()


def some(dataset, m=50):
    indices = np.sort(np.random.default_rng(1).choice(dataset.n, m, replace=False))
    return Subset(indices, np.linspace(0.5, 1.5, m), np.zeros(m, dtype=bool), dataset.n)


class Run:
    """One training with every recorder, and what is left of it."""

    def __init__(self, dataset, *callbacks, **options):
        subset = options.pop("subset", some(dataset))
        self.trajectory = Forgetting().build(subset.indices, dataset.n_classes)
        self.contributions = Contributions(every=2, target=5).build(subset.indices, dataset.n_classes)
        recipe = options.pop("recipe", tiny_recipe(epochs=3, augmentation=AUGMENTED))
        recorders = [self.trajectory, self.contributions]
        self.fitted = tiny_fit(dataset, recipe, subset=subset, callbacks=[*recorders, *callbacks], **options)

    def assert_same(self, other):
        assert same_state(state(self.fitted.model), state(other.fitted.model))
        assert (self.fitted.steps, self.fitted.examples_seen) == (other.fitted.steps, other.fitted.examples_seen)
        for field in FIELDS:
            one, two = (getattr(run.trajectory.trajectory(), field) for run in (self, other))
            np.testing.assert_array_equal(one, two)
        assert torch.equal(self.trajectory.events, other.trajectory.events)
        assert self.contributions.epochs == other.contributions.epochs
        np.testing.assert_array_equal(self.contributions.contributions(), other.contributions.contributions())
        np.testing.assert_array_equal(self.contributions.target_indices, other.contributions.target_indices)


def interrupted(dataset, path, step, number=signal.SIGTERM, **options):
    with interruption.handled(), pytest.raises(Interrupted) as stop:
        Run(dataset, KillAfter(step, number), checkpoint=path, **options)
    assert path.exists()
    return stop.value.code


@pytest.fixture(scope="module")
def whole(dataset):
    return Run(dataset)


@pytest.mark.parametrize("steps", [(1,), (3,), (4,), (6, 7), (4, 8), (10,), (11,), (12,)])
def test_interrupted_and_gone_on(dataset, whole, tmp_path, steps):
    path = tmp_path / "unfinished" / "one.ckpt"
    for step in steps:
        assert interrupted(dataset, path, step) == REQUEUE
    seen = Watcher()
    resumed = Run(dataset, seen, checkpoint=path)
    resumed.assert_same(whole)
    assert len(seen.batches) == STEPS - steps[-1]
    assert [p.name for p in path.parent.iterdir()] == ["one.ckpt"]
