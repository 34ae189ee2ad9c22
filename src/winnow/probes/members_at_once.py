"""Models of an ensemble at once, each trained whole by one process: on a device each, or several on one device.

A process trains as it would alone, by the same code, so what it leaves is what it would have left alone with as many
threads, to the bit. Of one device that pays where a training does not fill it: a small net on a GPU, and any on the
cores of a CPU, whose threads gain less the more they are.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import psutil
import torch

from winnow.core.errors import OptionError, WinnowError
from winnow.core.machine import unfolds
from winnow.datasets.base import ImageDataset
from winnow.parallel import log_lines, workers
from winnow.parallel.log_lines import LogLines
from winnow.probes.probe import Probe
from winnow.store.artifacts import ArtifactStore, Stage
from winnow.training.devices import TrainerSpec
from winnow.training.loggers import LoggerSpec
from winnow.training.memory import training_bytes

CPU_RATE = 5e10
"""Multiply-adds a second of one thread in training (AVX-512: smallconv 3.6e10, ResNet-8 4.8e10), rather too many."""
WORTH_STARTING = 30.0
"""Seconds of training, as CPU_RATE has them, for which processes are started, whose server imports for 3.4 s."""
CPU_FILLED = 1e10
"""Multiply-adds of a training step from which its own threads share it as well as processes share several: on two
cores, at once, ResNet-8 in batches of 128 (5e9) gains 3 to 6%, smallconv in batches of 64 three quarters, and fastnet
in batches of 256 (9e10) loses 19%."""
GPU_FILLED = 5e10
"""Multiply-adds of a training step that a GPU does in the 5 ms or so that launching the step takes."""
GPU_MOST = 4
OF_PROCESS = 1e9
"""Bytes of a process beside its training and its data, on the host, and on a GPU for its context."""


def train_at_once(
    train: Callable[..., Any],
    stage: Stage,
    keys: list[str],
    *,
    dataset: ImageDataset,
    probe: Probe,
    store: ArtifactStore,
    trainer: TrainerSpec,
    logger: LoggerSpec,
) -> None:
    """Train the models of these keys that are not there yet, where several are to be trained at once (probe.parallel).

    train: called with dataset, probe, the model's number, store, trainer and logger in one of the processes, which
    must all reach the store. Raises what the first that failed raised, and OptionError where a number of models at once
    is asked of several devices.
    """
    missing = [member for member, key in enumerate(keys) if not store.exists(stage, key)]
    if not missing:
        return
    given = {"dataset": dataset, "probe": probe, "store": store, "logger": logger}
    given |= {"train": train, "missing": missing, "trainer": trainer}
    if trainer.devices * trainer.nodes > 1:
        if isinstance(probe.parallel, int):
            raise OptionError(
                f"probe.parallel={probe.parallel} is of one device, and there are {trainer.devices * trainer.nodes}; "
                "use probe.parallel=members, a model on each."
            )
        if probe.parallel == "members":
            _raise(trainer.call_on_all(_share, leader_only={}, **given))
        return
    at_once = how_many(probe, dataset, trainer, len(missing))
    if at_once == 1:
        return
    before = torch.get_num_threads()
    lines, threads = log_lines.of_this_process(), trainer.threads or before
    with _threads(before):
        shared: dict[str, Any] = {**given, "lines": lines, "threads": threads}
        _raise(
            workers.call_on_all(
                _share, devices=at_once, nodes=1, gpu=trainer.on_gpu, one_device=True, leader_only={}, **shared
            )
        )
        workers.dismiss()  # they hold memory, and what follows has the device to itself


def how_many(probe: Probe, dataset: ImageDataset, trainer: TrainerSpec, missing: int) -> int:
    """How many of the missing models are trained at once on the trainer's one device.

    With parallel=auto: on a CPU one for each thread that this process may use, where that takes more than
    WORTH_STARTING seconds and steps are smaller than CPU_FILLED; on a GPU as many as it takes to fill it, by GPU_FILLED
    and the multiply-adds of a step, and no more than GPU_MOST or than there are threads; on either no more than half of
    the free memory holds. The numbers of GPUs were never measured: they are what launching some hundred kernels takes.
    """
    if isinstance(probe.parallel, int):
        return min(probe.parallel, missing)
    room = min(missing, trainer.threads or torch.get_num_threads())
    if probe.parallel != "auto" or trainer.kind == "mps" or room == 1:
        return 1
    recipe, shape = probe.training_recipe, dataset.image_shape
    batch = recipe.batch_sizes(dataset.n)[1]
    image = 3 * probe.model.multiply_adds(shape, dataset.n_classes)  # backward takes about twice as much as forward
    if trainer.on_gpu:
        room = min(room, GPU_MOST, int(GPU_FILLED / (image * batch)))
    elif image * batch > CPU_FILLED:
        return 1
    if room <= 1 or missing * probe.trained_epochs * dataset.n * image < WORTH_STARTING * CPU_RATE:
        return 1
    unfolded = unfolds(trainer.kind, recipe.precision)
    step = training_bytes(probe.model, recipe, shape, dataset.n_classes, batch, unfolded=unfolded)
    data = 2 * sum(getattr(part, "nbytes", 0) for part in (dataset.train_images, dataset.test_images))
    free = psutil.virtual_memory().available
    if trainer.on_gpu:
        room = min(room, int(torch.cuda.mem_get_info(trainer.device)[0] / 2 / (OF_PROCESS + step + data)))
        step = 0
    return max(1, min(room, int(free / 2 / (OF_PROCESS + step + data))))


def _raise(failed: WinnowError | None) -> None:
    if failed is not None:
        raise failed


def _share(
    *,
    train: Callable[..., Any],
    missing: list[int],
    trainer: TrainerSpec,
    lines: LogLines | None = None,
    threads: int | None = None,
    **given: Any,
) -> WinnowError | None:
    """Train this process's share of the missing models. What the first that failed raised, if one did: a user's
    mistake, after which the others are as well as before.

    threads: of all processes together, which those that have a model to train share; None leaves them as they are.
    """
    rank, world = workers.rank(), workers.world_size()
    if lines is not None:
        trainer = replace(trainer, progress=False)  # several bars would write over each other
        if rank > 0:
            log_lines.follow(lines)
    failed: WinnowError | None = None
    with workers.independently():
        try:
            for first in range(0, len(missing), world):
                turn = missing[first : first + world]
                if threads is not None:
                    own = max(1, threads // len(turn))
                    torch.set_num_threads(own)
                    trainer = replace(trainer, threads=trainer.threads and own)
                for member in turn[rank : rank + 1]:
                    train(member=member, trainer=trainer.single_device, **given)
        except WinnowError as error:
            failed = error
        workers.wait_for_all()
    return next((each for each in workers.gathered(failed) if each is not None), None)


@contextmanager
def _threads(before: int) -> Iterator[None]:
    try:
        yield
    finally:
        torch.set_num_threads(before)
