"""How many threads a training takes."""

from contextlib import suppress

import pytest
import torch
from pytorch_lightning import Callback

from helpers.training import CPU, TINY, tiny_dataset, tiny_fit, tiny_recipe
from winnow.core.errors import Interrupted, OptionError
from winnow.training import threads
from winnow.training.devices import TrainerSpec

THREADS, SHARE = "OMP_NUM_THREADS", "WINNOW_THREADS_ARE_A_SHARE"


class Sees(Callback):
    """Keeps the threads of each step, and ends the training after some step as a signal would."""

    def __init__(self, stop=None):
        self.seen, self.stop = [], stop

    def on_train_batch_end(self, trainer, *_):
        self.seen.append(torch.get_num_threads())
        if trainer.global_step == self.stop:
            raise Interrupted


@pytest.fixture(autouse=True)
def _two_threads(monkeypatch):
    monkeypatch.delenv(THREADS)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def trained_with(monkeypatch, *, faster, trainer=CPU, **options):
    monkeypatch.setattr(threads, "_faster", lambda *_: faster)
    sees = Sees(options.pop("stop", None))
    with suppress(Interrupted):
        tiny_fit(tiny_dataset(), tiny_recipe(epochs=1), trainer=trainer, callbacks=[sees], **options)
    assert torch.get_num_threads() == 2
    return set(sees.seen)


def test_small_steps_take_what_is_faster(monkeypatch):
    assert trained_with(monkeypatch, faster=1) == {1}
    assert trained_with(monkeypatch, faster=2) == {2}
    monkeypatch.setattr(threads, "SMALL", 1)
    assert trained_with(monkeypatch, faster=1) == {2}


def test_what_the_user_says_wins(monkeypatch):
    said = TrainerSpec(accelerator="cpu", progress=False, threads=3)
    assert trained_with(monkeypatch, faster=1, trainer=said) == {3}
    monkeypatch.setenv(THREADS, "2")
    assert trained_with(monkeypatch, faster=1) == {2}
    monkeypatch.setenv(SHARE, "1")  # a launcher has said it
    assert trained_with(monkeypatch, faster=1) == {1}
    with pytest.raises(OptionError, match=r"trainer\.threads=0"):
        TrainerSpec(threads=0)


def test_an_interrupted_training_goes_on_with_as_many(monkeypatch, tmp_path):
    often = TrainerSpec(accelerator="cpu", progress=False, checkpoint_seconds=1e-9)
    path = tmp_path / "training.ckpt"
    options = {"trainer": often, "checkpoint": path}
    assert trained_with(monkeypatch, faster=1, stop=2, **options) == {1}
    assert path.exists()
    assert trained_with(monkeypatch, faster=2, **options) == {1}


def test_measuring_leaves_no_trace():
    before = torch.random.get_rng_state()
    found = threads._faster(TINY, tiny_recipe(), (8, 8, 1), 3, 16, 2)
    assert found in (1, 2)
    assert torch.get_num_threads() == 2
    assert torch.equal(torch.random.get_rng_state(), before)
