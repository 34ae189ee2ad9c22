"""The one way through: dataset -> probes -> scores -> subset -> trained model -> row. Only this file composes stages.

Each function gives one stage's result, from the store where it is finished and computed otherwise. They take typed
keyword arguments, know nothing of Hydra, and can be called one by one from plain Python.
"""

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
from pytorch_lightning.loggers import Logger

from winnow.artifacts import ArtifactStore, Draft
from winnow.datasets.base import DatasetSpec, ImageDataset
from winnow.errors import DivergedError, MismatchError, MissingEvidenceError
from winnow.keys import describe, make_key
from winnow.metrics.base import Metric
from winnow.models.base import ModelSpec
from winnow.probes.ensemble import gather, member_keys
from winnow.probes.probe import Probe
from winnow.records import (
    load_row,
    load_scores,
    load_subset,
    load_trajectory,
    save_row,
    save_scores,
    save_subset,
)
from winnow.selectors.alpha import Fixed
from winnow.selectors.base import Selector
from winnow.selectors.compression import Count, Fraction
from winnow.training.callbacks.base import RecorderSpec
from winnow.training.fit import TrainerSpec, fit, measure
from winnow.training.loggers import LoggerSpec, NoLog
from winnow.training.recipe import Recipe
from winnow.types import Evidence, Row, Scores, Subset, Trajectory

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class CellSpec:
    """Everything that defines one cell of a grid: one trained model and its row."""

    dataset: DatasetSpec
    model: ModelSpec
    recipe: Recipe
    probe: Probe
    metric: Metric
    selector: Selector
    alpha: Fixed
    compression: Fraction | Count
    selection_seed: int = 0
    train_seed: int = 0
    recorders: tuple[RecorderSpec, ...] = ()

    @property
    def needs_probes(self) -> bool:
        return bool(self.selector.needs) or (self.selector.reads_scores and bool(self.metric.needs))

    @property
    def rule(self) -> str:
        return self.selector.rule(self.metric.name, self.alpha.value)


@dataclass(frozen=True, kw_only=True)
class TrainingResult:
    """What training on a subset gave: the test result of the last step, and what it cost.

    test_error in [0, 1]; test_loss in nats; seconds of wall-clock; key of the model artifact, which holds the weights
    and, where a recorder ran, the trajectory; git: commit of the code that trained it.
    """

    test_error: float
    test_loss: float
    n_test: int
    steps: int
    examples_seen: int
    seconds: float
    device: str
    key: str
    git: str | None


def load_dataset(spec: DatasetSpec, *, store: ArtifactStore) -> ImageDataset:
    """The data set that `spec` describes. store: where decoded images are kept."""
    return spec.load(store)


def probe_dataset(
    dataset: ImageDataset,
    *,
    probe: Probe,
    needs: frozenset[str],
    store: ArtifactStore,
    trainer: TrainerSpec | None = None,
    logger: LoggerSpec | None = None,
) -> Evidence:
    """What the probe ensemble saw of the training set, with exactly the fields in `needs`.

    Members are trained at most once, whichever metric asks; `needs` empty trains none.
    """
    if not needs:
        return Evidence(dataset=dataset.fingerprint, labels=dataset.train_labels)
    return gather(dataset, probe, needs=needs, store=store, trainer=trainer or TrainerSpec(), logger=logger or NoLog())


def scores_key(dataset: ImageDataset, metric: Metric, probe: Probe) -> tuple[str, dict[str, Any]]:
    """The key of a metric's scores, and what it was made from."""
    members = member_keys(dataset, probe) if metric.needs else []
    inputs = {"dataset": dataset.fingerprint, "metric": metric, "probes": members}
    return make_key(f"{dataset.slug}-{metric.name}", inputs), inputs


def score_dataset(
    dataset: ImageDataset,
    *,
    metric: Metric,
    probe: Probe,
    store: ArtifactStore,
    trainer: TrainerSpec | None = None,
    logger: LoggerSpec | None = None,
) -> Scores:
    """A score for each training example, higher = harder.

    Raises MissingEvidenceError, before anything is trained, when the probes lack an epoch that the metric reads.
    """
    check_metric(metric, probe)

    def write(draft: Draft) -> None:
        evidence = probe_dataset(dataset, probe=probe, needs=metric.needs, store=store, trainer=trainer, logger=logger)
        save_scores(draft, metric(evidence), dataset.columns)

    key, inputs = scores_key(dataset, metric, probe)
    return load_scores(store.fetch("scores", key, write=write, inputs=inputs))


def check_metric(metric: Metric, probe: Probe) -> None:
    """Raise MissingEvidenceError where these probes will not give what the metric reads."""
    probe.check_epochs(metric.epochs)
    if metric.least_epochs > probe.epochs:
        raise MissingEvidenceError(
            f"{metric.name} reads {metric.least_epochs} epochs of training, but probe.epochs={probe.epochs}; "
            "train the probes for longer or let the metric read fewer."
        )
    if "logits" in metric.needs and not probe.evaluated:
        raise MissingEvidenceError(f"{metric.name} reads logits; set probe.evaluate_at to at least one epoch.")


