"""Models trained on random parts of the training set, and what each gets right, of its part and beyond."""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from winnow.core.errors import DivergedError
from winnow.core.rounding import round_half_up
from winnow.core.seeds import stream
from winnow.core.types import Bools, Subset, SubsetRuns
from winnow.datasets.base import ImageDataset
from winnow.probes.forward import pass_into
from winnow.probes.members_at_once import train_at_once
from winnow.probes.probe import Probe
from winnow.store.artifacts import Artifact, ArtifactStore, Draft
from winnow.store.keys import make_key
from winnow.training.devices import TrainerSpec
from winnow.training.fit import Fitted, fit
from winnow.training.logger_spec import Made
from winnow.training.loggers import LoggerSpec

if TYPE_CHECKING:
    from pytorch_lightning import Callback

log = logging.getLogger(__name__)


def membership(n: int, probe: Probe, member: int) -> Bools:
    """[n]: which examples a member is trained on, ⌊fraction · n + ½⌋ drawn uniformly without replacement."""
    inside = np.zeros(n, dtype=bool)
    m = round_half_up(probe.subset_fraction * n)
    inside[stream(probe.seed, "membership", member).permutation(n)[:m]] = True
    return inside


def run_inputs(dataset: ImageDataset, probe: Probe, member: int) -> dict[str, Any]:
    """What one model's training depends on; not the number of models, so K=100 reuses the 50 of K=50."""
    inputs = {
        "dataset": dataset.fingerprint,
        "model": probe.model,
        "recipe": probe.training_recipe,
        "fraction": probe.subset_fraction,
        "seed": probe.seed,
        "member": member,
    }
    return inputs if probe.stop_after is None else inputs | {"stop_after": probe.stop_after}


def run_keys(dataset: ImageDataset, probe: Probe) -> list[str]:
    """The artifact keys of the models, in order."""
    prefix = f"{dataset.slug}-{probe.model.name}-part"
    return [make_key(prefix, run_inputs(dataset, probe, member)) for member in range(probe.members)]


def train_part(
    dataset: ImageDataset,
    probe: Probe,
    member: int,
    *,
    store: ArtifactStore,
    trainer: TrainerSpec,
    logger: LoggerSpec,
) -> Artifact:
    """The artifact of one model of a random part, which is trained if it is not there yet."""
    return store.fetch(
        "subset_run",
        run_keys(dataset, probe)[member],
        write=lambda draft: _train(draft, dataset, probe, member, trainer, logger),
        inputs=run_inputs(dataset, probe, member),
    )


def gather_subset_runs(
    dataset: ImageDataset, probe: Probe, *, store: ArtifactStore, trainer: TrainerSpec, logger: LoggerSpec
) -> SubsetRuns:
    """What the K = probe.members models got right; those that are not on disk yet are trained first."""
    computing: dict[str, Any] = {"store": store, "trainer": trainer, "logger": logger}
    train_at_once(train_part, "subset_run", run_keys(dataset, probe), dataset=dataset, probe=probe, **computing)
    runs = [train_part(dataset, probe, member, **computing) for member in range(probe.members)]
    names = ("membership", "correct", "test_correct")
    return SubsetRuns(**{name: np.stack([run.array(name) for run in runs]) for name in names})


def _train(
    draft: Draft, dataset: ImageDataset, probe: Probe, member: int, trainer: TrainerSpec, logger: LoggerSpec
) -> None:
    inside = membership(dataset.n, probe, member)
    title = f"model {member + 1} of {probe.members} on {inside.sum()} random examples"
    run = make_key(f"part{member}", run_inputs(dataset, probe, member))
    fitted = fit_part(draft, dataset, probe, member, inside, run=run, title=title, trainer=trainer, logger=logger)
    draft.put_array("membership", inside)
    labels = {"train": dataset.train_labels, "test": dataset.test_labels}
    for part, name in (("train", "correct"), ("test", "test_correct")):
        logits = np.empty((1, labels[part].size, dataset.n_classes), dtype=np.float32)
        options: dict[str, Any] = {"part": part, "trainer": trainer, "channels_last": probe.recipe.channels_last}
        pass_into(logits, [fitted.model], dataset, **options)
        if not np.isfinite(logits).all():
            raise DivergedError(f"{title} diverged (its logits are not finite); lower recipe.lr.")
        draft.put_array(name, logits[0].argmax(axis=1) == labels[part])


def fit_part(
    draft: Draft,
    dataset: ImageDataset,
    probe: Probe,
    member: int,
    inside: Bools,
    *,
    run: str,
    title: str,
    trainer: TrainerSpec,
    logger: LoggerSpec,
    callbacks: "Sequence[Callback]" = (),
) -> Fitted:
    """A model trained as the ensemble's members are, but on the examples inside [n] alone. run: its logger's name."""
    log.info("%s: training %s for %d epochs", title, probe.model.name, probe.trained_epochs)
    subset = Subset(np.flatnonzero(inside), np.ones(inside.sum()), np.zeros(inside.sum(), dtype=bool), dataset.n)
    config = {"dataset": dataset.name, "model": probe.model.name, "member": member, "probe_seed": probe.seed}
    opened = logger.open(run, kind="probe", config=config)
    fitted: Fitted | None = None
    try:
        fitted = fit(
            dataset,
            subset=subset,
            model=probe.model,
            recipe=probe.training_recipe,
            seed=probe.member_seed(member),
            trainer=trainer,
            callbacks=callbacks,
            logger=opened,
            title=title,
            checkpoint=draft.checkpoint,
            stop_after=probe.stop_after,
        )
        logger.artifact(opened, Made("probe", draft.final.name))
    finally:
        logger.close(opened, failed=fitted is None)
    draft.facts["device"] = fitted.device
    return fitted
