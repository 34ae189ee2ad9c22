"""What cells share: the artifacts that a cell needs before it selects, each of which can be made on its own."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any

from winnow.core.errors import OptionError, check_choice
from winnow.core.rounding import round_half_up
from winnow.core.types import Subset
from winnow.datasets.base import ImageDataset
from winnow.datasets.targets import TargetImages
from winnow.pipeline import CellSpec, check_cell, select_for_cell
from winnow.pipeline.scoring import score_dataset, scores_key, targets_of
from winnow.pipeline.stages import model_key
from winnow.probes.ensemble import gather, member_keys, train_member
from winnow.probes.folds import fold_keys, folds, train_fold
from winnow.probes.passes import member_passes, pass_key, pass_of_member
from winnow.probes.probe import Probe
from winnow.probes.subset_runs import run_keys, train_part
from winnow.store.artifacts import ArtifactStore, Stage
from winnow.training.devices import TrainerSpec
from winnow.training.loggers import LoggerSpec, NoLog

Make = Callable[..., Any]
"""Makes an artifact, or loads it where it is there. Takes store, trainer and logger."""


@dataclass(frozen=True, kw_only=True)
class SharedStage:
    """One artifact that a cell needs before it selects.

    name: how it is asked for within its cell, such as "probe:2" of the members 0, 1, 2...; title: for people. stage,
    key: the artifact; cells share what is equal in both. after: the keys of the stages that must be finished first.
    examples: to be processed for it, as Probe.cost counts them; 0 for what is only computed from others.
    """

    name: str
    title: str
    stage: Stage
    key: str
    after: tuple[str, ...] = ()
    examples: int = 0

    def is_finished(self, store: ArtifactStore) -> bool:
        return store.exists(self.stage, self.key)


def shared_stages(cell: CellSpec, dataset: ImageDataset) -> list[SharedStage]:
    """What the cell needs before it selects, in an order in which it can be made: trainings, passes, scores.

    probe:K, a member of the ensemble; part:K, a model of a random part; fold:K, one of all but a fold; embedding, where
    it comes from elsewhere;
    features:K, gradient_norms:K@EPOCH and the like, a pass over a member; scores. Only what the cell's rule reads.

    Raises what check_cell raises.
    """
    check_cell(cell, dataset)
    return [stage for stage, _ in _stages(cell, dataset)]


def make_shared(
    cell: CellSpec,
    dataset: ImageDataset,
    name: str,
    *,
    store: ArtifactStore,
    trainer: TrainerSpec | None = None,
    logger: LoggerSpec | None = None,
) -> SharedStage:
    """Make one of the shared stages, and what it is made from where that is missing.

    Raises OptionError for a name that is none of theirs, and what check_cell raises, before anything is made.
    """
    check_cell(cell, dataset)
    stages = {stage.name: (stage, make) for stage, make in _stages(cell, dataset)}
    if not stages:
        raise OptionError(f"{cell.rule} reads nothing that is shared, so there is no only={name}; leave out only.")
    check_choice("only", name, tuple(stages))
    stage, make = stages[name]
    make(store=store, trainer=trainer or TrainerSpec(), logger=logger or NoLog())
    return stage


def trained_key(cell: CellSpec, dataset: ImageDataset, *, store: ArtifactStore) -> str | None:
    """The key of the model that a cell trains, None where a shared stage is missing that selecting reads.

    It selects, through the store, as the cell itself will: alpha=auto is chosen and the subset is drawn and kept.
    """
    if not all(stage.is_finished(store) for stage in shared_stages(cell, dataset)):
        return None
    subset = select_for_cell(cell, dataset, store=store).subset
    key, _ = model_key(
        dataset, subset, model=cell.model, recipe=cell.recipe, seed=cell.train_seed, recorders=cell.recorders
    )
    return key


def cheap_trained_key(cell: CellSpec, dataset: ImageDataset, *, store: ArtifactStore) -> str | None:
    """`trained_key` where that takes little: the rule reads nothing but scores, or keeps everything. None elsewhere.

    For launchers that would rather not train the same model twice at once; an error is the cell's own to tell.
    """
    training: dict[str, Any] = {"model": cell.model, "recipe": cell.recipe, "seed": cell.train_seed}
    if cell.compression.fraction(dataset.n) == 1:
        return model_key(dataset, Subset.full(dataset.n), **training, recorders=cell.recorders)[0]
    try:
        return None if cell.selecting else trained_key(cell, dataset, store=store)
    except Exception:  # whatever it is, it must stop that cell alone
        return None


def missing_stages(cell: CellSpec, dataset: ImageDataset, *, store: ArtifactStore) -> list[SharedStage]:
    """The shared stages that a cell has to wait for. Where the scores are there, what only they read is not missed."""
    stages = shared_stages(cell, dataset)
    if not cell.selecting and any(stage.name == "scores" and stage.is_finished(store) for stage in stages):
        return []
    return [stage for stage in stages if not stage.is_finished(store)]


@dataclass(frozen=True, kw_only=True)
class _Reads:
    """What one reader asks of the probes, as probe_dataset takes it."""

    needs: frozenset[str]
    epochs: frozenset[int] = frozenset()
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: MappingProxyType({}))
    targets: TargetImages | None = None


def _stages(cell: CellSpec, dataset: ImageDataset) -> list[tuple[SharedStage, Make]]:
    metric, probe = cell.metric, cell.probe
    found = _evidence_stages(_Reads(needs=cell.selecting), probe, dataset)
    if cell.selector.reads_scores:
        options, targets = metric.pass_options, targets_of(dataset, metric)
        reads = _Reads(needs=metric.needs, epochs=metric.epochs, options=options, targets=targets)
        of_metric = _evidence_stages(reads, probe, dataset)
        scores = SharedStage(
            name="scores",
            title=f"{metric.name} scores",
            stage="scores",
            key=scores_key(dataset, metric, probe)[0],
            after=tuple(stage.key for stage, _ in of_metric),
        )
        make: Make = partial(score_dataset, dataset, metric=metric, probe=probe)
        found = [*of_metric, *found, (scores, make)]
    once = {(stage.stage, stage.key): (stage, make) for stage, make in found}
    return sorted(once.values(), key=lambda each: (each[0].name == "scores", bool(each[0].after)))


def _evidence_stages(reads: _Reads, probe: Probe, dataset: ImageDataset) -> list[tuple[SharedStage, Make]]:
    found: list[tuple[SharedStage, Make]] = []
    n, needs, members = dataset.n, reads.needs, member_keys(dataset, probe)
    for member, key in enumerate(members if probe.member_needs(needs) else ()):
        stage = SharedStage(
            name=f"probe:{member}",
            title=f"probe {member + 1} of {probe.members}",
            stage="probe",
            key=key,
            examples=n * (probe.trained_epochs + len(probe.evaluated)),
        )
        found.append((stage, partial(train_member, dataset, probe, member)))
    for member, key in enumerate(run_keys(dataset, probe) if "subset_runs" in needs else ()):
        stage = SharedStage(
            name=f"part:{member}",
            title=f"model {member + 1} of {probe.members} on a random part",
            stage="subset_run",
            key=key,
            examples=round_half_up(probe.subset_fraction * n) * probe.trained_epochs + n,
        )
        found.append((stage, partial(train_part, dataset, probe, member)))
    for member, key in enumerate(fold_keys(dataset, probe) if "fold_features" in needs else ()):
        stage = SharedStage(
            name=f"fold:{member}",
            title=f"model {member + 1} of {probe.members} on all but a fold",
            stage="subset_run",
            key=key,
            examples=int((folds(n, probe) != member).sum()) * probe.fold_epochs + n,
        )
        found.append((stage, partial(train_fold, dataset, probe, member)))
    if "embeddings" in needs and (artifact := probe.embedding.artifact(dataset)) is not None:
        stage = SharedStage(
            name="embedding",
            title="embeddings",
            stage=artifact[0],
            key=artifact[1],
            examples=probe.embedding.cost(n),
        )
        found.append((stage, partial(gather, dataset, probe, needs=frozenset({"embeddings"}))))
    for name, member, epoch in member_passes(probe, needs, reads.epochs):
        options = reads.options.get(name, {})
        targets = reads.targets if name == "target_gradients" else None
        stage = SharedStage(
            name=f"{name}:{member}" + (f"@{epoch}" if name == "gradient_norms" else ""),
            title=f"{name.replace('_', ' ')} of probe {member + 1} of {probe.members}",
            stage="pass",
            key=pass_key(name, dataset, probe, members[member], epoch, options, targets)[0],
            after=(members[member],),
            examples=n if targets is None else targets.n,
        )
        asked: dict[str, Any] = {"name": name, "epoch": epoch, "options": options, "targets": targets}
        found.append((stage, partial(_pass, dataset, probe, member, **asked)))
    return found


def _pass(
    dataset: ImageDataset,
    probe: Probe,
    member: int,
    *,
    name: str,
    store: ArtifactStore,
    trainer: TrainerSpec,
    logger: LoggerSpec,
    **asked: Any,
) -> None:
    trained = train_member(dataset, probe, member, store=store, trainer=trainer, logger=logger)
    pass_of_member(name, dataset, probe, trained, **asked, store=store, trainer=trainer)