def subset_key(
    dataset: ImageDataset,
    *,
    selector: Selector,
    scores: Scores | None,
    r: float,
    alpha: float,
    seed: int,
    evidence: Evidence | None = None,
) -> tuple[str, dict[str, Any]]:
    """The key of a subset, and what it was made from: the content of the scores, however they were computed."""
    inputs = {
        "dataset": dataset.fingerprint,
        "selector": selector,
        "scores": None if scores is None else scores.content_hash,
        "r": r,
        "alpha": selector.effective_alpha(alpha),
        "seed": seed,
        "evidence": evidence.source if evidence is not None else (),
    }
    return make_key(f"{dataset.slug}-r{r:g}", inputs), inputs


def select_subset(
    dataset: ImageDataset,
    *,
    selector: Selector,
    scores: Scores | None,
    r: float,
    alpha: float = 0.0,
    seed: int = 0,
    store: ArtifactStore,
    evidence: Evidence | None = None,
) -> Subset:
    """The subset that `selector` keeps of `dataset`.

    scores may be None for a selector that reads none; evidence holds the fields that it `needs`, if any.

    Raises MismatchError when the scores belong to another data set; BudgetError or OptionError as the selector does.
    """
    if scores is not None and scores.dataset != dataset.fingerprint:
        raise MismatchError(
            f"these {scores.metric} scores belong to the data set {scores.dataset}, not to {dataset.fingerprint}; "
            "score this data set."
        )
    key, inputs = subset_key(dataset, selector=selector, scores=scores, r=r, alpha=alpha, seed=seed, evidence=evidence)

    def write(draft: Draft) -> None:
        subset = selector.select(scores, dataset.train_labels, r=r, alpha=alpha, seed=seed, evidence=evidence)
        save_subset(draft, subset, dataset.columns)

    return load_subset(store.fetch("subset", key, write=write, inputs=inputs))


def train_subset(
    dataset: ImageDataset,
    subset: Subset,
    *,
    model: ModelSpec,
    recipe: Recipe,
    seed: int = 0,
    store: ArtifactStore,
    recorders: tuple[RecorderSpec, ...] = (),
    trainer: TrainerSpec | None = None,
    lightning_logger: Logger | None = None,
) -> TrainingResult:
    """Train on a subset and test the last step. Equal subsets, however they were chosen, are trained once.

    Raises DivergedError when the test loss is not finite.
    """
    inputs = {
        "dataset": dataset.fingerprint,
        "subset": subset.content_hash,
        "model": model,
        "recipe": recipe,
        "seed": seed,
        "recorders": recorders,
    }
    key = make_key(f"{dataset.slug}-{model.name}-m{subset.m}", inputs)

    def write(draft: Draft) -> None:
        title = f"{model.name} on {subset.m} examples"
        recipe.warn_of_few_steps(title, subset.m, dataset.n)
        callbacks = [recorder.build(subset.indices, dataset.n_classes) for recorder in recorders]
        fitted = fit(
            dataset,
            subset=subset,
            model=model,
            recipe=recipe,
            seed=seed,
            trainer=trainer,
            callbacks=callbacks,
            logger=lightning_logger,
            title=title,
        )
        error, loss = measure(dataset, fitted.model, recipe=recipe, trainer=trainer)
        if not np.isfinite(loss):
            raise DivergedError(
                f"training {model.name} on {subset.m} examples diverged (test loss {loss}); lower recipe.lr."
            )
        for callback in callbacks:
            callback.save(draft)
        draft.put_tensors("weights", fitted.model.state_dict())
        draft.facts["device"] = fitted.device
        result = {
            "test_error": error,
            "test_loss": loss,
            "n_test": dataset.n_test,
            "steps": fitted.steps,
            "examples_seen": fitted.examples_seen,
            "seconds": round(fitted.seconds, 3),
            "device": fitted.device,
            "key": key,
        }
        draft.put_json("result", result)

    artifact = store.fetch("model", key, write=write, inputs=inputs)
    return TrainingResult(**artifact.json("result"), git=artifact.json("provenance")["git"])


def load_recorded(key: str, *, store: ArtifactStore) -> Trajectory:
    """The trajectory [T, m] that a recorder left with a trained model. key: of the model or of its row."""
    row = store.load("row", key)
    artifact = store.load("model", key if row is None else row.json("upstream")["model"])
    if artifact is None or "p_true" not in artifact.parts():
        raise MissingEvidenceError(f"no trajectory was recorded with the model {key}; train with callbacks=forgetting.")
    return load_trajectory(artifact)


