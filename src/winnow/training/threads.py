"""How many threads of a CPU a training takes: as many as there are, or one where a step is so small that one is faster.

Each operation on several threads ends with their waiting for each other. Of the digits' smallconv that takes longer
than what is computed: a step takes 2.2 times as long on two threads as on one (scripts/bench/threads.py).
"""

import functools
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F

from winnow.models.base import ModelSpec
from winnow.parallel.processes import SHARE, THREADS
from winnow.training.devices import TrainerSpec
from winnow.training.recipe import Recipe

SMALL = 5e8
"""Multiply-adds of a forward pass of a batch below which it is measured; above it two threads were always faster."""
STEPS = 3


def are_chosen(trainer: TrainerSpec) -> bool:
    """Whether the user has said how many threads there are, by trainer.threads or OMP_NUM_THREADS. What a launcher sets
    there is a job's share, of which it need not take all."""
    return trainer.threads is not None or (THREADS in os.environ and SHARE not in os.environ)


@contextmanager
def as_told(trainer: TrainerSpec) -> Iterator[None]:
    """Within this, what the trainer's user has said (trainer.threads)."""
    with _kept():
        if trainer.threads is not None:
            torch.set_num_threads(trainer.threads)
        yield


@contextmanager
def fastest(
    trainer: TrainerSpec,
    model: ModelSpec,
    recipe: Recipe,
    image_shape: tuple[int, int, int],
    n_classes: int,
    batch: int,
) -> Iterator[None]:
    """Within this, the threads that the user has said, or all there are, or one where steps on one are faster.

    Measured once a process for each kind of step of less than SMALL multiply-adds, in 0.2 s at the most. Another number
    of threads rounds differently, so a checkpoint keeps the number, and the training goes on with it (see Checkpoints).
    """
    with as_told(trainer):
        there = torch.get_num_threads()
        small = trainer.kind == "cpu" and there > 1 and not are_chosen(trainer)
        if small and batch * model.multiply_adds(image_shape, n_classes) < SMALL:
            torch.set_num_threads(_faster(model, recipe, image_shape, n_classes, batch, there))
        yield


@contextmanager
def _kept() -> Iterator[None]:
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


@functools.lru_cache(maxsize=64)
def _faster(
    model: ModelSpec, recipe: Recipe, image_shape: tuple[int, int, int], n_classes: int, batch: int, threads: int
) -> int:
    """1 or `threads`: on which a training step of a batch takes the calling thread less processor time.

    That thread computes its part of everything and what is not shared out, so on a machine that does nothing else the
    step takes about its time; and on a busy one, whose clock tells of the others' work, it stays what it is.
    """
    height, width, channels = image_shape
    with torch.random.fork_rng(devices=[]):
        classifier = model.build(image_shape, n_classes).train()
        images, labels = torch.randn(batch, channels, height, width), torch.zeros(batch, dtype=torch.int64)
    if recipe.channels_last:
        classifier = classifier.to(memory_format=torch.channels_last)
        images = images.contiguous(memory_format=torch.channels_last)
    optimiser, _ = recipe.optimiser(classifier, steps=10**6)

    def seconds() -> float:
        started = time.thread_time()
        optimiser.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=recipe.precision == "bfloat16"):
            outputs = classifier(images)
        F.cross_entropy(outputs.float(), labels).backward()
        optimiser.step()
        return time.thread_time() - started

    taken = {}
    with _kept():
        for each in (1, threads):
            torch.set_num_threads(each)
            taken[each] = min([seconds() for _ in range(1 + STEPS)][1:])  # the first makes what the others find
    return min(taken, key=lambda each: taken[each])
