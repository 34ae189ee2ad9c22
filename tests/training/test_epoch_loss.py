"""The loss of an epoch is the mean of its batches by their examples, also where a training goes on within it."""

from types import SimpleNamespace

import pytest
import torch

from winnow.training.epoch_loss import EpochLoss


def end_of(loss: EpochLoss) -> float:
    logged: list[float] = []
    module = SimpleNamespace(log=lambda name, value, **_: logged.append(float(value)))
    loss.on_train_epoch_end(None, module)
    return logged[0]


def show(loss: EpochLoss, *batches: tuple[float, int]) -> None:
    for number, (value, size) in enumerate(batches):
        loss.on_train_batch_end(None, None, {"loss": torch.tensor(value)}, SimpleNamespace(size=size), number)


def test_batches_count_by_their_examples_and_epochs_apart() -> None:
    loss = EpochLoss()
    show(loss, (1.0, 30), (2.0, 10))
    assert end_of(loss) == pytest.approx(1.25)
    show(loss, (4.0, 10))
    assert end_of(loss) == pytest.approx(4.0)


def test_it_goes_on_within_an_epoch() -> None:
    first, second = EpochLoss(), EpochLoss()
    show(first, (1.0, 30))
    second.load_state_dict(first.state_dict())
    show(second, (2.0, 10))
    assert end_of(second) == pytest.approx(1.25)