def cell_key(cell: CellSpec, dataset: ImageDataset) -> tuple[str, dict[str, Any]]:
    """The key of a cell's row. It leaves out what the selector does not read: random is one rule under every metric."""
    scored = cell.selector.reads_scores
    inputs = {
        "dataset": dataset.fingerprint,
        "model": cell.model,
        "recipe": cell.recipe,
        "scores": scores_key(dataset, cell.metric, cell.probe)[0] if scored else None,
        "selector": cell.selector,
        "alpha": cell.selector.effective_alpha(cell.alpha.value),
        "r": cell.compression.fraction(dataset.n),
        "selection_seed": cell.selection_seed,
        "train_seed": cell.train_seed,
        "recorders": cell.recorders,
        "names": [dataset.name, cell.recipe.name],  # a row says them, though a model does not depend on them
        "evidence": member_keys(dataset, cell.probe) if cell.selector.needs else [],
    }
    return make_key(f"{dataset.slug}-{cell.rule}", inputs), inputs


def check_cell(cell: CellSpec, dataset: ImageDataset) -> tuple[float, float]:
    """(r, alpha) of the cell, once all that can be refused without training is refused."""
    r, alpha = cell.compression.fraction(dataset.n), cell.alpha.value
    cell.selector.check(dataset.train_labels, r=r, alpha=alpha)
    if cell.selector.reads_scores and cell.metric.needs:
        check_metric(cell.metric, cell.probe)
    return r, alpha


def train_cell(
    cell: CellSpec,
    *,
    store: ArtifactStore,
    trainer: TrainerSpec | None = None,
    logger: LoggerSpec | None = None,
    dataset: ImageDataset | None = None,
) -> Row:
    """The row of one cell: probes, scores, subset and training, each only where it is not finished yet.

    What can be refused without training is refused first (check_cell), so bad input leaves no artifact behind.
    dataset: what cell.dataset loads, for callers that run many cells on it.
    """
    if dataset is None:
        dataset = load_dataset(cell.dataset, store=store)
    check_cell(cell, dataset)
    key, inputs = cell_key(cell, dataset)

    def write(draft: Draft) -> None:
        row, upstream = _compute(cell, dataset, key, store, trainer, logger or NoLog())
        save_row(draft, row)
        draft.facts["device"] = row.device
        draft.put_json("upstream", upstream)

    return load_row(store.fetch("row", key, write=write, inputs=inputs))


def _compute(
    cell: CellSpec,
    dataset: ImageDataset,
    key: str,
    store: ArtifactStore,
    trainer: TrainerSpec | None,
    logger: LoggerSpec,
) -> tuple[Row, dict[str, str | None]]:
    """The row, and the keys of the artifacts that it came from."""
    computing: dict[str, Any] = {"store": store, "trainer": trainer, "logger": logger}
    scores = evidence = None
    if cell.selector.reads_scores:
        scores = score_dataset(dataset, metric=cell.metric, probe=cell.probe, **computing)
    if cell.selector.needs:
        evidence = probe_dataset(dataset, probe=cell.probe, needs=cell.selector.needs, **computing)
    r = cell.compression.fraction(dataset.n)
    alpha = cell.selector.effective_alpha(cell.alpha.value)
    rule: dict[str, Any] = {"selector": cell.selector, "scores": scores, "r": r, "alpha": alpha, "evidence": evidence}
    subset = select_subset(dataset, **rule, seed=cell.selection_seed, store=store)
    opened = logger.open(key, kind="cell", config=describe(cell))
    row: Row | None = None
    try:
        result = train_subset(
            dataset,
            subset,
            model=cell.model,
            recipe=cell.recipe,
            seed=cell.train_seed,
            store=store,
            recorders=cell.recorders,
            trainer=trainer,
            lightning_logger=opened,
        )
        row = Row(
            rule=cell.rule,
            dataset=dataset.name,
            model=cell.model.name,
            recipe=cell.recipe.name,
            metric=cell.metric.name if cell.selector.reads_scores else None,
            selector=type(cell.selector).__name__.lower(),
            protocol=cell.selector.protocol,
            alpha=alpha,
            r=r,
            n=dataset.n,
            n_kept=subset.m,
            probe_seed=cell.probe.seed if cell.needs_probes else None,
            selection_seed=cell.selection_seed,
            train_seed=cell.train_seed,
            steps=result.steps,
            examples_seen=result.examples_seen,
            probe_examples=cell.probe.cost(dataset.n) if cell.needs_probes else 0,
            n_test=result.n_test,
            test_error=result.test_error,
            test_loss=result.test_loss,
            effective_sample_size=subset.effective_sample_size,
            seconds=result.seconds,
            device=result.device,
            key=key,
            git=result.git,
        )
    finally:
        logger.close(opened, row, failed=row is None)
    upstream = {
        "scores": scores_key(dataset, cell.metric, cell.probe)[0] if scores is not None else None,
        "subset": subset_key(dataset, **rule, seed=cell.selection_seed)[0],
        "model": result.key,
    }
    return row, upstream
