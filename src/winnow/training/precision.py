"""bfloat16 where it pays: what recipe.precision=auto is on a device, and a word where bfloat16 was a wrong choice."""

import functools
import logging
import os
import time
from collections.abc import Iterable
from dataclasses import replace

import torch
import torch.nn.functional as F

from winnow.core.machine import device_name, trains_faster_in_bfloat16
from winnow.training.devices import TrainerSpec
from winnow.training.recipe import Recipe

log = logging.getLogger(__name__)
WARNED = "WINNOW_TOLD_OF_PRECISION"  # environment variable: this process, or the one that started it, has said it
WORTH_TELLING = 1.1
ROUNDS = 3


def settled(recipe: Recipe, trainer: TrainerSpec | None = None) -> Recipe:
    """The recipe with precision=auto replaced by what the trainer's device is faster in (see winnow.core.machine).

    A key says what was computed in, so this is called before any is made: what another device has finished in another
    precision is not taken for this one's.
    """
    return replace(recipe, precision=faster(trainer)) if recipe.precision == "auto" else recipe


def faster(trainer: TrainerSpec | None = None) -> str:
    """The precision that "auto" is on the trainer's device."""
    return "bfloat16" if trains_faster_in_bfloat16((trainer or TrainerSpec()).kind) else "float32"


def slow_choice(precisions: Iterable[str], trainer: TrainerSpec | None = None) -> str | None:
    """A sentence where bfloat16 is among the precisions and this device is slower in it, as measured now; or None."""
    kind = (trainer or TrainerSpec()).kind
    if trains_faster_in_bfloat16(kind) or "bfloat16" not in precisions:
        return None
    times = slowdown(kind)
    if times < WORTH_TELLING:
        return None
    return (
        f"recipe.precision=bfloat16 takes {times:.1f} times as long as float32 on {device_name(kind)} (a convolution, "
        "measured now); use recipe.precision=auto, which is the faster of the two on each device."
    )


def warn_of_slow_choice(precisions: Iterable[str], trainer: TrainerSpec | None = None) -> None:
    """Log the sentence, if there is one, once for this process and those that it starts."""
    if WARNED not in os.environ and (said := slow_choice(precisions, trainer)) is not None:
        os.environ[WARNED] = "1"
        log.warning("%s", said)


@functools.cache
def slowdown(kind: str) -> float:
    """How many times as long as in float32 a small convolution takes in bfloat16, forward and backward, on a device.

    The shortest of a few rounds each, after one that is not counted: 0.2 s where it is slowest. Of a CPU it is the
    processor time of one thread, which is the same on a busy machine. Networks as a whole have about this ratio (on an
    Intel Xeon held to AVX2 ResNet-8 7 to 9, this convolution 7 to 8).
    """
    clock = time.process_time if kind == "cpu" else time.perf_counter
    images = torch.ones(16, 16, 16, 16, device=kind).contiguous(memory_format=torch.channels_last)
    weight = torch.ones(16, 16, 3, 3, device=kind, requires_grad=True)
    images.requires_grad_()

    def seconds(half: bool) -> float:
        started = clock()
        with torch.autocast(kind, torch.bfloat16, enabled=half):
            outputs = F.conv2d(images, weight, padding=1)
        torch.autograd.grad(outputs.float().sum(), (images, weight))[0].sum().item()  # item: until a GPU has done it
        return clock() - started

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        single, half = (min([seconds(each) for _ in range(1 + ROUNDS)][1:]) for each in (False, True))
    finally:
        torch.set_num_threads(threads)
    return half / single
