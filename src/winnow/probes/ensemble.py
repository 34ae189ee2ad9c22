"""Train the members of a probe ensemble, and gather what they saw into evidence."""

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np

from winnow.artifacts import Artifact, ArtifactStore, Draft
from winnow.datasets.base import ImageDataset
from winnow.datasets.targets import TargetImages
from winnow.errors import DivergedError, MissingEvidenceError
from winnow.keys import make_key
from winnow.probes.apart import train_apart
from winnow.probes.folds import fold_keys, gather_fold_features
from winnow.probes.passes import MemberPass, member_passes, pass_of_member
from winnow.probes.probe import Probe
from winnow.probes.scorer import pass_into
from winnow.probes.snapshots import Snapshots
from winnow.probes.subset_runs import gather_subset_runs, run_keys
from winnow.records import load_trajectory
from winnow.training.callbacks.forgetting import Forgetting
from winnow.training.devices import TrainerSpec
from winnow.training.fit import Fitted, fit
from winnow.training.loggers import LoggerSpec
from winnow.types import Evidence, Subset, Trajectory

log = logging.getLogger(__name__)


def member_inputs(dataset: ImageDataset, probe: Probe, member: int) -> dict[str, Any]:
    """What one member's training depends on. The size of the ensemble does not matter, so K=10 reuses the 5 of K=5."""
    return {
        "dataset": dataset.fingerprint,
        "model": probe.model,
        "recipe": probe.training_recipe,
        "evaluate_at": probe.evaluated,
        "checkpoint_at": probe.checkpoint_at,
        "seed": probe.member_seed(member),
    }


def member_keys(dataset: ImageDataset, probe: Probe) -> list[str]:
    """The artifact keys of the members, in order."""
    prefix = f"{dataset.slug}-{probe.model.name}"
    return [make_key(prefix, member_inputs(dataset, probe, member)) for member in range(probe.members)]


def evidence_keys(dataset: ImageDataset, probe: Probe, needs: frozenset[str]) -> list[str]:
    """The keys of what the evidence in `needs` comes from: trainings, and embeddings from elsewhere."""
    whole = member_keys(dataset, probe) if probe.of_members(needs) else []
    embedded = probe.embedding.keys(dataset) if "embeddings" in needs else []
    parts = run_keys(dataset, probe) if "subset_runs" in needs else []
    folds = fold_keys(dataset, probe) if "fold_features" in needs else []
    return whole + parts + folds + embedded


def train_member(
    dataset: ImageDataset,
    probe: Probe,
    member: int,
    *,
    store: ArtifactStore,
    trainer: TrainerSpec,
    logger: LoggerSpec,
) -> Artifact:
    """The artifact of one member, which is trained if it is not there yet."""
    return store.fetch(
        "probe",
        member_keys(dataset, probe)[member],
        write=lambda draft: _train(draft, dataset, probe, member, trainer, logger),
        inputs=member_inputs(dataset, probe, member),
    )


