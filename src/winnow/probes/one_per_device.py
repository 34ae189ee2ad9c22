"""One model on each device instead of each model on all of them: probe.parallel=members."""

from collections.abc import Callable
from typing import Any

from winnow.core.errors import WinnowError
from winnow.datasets.base import ImageDataset
from winnow.parallel import workers
from winnow.probes.probe import Probe
from winnow.store.artifacts import ArtifactStore, Stage
from winnow.training.devices import TrainerSpec
from winnow.training.loggers import LoggerSpec


def train_one_per_device(
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
    """Train the models of these keys that are not there yet, each on one of the trainer's devices.

    train: called with dataset, probe, the model's number, store, trainer and logger in one of the processes, which
    must all reach the store. Raises what the first that failed raised.
    """
    missing = [member for member, key in enumerate(keys) if not store.exists(stage, key)]
    if probe.parallel == "members" and missing and trainer.devices * trainer.nodes > 1:
        given = {"dataset": dataset, "probe": probe, "store": store, "logger": logger}
        failed = trainer.call_on_all(_share, leader_only={}, train=train, missing=missing, trainer=trainer, **given)
        if failed is not None:
            raise failed


def _share(*, train: Callable[..., Any], missing: list[int], trainer: TrainerSpec, **given: Any) -> WinnowError | None:
    """Train this process's share of the missing models. What the first that failed raised, if one did: a user's
    mistake, after which the others are as well as before."""
    mine: list[int] = missing[workers.rank() :: workers.world_size()]
    failed: WinnowError | None = None
    with workers.independently():
        try:
            for member in mine:
                train(member=member, trainer=trainer.single_device, **given)
        except WinnowError as error:
            failed = error
    return next((each for each in workers.gathered(failed) if each is not None), None)
