"""A training of two processes that is interrupted, and goes on."""

import itertools
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.parallel import TWO, NoBatchNorm, StopsAt, all_equal
from helpers.training import CPU, same_state, state, tiny_fit, tiny_recipe
from winnow.core.errors import Interrupted
from winnow.datasets.synthetic import Synthetic
from winnow.parallel import interruption
from winnow.store.artifacts import ArtifactStore
from winnow.training import checkpoint as checkpoints
from winnow.training.callbacks.forgetting import Forgetting

N = 61


def trained(dataset, trainer, checkpoint, *extra):
    recorder = Forgetting().build(np.arange(N), 3)
    options = {"trainer": trainer, "checkpoint": checkpoint, "callbacks": [recorder, *extra], "model": NoBatchNorm()}
    fitted = tiny_fit(dataset, tiny_recipe(epochs=8, batch_size=16), **options)
    return fitted, recorder


def test_two_processes_go_on_as_if_nothing_had_been(tmp_path):
    """Interrupted in the middle of an epoch: a checkpoint holds what both have seen of it, for one process as well."""
    dataset = Synthetic(n=N, n_test=10, n_classes=3).load(ArtifactStore(tmp_path))
    whole, recorded = trained(dataset, TWO, None)
    checkpoint = tmp_path / "training.ckpt"
    with pytest.raises(Interrupted), interruption.handled():
        trained(dataset, TWO, checkpoint, StopsAt(9))
    for_one = Path(shutil.copy(checkpoint, tmp_path / "one.ckpt"))
    resumed, again = trained(dataset, TWO, checkpoint)
    assert same_state(state(resumed.model), state(whole.model))
    assert all_equal(again.trajectory(), recorded.trajectory())
    assert np.array_equal(again.events.numpy(), recorded.events.numpy())
    assert recorded.events.sum() > 0
    assert resumed.examples_seen == whole.examples_seen
    one, by_one = trained(dataset, CPU, for_one)
    assert one.examples_seen == whole.examples_seen
    for name, value in state(whole.model).items():
        torch.testing.assert_close(state(one.model)[name], value, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(by_one.trajectory().loss, recorded.trajectory().loss, rtol=1e-3, atol=1e-4)


def test_the_leader_says_when_a_checkpoint_is_due(tmp_path, monkeypatch):
    """Its clock counts: taking one, all put together what they have seen."""
    dataset = Synthetic(n=N, n_test=10, n_classes=3).load(ArtifactStore(tmp_path))
    taken, ticks = [], itertools.count(step=1e6)
    monkeypatch.setattr(checkpoints.time, "monotonic", lambda: next(ticks))
    write = checkpoints._CheckpointFile.save_checkpoint

    def counted(self, *given, **options):
        taken.append(given)
        write(self, *given, **options)

    monkeypatch.setattr(checkpoints._CheckpointFile, "save_checkpoint", counted)
    _, recorder = trained(dataset, replace(TWO, checkpoint_share=1), tmp_path / "training.ckpt")
    assert len(taken) == 4 + 1  # before steps 0, 10, 20 and 30 of 32, and at the end
    assert np.isfinite(recorder.trajectory().loss).all()
