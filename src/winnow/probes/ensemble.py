"""Train the members of a probe ensemble, and gather what they saw into evidence."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from winnow.core.errors import DivergedError, MissingEvidenceError
from winnow.core.types import Evidence, Subset, Trajectory
from winnow.datasets.base import ImageDataset
from winnow.datasets.targets import TargetImages
from winnow.probes.folds import fold_keys, gather_fold_features
from winnow.probes.forward import pass_into
from winnow.probes.members_at_once import train_at_once
from winnow.probes.passes import MemberPass, member_passes, pass_of_member
from winnow.probes.probe import Probe
from winnow.probes.stopped import Stopped, member_key, shorter_members
from winnow.probes.subset_runs import gather_subset_runs, run_keys
from winnow.store.artifacts import Artifact, ArtifactStore, Draft
from winnow.store.keys import make_key
from winnow.store.records import load_trajectory
from winnow.training.callbacks.forgetting import Forgetting
from winnow.training.devices import TrainerSpec
from winnow.training.fit import Fitted, fit
from winnow.training.forgotten import show_most_forgotten
from winnow.training.logger_spec import Made
from winnow.training.loggers import LoggerSpec

log = logging.getLogger(__name__)


def member_inputs(dataset: ImageDataset, probe: Probe, member: int) -> dict[str, Any]:
    """What one member's training depends on. The size of the ensemble does not matter, so K=10 reuses the 5 of K=5."""
    inputs = {
        "dataset": dataset.fingerprint,
        "model": probe.model,
        "recipe": probe.training_recipe,
        "evaluate_at": probe.evaluated,
        "checkpoint_at": probe.checkpoint_at,
        "seed": probe.member_seed(member),
    }
    if not probe.changes:
        inputs["changes"] = False
    return inputs if probe.stop_after is None else inputs | {"stop_after": probe.stop_after}


def member_keys(dataset: ImageDataset, probe: Probe) -> list[str]:
    """The artifact keys of the members, in order."""
    prefix = _prefix(dataset, probe)
    return [member_key(prefix, member_inputs(dataset, probe, member)) for member in range(probe.members)]


def shorter_trainings(dataset: ImageDataset, probe: Probe, member: int, *, store: ArtifactStore) -> Iterator[Stopped]:
    """The finished shorter trainings that a member can go on from, the longest first."""
    inputs = member_inputs(dataset, probe, member)
    return shorter_members(_prefix(dataset, probe), inputs, probe.trained_epochs, store=store)


def _prefix(dataset: ImageDataset, probe: Probe) -> str:
    return f"{dataset.slug}-{probe.model.name}"


def evidence_keys(dataset: ImageDataset, probe: Probe, needs: frozenset[str]) -> list[str]:
    """The keys of what the evidence in `needs` comes from: trainings, and embeddings from elsewhere."""
    whole = member_keys(dataset, probe) if probe.member_needs(needs) else []
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
        write=lambda draft: _train(draft, dataset, probe, member, store, trainer, logger),
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
    members_needed = range(probe.members) if probe.member_needs(needs) else ()
    if members_needed:
        train_at_once(train_member, "probe", member_keys(dataset, probe), dataset=dataset, probe=probe, **computing)
    members = [train_member(dataset, probe, member, **computing) for member in members_needed]
    outputs_of = {
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
        return [outputs_of[MemberPass(name, member, at)] for member in members_needed]

    def embedded() -> np.ndarray:
        def of_probe() -> np.ndarray:
            return outputs_of[MemberPass("features", 0, probe.evaluated[-1])]

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
    draft: Draft,
    dataset: ImageDataset,
    probe: Probe,
    member: int,
    store: ArtifactStore,
    trainer: TrainerSpec,
    logger: LoggerSpec,
) -> None:
    title, epochs = f"probe {member + 1} of {probe.members}", probe.trained_epochs
    log.info("%s: training %s for %d epochs", title, probe.model.name, epochs)
    candidates = shorter_trainings(dataset, probe, member, store=store)
    begun = next((found for each in candidates if (found := store.load("probe", each.key)) is not None), None)
    if begun is not None:
        log.info("%s: going on from %s", title, begun.folder.name)
    recorder = Forgetting(changes=probe.changes).build(np.arange(dataset.n), dataset.n_classes)
    from winnow.probes.snapshots import Snapshots  # Lightning takes seconds, and what has been trained needs none

    snapshots = Snapshots(set(probe.evaluated) | set(probe.checkpoint_at))
    name = make_key(f"member{member}", member_inputs(dataset, probe, member))
    config = {"dataset": dataset.name, "model": probe.model.name, "recipe": probe.recipe.name, "probe_seed": probe.seed}
    opened = logger.open(name, kind="probe", config=config | {"member": member, "epochs": epochs})
    recipe = probe.training_recipe
    if member == 0:  # the others are as short
        option = "probe.epochs" if probe.stop_after is None else "probe.stop_after"
        replace(recipe, epochs=epochs).warn_of_few_steps("the probes", dataset.n, dataset.n, epochs=option)
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
            stop_after=probe.stop_after,
            begun=None if begun is None else begun.continuation,
            kept=draft.continuation if probe.stop_after is not None and probe.continuable else None,
        )
        logger.artifact(opened, Made("probe", draft.final.name))
        if logger.shows_images:
            show_most_forgotten(logger, opened, dataset, np.arange(dataset.n), recorder.rows["correct"])
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
