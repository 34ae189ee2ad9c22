"""How many threads of a CPU a training takes: as many as there are, or one where a step is so small that one is faster.

Each operation on several threads ends with their waiting for each other, and in a step of the digits' smallconv that is
longer than what is computed.
"""

import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from winnow.models.base import ModelSpec
from winnow.parallel.processes import SHARE, THREADS
from winnow.training.devices import TrainerSpec

SMALL = 5e7
"""Multiply-adds of a batch's forward pass below which a training step takes one thread (scripts/bench/threads.py).

With 2e7 two threads took 2.9 times as long as one; with 8e7 1.6 times the processor time, of which the calling thread
had 0.95. A rule and no measurement at the start of each training:
one of 0.1 s came to either answer on a busy machine, and another number of threads gives other results by rounding.
"""


@contextmanager
def as_told(trainer: TrainerSpec) -> Iterator[None]:
    """Within this, there are the threads that the trainer's user has said (trainer.threads)."""
    before = torch.get_num_threads()
    try:
        if trainer.threads is not None:
            torch.set_num_threads(trainer.threads)
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def for_steps(
    trainer: TrainerSpec, model: ModelSpec, image_shape: tuple[int, int, int], n_classes: int, batch: int
) -> Iterator[None]:
    """Within this, there are the threads that training steps of a batch on a CPU take.

    Those that the user has said, by trainer.threads or OMP_NUM_THREADS; else one for SMALL steps; else all there are.
    Where a launcher has set OMP_NUM_THREADS, that is a job's share, of which it need not take all.
    """
    said = trainer.threads is not None or (THREADS in os.environ and SHARE not in os.environ)
    with as_told(trainer):
        shared = trainer.kind == "cpu" and torch.get_num_threads() > 1 and not said
        if shared and batch * _multiply_adds(model, image_shape, n_classes) < SMALL:
            torch.set_num_threads(1)
        yield


@functools.lru_cache(maxsize=64)
def _multiply_adds(model: ModelSpec, image_shape: tuple[int, int, int], n_classes: int) -> int:
    return model.multiply_adds(image_shape, n_classes)
