"""Models that have each not seen one fold of the training set, and the features that they give of all of it."""

from dataclasses import replace
from typing import Any

import numpy as np

from winnow.core.errors import DivergedError
from winnow.core.seeds import stream
from winnow.core.types import FoldFeatures, Ints
from winnow.datasets.base import ImageDataset
from winnow.probes.forward import features, pass_into
from winnow.probes.members_at_once import train_at_once
from winnow.probes.probe import Probe
from winnow.probes.subset_runs import fit_part
from winnow.store.artifacts import Artifact, ArtifactStore, Draft
from winnow.store.keys import make_key
from winnow.training.devices import TrainerSpec
from winnow.training.loggers import LoggerSpec


def folds(n: int, probe: Probe) -> Ints:
    """[n]: the fold of each example, one a member, equal in size up to one example, drawn by the ensemble's seed."""
    return stream(probe.seed, "probe folds").permutation(n) % probe.members


def fold_inputs(dataset: ImageDataset, probe: Probe, member: int) -> dict[str, Any]:
    """What the features of one model depend on; not on where its training would go on to."""
    return {
        "dataset": dataset.fingerprint,
        "model": probe.model,
        "recipe": probe.training_recipe,
        "epoch": probe.evaluated[-1],
        "seed": probe.seed,
        "fold": member,
        "folds": probe.members,
    }


def fold_keys(dataset: ImageDataset, probe: Probe) -> list[str]:
    """The artifact keys of the models, in order."""
    prefix = f"{dataset.slug}-{probe.model.name}-fold"
    return [make_key(prefix, fold_inputs(dataset, probe, member)) for member in range(probe.members)]


def train_fold(
    dataset: ImageDataset,
    probe: Probe,
    member: int,
    *,
    store: ArtifactStore,
    trainer: TrainerSpec,
    logger: LoggerSpec,
) -> Artifact:
    """The artifact of the model that has not seen one fold, which is trained if it is not there yet."""
    return store.fetch(
        "subset_run",
        fold_keys(dataset, probe)[member],
        write=lambda draft: _train(draft, dataset, probe, member, trainer, logger),
        inputs=fold_inputs(dataset, probe, member),
    )


def gather_fold_features(
    dataset: ImageDataset, probe: Probe, *, store: ArtifactStore, trainer: TrainerSpec, logger: LoggerSpec
) -> FoldFeatures:
    """Features of the K = probe.members models after the last evaluated epoch; missing ones are trained first."""
    computing: dict[str, Any] = {"store": store, "trainer": trainer, "logger": logger}
    train_at_once(train_fold, "subset_run", fold_keys(dataset, probe), dataset=dataset, probe=probe, **computing)
    runs = [train_fold(dataset, probe, member, **computing) for member in range(probe.members)]
    return FoldFeatures(fold=folds(dataset.n, probe), features=tuple(run.array("features") for run in runs))


def _train(
    draft: Draft, dataset: ImageDataset, probe: Probe, member: int, trainer: TrainerSpec, logger: LoggerSpec
) -> None:
    # Its features after one epoch are all that is read, so it is trained no longer, whatever the members are.
    probe = replace(probe, stop_after=probe.fold_epochs, checkpoint_at=())
    title = f"model {member + 1} of {probe.members}, which does not see fold {member + 1}"
    from winnow.probes.snapshots import Snapshots  # Lightning takes seconds, and what has been trained needs none

    snapshots = Snapshots({probe.evaluated[-1]})
    fitted = fit_part(
        draft,
        dataset,
        probe,
        member,
        folds(dataset.n, probe) != member,
        run=make_key(f"fold{member}", fold_inputs(dataset, probe, member)),
        title=title,
        trainer=trainer,
        logger=logger,
        callbacks=[snapshots],
    )
    model = fitted.model
    model.load_state_dict(snapshots.weights[probe.evaluated[-1]])
    out = draft.new_array("features", (dataset.n, model.head.in_features), np.float32)
    channels_last = probe.recipe.channels_last
    pass_into(out[None], [model], dataset, trainer=trainer, output=features, channels_last=channels_last)
    out.flush()
    if not np.isfinite(out).all():
        raise DivergedError(f"{title} diverged (its features are not finite); lower recipe.lr.")