def gather(
    dataset: ImageDataset,
    probe: Probe,
    *,
    needs: frozenset[str],
    epochs: frozenset[int] = frozenset(),
    options: Mapping[str, Mapping[str, Any]] | None = None,
    targets: TargetImages | None = None,
    store: ArtifactStore,
    trainer: TrainerSpec,
    logger: LoggerSpec,
) -> Evidence:
    """Evidence with exactly the fields in `needs`; members that are not on disk yet are trained first.

    epochs: those whose gradient norms are needed; none means the last evaluated. options: of passes, by field. targets:
    the images that target_gradients are of.

    Raises MissingEvidenceError where target_gradients are needed and there are no targets.
    """
    if "target_gradients" in needs and targets is None:
        raise MissingEvidenceError("this reads target_gradients; give the images of a target set (read_targets).")
    source = tuple(evidence_keys(dataset, probe, needs))
    computing: dict[str, Any] = {"store": store, "trainer": trainer, "logger": logger}
    parts = gather_subset_runs(dataset, probe, **computing) if "subset_runs" in needs else None
    folds = gather_fold_features(dataset, probe, **computing) if "fold_features" in needs else None
    of_members = range(probe.members) if probe.of_members(needs) else ()
    if of_members:
        train_apart(train_member, "probe", member_keys(dataset, probe), dataset=dataset, probe=probe, **computing)
    members = [train_member(dataset, probe, member, **computing) for member in of_members]
    passed = {
        each: pass_of_member(
            each.name,
            dataset,
            probe,
            members[each.member],
            epoch=each.epoch,
            options=(options or {}).get(each.name, {}),
            targets=targets if each.name == "target_gradients" else None,
            store=store,
            trainer=trainer,
        )
        for each in member_passes(probe, needs, epochs)
    }

    def outputs(name: str, epoch: int | None = None) -> list[np.ndarray]:
        at = probe.evaluated[-1] if epoch is None else epoch
        return [passed[MemberPass(name, member, at)] for member in of_members]

    def embedded() -> np.ndarray:
        def of_probe() -> np.ndarray:
            return passed[MemberPass("features", 0, probe.evaluated[-1])]

        return probe.embedding.embed(dataset, of_probe=of_probe, **computing)

    return Evidence(
        dataset=dataset.fingerprint,
        labels=dataset.train_labels,
        trajectories=Trajectory.stack([load_trajectory(m) for m in members]) if "trajectories" in needs else None,
        logits=_stacked_logits(members, probe) if "logits" in needs else None,
        features=tuple(outputs("features")) if "features" in needs else None,
        embeddings=embedded() if "embeddings" in needs else None,
        gradient_norms=(
            {epoch: np.stack(outputs("gradient_norms", epoch)) for epoch in epochs or probe.evaluated[-1:]}
            if "gradient_norms" in needs
            else None
        ),
        input_gradient_norms=np.stack(outputs("input_gradient_norms")) if "input_gradient_norms" in needs else None,
        boundary_distances=np.stack(outputs("boundary_distances")) if "boundary_distances" in needs else None,
        projected_gradients=tuple(outputs("projected_gradients")) if "projected_gradients" in needs else None,
        target_gradients=tuple(outputs("target_gradients")) if "target_gradients" in needs else None,
        subset_runs=parts,
        fold_features=folds,
        source=source,
    )


def _stacked_logits(members: list[Artifact], probe: Probe) -> dict[int, np.ndarray]:
    return {epoch: np.stack([member.array(f"logits_{epoch}") for member in members]) for epoch in probe.evaluated}


def _train(
    draft: Draft, dataset: ImageDataset, probe: Probe, member: int, trainer: TrainerSpec, logger: LoggerSpec
) -> None:
    title = f"probe {member + 1} of {probe.members}"
    log.info("%s: training %s for %d epochs", title, probe.model.name, probe.epochs)
    recorder = Forgetting().build(np.arange(dataset.n), dataset.n_classes)
    snapshots = Snapshots(set(probe.evaluated) | set(probe.checkpoint_at))
    name = make_key(f"member{member}", member_inputs(dataset, probe, member))
    opened = logger.open(
        name, kind="probe", config={"model": probe.model.name, "member": member, "epochs": probe.epochs}
    )
    recipe = probe.training_recipe
    if member == 0:  # the others are as short
        recipe.warn_of_few_steps("the probes", dataset.n, dataset.n, epochs="probe.epochs")
    fitted: Fitted | None = None
    try:
        fitted = fit(
            dataset,
            subset=Subset.full(dataset.n),
            model=probe.model,
            recipe=recipe,
            seed=probe.member_seed(member),
            trainer=trainer,
            callbacks=[recorder, snapshots],
            logger=opened,
            title=title,
            checkpoint=draft.checkpoint,
        )
    finally:
        logger.close(opened, failed=fitted is None)
    if not np.isfinite(recorder.trajectory().loss).all():
        raise DivergedError(f"{title} diverged (its training loss is not finite); lower recipe.lr.")
    draft.facts["device"] = fitted.device
    recorder.save(draft)
    for epoch in snapshots.weights:
        draft.put_tensors(f"weights_{epoch}", snapshots.weights[epoch])
    for epoch in probe.evaluated:
        fitted.model.load_state_dict(snapshots.weights[epoch])
        logits = draft.new_array(f"logits_{epoch}", (dataset.n, dataset.n_classes), np.float32)
        pass_into(logits[None], [fitted.model], dataset, trainer=trainer, channels_last=recipe.channels_last)
        logits.flush()
