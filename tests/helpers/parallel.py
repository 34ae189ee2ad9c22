"""What the tests call in several processes at once. Followers import it, so it stands in a module of its own."""

import os
import signal
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from pytorch_lightning import Callback
from torch import Tensor, nn

from helpers.training import CPU
from winnow.core.types import Ints
from winnow.datasets.batches import batches
from winnow.datasets.loader import Shard
from winnow.models.base import Classifier, ModelSpec
from winnow.parallel import workers
from winnow.training.callbacks.forgetting import Forgetting
from winnow.training.callbacks.trajectory_recorder import TrajectoryRecorder
from winnow.training.devices import shard

TWO = replace(CPU, devices=2)


@dataclass(frozen=True, kw_only=True)
class NoBatchNorm(ModelSpec):
    """A small network without batch norm."""

    name = "plain"

    def build(self, image_shape: tuple[int, int, int], n_classes: int) -> Classifier:
        height, width, channels = image_shape
        backbone = nn.Sequential(nn.Flatten(), nn.Linear(height * width * channels, 16), nn.Tanh())
        return Classifier(backbone, 16, n_classes)


def places(*, given: Any, kept: Any) -> list[tuple[int, int, Any, Any]]:
    """Where each process stands, and what reached it."""
    return workers.gathered((workers.rank(), workers.world(), given, kept))


def fails_in_rank(*, failing: int) -> int:
    if workers.rank() == failing:
        raise ValueError(f"rank {failing} fails")
    return int(workers.sum_over_ranks(torch.ones(1)).item())


def busy_for_ever(*, told: Any) -> None:
    """Works without a word to the others, once all have said which process they are."""
    pids = workers.gathered(os.getpid())
    if told is not None:
        print(*pids, file=told, flush=True)
    while True:
        torch.zeros(10).sum()


def seen_in_epochs(*, dataset: Any, epochs: int, **options: Any) -> list[list[list[int]]]:
    """[rank][epoch]: the indices that each process's loader gives."""
    loader = batches(dataset, "train", device=torch.device("cpu"), shard=shard(), **options)
    seen = []
    for epoch in range(epochs):
        loader.sampler.set_epoch(epoch)
        seen.append([index for batch in loader for index in batch.index.tolist()])
    return workers.gathered(seen)


def made_logits(index: Tensor, epoch: int, n_classes: int) -> Tensor:
    """[B, C]: what a network might say of these examples in this epoch, the same in every process."""
    table = torch.randn((int(index.max()) + 1, n_classes), generator=torch.Generator().manual_seed(epoch)) * 4
    return table[index]


def fed(*, indices: Ints, labels: Ints, n_classes: int, epochs: int, batch: int, stop_after: int) -> Any:
    """(trajectory, events) of a recorder that sees this process's part of each batch of made predictions.

    stop_after: batches of the last epoch, after which training ends.
    """
    recorder = Forgetting().build(indices, n_classes)
    assert isinstance(recorder, TrajectoryRecorder)
    module: Any = SimpleNamespace(device=torch.device("cpu"))
    trainer: Any = SimpleNamespace(loggers=[], global_step=0)
    recorder.on_fit_start(trainer, module)
    mine = Shard(workers.rank(), workers.world())
    for epoch in range(epochs):
        recorder.on_train_epoch_start(trainer, module)
        order = torch.randperm(len(indices), generator=torch.Generator().manual_seed(100 + epoch))
        parts = order.split(batch)[: stop_after if epoch == epochs - 1 else None]
        for positions in parts:
            at = positions[mine.of(len(positions))]
            index = torch.tensor(indices)[at]
            recorder.record(index, made_logits(torch.tensor(indices), epoch, n_classes)[at], torch.tensor(labels)[at])
        recorder.on_train_epoch_end(trainer, module)
    if workers.rank() > 0:
        return None
    return recorder.trajectory(), recorder.events.numpy()


class SeesIndices(Callback):
    """Keeps the indices that each process's training steps saw, and puts them together in the first."""

    def __init__(self) -> None:
        self.mine: list[list[int]] = []
        self.steps: list[list[list[int]]] = []

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.mine.append(batch.index.tolist())

    def on_train_end(self, trainer: Any, module: Any) -> None:
        """steps[rank][step]"""
        self.steps = workers.gathered(self.mine)


class Draws(Callback):
    """Keeps the next random number after each process's steps, and puts them together in the first."""

    def __init__(self) -> None:
        self.mine: list[float] = []
        self.drawn: list[list[float]] = []

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.mine.append(torch.rand(1).item())

    def on_train_end(self, trainer: Any, module: Any) -> None:
        """drawn[rank][step]"""
        self.drawn = workers.gathered(self.mine)


class StopsAt(Callback):
    """Sends the leader a signal after some step, as a scheduler would."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if workers.rank() == 0 and trainer.global_step == self.step:
            os.kill(os.getpid(), signal.SIGTERM)


def all_equal(one: Any, other: Any) -> bool:
    """Whether two trajectories hold the same bits."""
    names = one.__dataclass_fields__
    return all(np.array_equal(_bits(getattr(one, name)), _bits(getattr(other, name))) for name in names)


def _bits(values: Any) -> Any:
    return np.asarray(values).view(np.int8 if values.dtype.itemsize == 1 else np.int32)
