"""How many threads a training takes."""

import pytest
import torch
from pytorch_lightning import Callback

from helpers.training import CPU, tiny_dataset, tiny_fit, tiny_recipe
from winnow.core.errors import OptionError
from winnow.training import threads
from winnow.training.devices import TrainerSpec

THREADS, SHARE = "OMP_NUM_THREADS", "WINNOW_THREADS_ARE_A_SHARE"


class Sees(Callback):
    """Keeps the threads of each step."""

    def __init__(self):
        self.seen = set()

    def on_train_batch_end(self, *_):
        self.seen.add(torch.get_num_threads())


@pytest.fixture(autouse=True)
def _two_threads(monkeypatch):
    monkeypatch.delenv(THREADS)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def taken(trainer=CPU):
    sees = Sees()
    tiny_fit(tiny_dataset(), tiny_recipe(epochs=1), trainer=trainer, callbacks=[sees])
    assert torch.get_num_threads() == 2
    return sees.seen


def test_small_steps_take_one(monkeypatch):
    assert taken() == {1}
    monkeypatch.setattr(threads, "SMALL", 1e3)
    assert taken() == {2}


def test_what_the_user_says_wins(monkeypatch):
    assert taken(TrainerSpec(accelerator="cpu", progress=False, threads=3)) == {3}
    monkeypatch.setenv(THREADS, "2")
    assert taken() == {2}
    monkeypatch.setenv(SHARE, "1")  # a launcher has said it
    assert taken() == {1}
    with pytest.raises(OptionError, match=r"trainer\.threads=0"):
        TrainerSpec(threads=0)
