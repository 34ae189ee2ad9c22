"""A training of two processes that is interrupted, and goes on."""

import numpy as np
import pytest

from helpers.parallel import TWO, NoBatchNorm, StopsAt, all_equal
from helpers.training import same_state, state, tiny_fit, tiny_recipe
from winnow import interruption, workers
from winnow.artifacts import ArtifactStore
from winnow.datasets.synthetic import Synthetic
from winnow.errors import Interrupted
from winnow.training.callbacks.forgetting import Forgetting

N = 61


@pytest.fixture(autouse=True)
def _no_process_is_left():
    yield
    workers.stop()


def trained(dataset, trainer, checkpoint, *extra):
    recorder = Forgetting().build(np.arange(N), 3)
    options = {"trainer": trainer, "checkpoint": checkpoint, "callbacks": [recorder, *extra], "model": NoBatchNorm()}
    fitted = tiny_fit(dataset, tiny_recipe(epochs=8, batch_size=16), **options)
    return fitted, recorder


def test_two_processes_go_on_as_if_nothing_had_been(tmp_path):
    """Interrupted in the middle of an epoch: a checkpoint holds what both have seen of it."""
    dataset = Synthetic(n=N, n_test=10, n_classes=3).load(ArtifactStore(tmp_path))
    whole, recorded = trained(dataset, TWO, None)
    checkpoint = tmp_path / "training.ckpt"
    with pytest.raises(Interrupted), interruption.handled():
        trained(dataset, TWO, checkpoint, StopsAt(9))
    assert checkpoint.exists()
    resumed, again = trained(dataset, TWO, checkpoint)
    assert same_state(state(resumed.model), state(whole.model))
    assert all_equal(again.trajectory(), recorded.trajectory())
    assert np.array_equal(again.events.numpy(), recorded.events.numpy())
    assert recorded.events.sum() > 0
    assert resumed.examples_seen == whole.examples_seen
