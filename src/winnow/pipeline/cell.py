"""The one way through: dataset -> probes -> scores -> subset -> trained model -> row. Only this file composes stages.

The stages are in scoring.py and stages.py and can be had from here too: a whole experiment needs this one module.
"""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from winnow.core.errors import OptionError
from winnow.core.types import Row, Subset
from winnow.datasets.base import DatasetSpec, ImageDataset
from winnow.metrics.base import Metric
from winnow.models.base import ModelSpec
from winnow.pipeline.auto_alpha import choose_alpha
from winnow.pipeline.logged import cell_columns, log_model, log_selection, probes_made, scores_made
from winnow.pipeline.scoring import (
    check_metric,
    probe_dataset,
    read_given,
    score_dataset,
    scores_key,
    targets_of,
)
from winnow.pipeline.stages import (
    load_dataset,
    load_recorded,
    select_subset,
    subset_key,
    train_subset,
)
from winnow.probes.ensemble import evidence_keys
from winnow.probes.probe import Probe
from winnow.selectors.alpha import Auto, Fixed
from winnow.selectors.base import Selector
from winnow.selectors.budget import kept_count
from winnow.selectors.compression import Count, Fraction
from winnow.store.artifacts import ArtifactStore, Draft
from winnow.store.keys import describe, make_key
from winnow.store.records import load_row, save_row, save_upstream
from winnow.training.callbacks.base import RecorderSpec
from winnow.training.callbacks.forgetting import Forgetting
from winnow.training.devices import TrainerSpec
from winnow.training.fit import check_batches
from winnow.training.forgotten import show_most_forgotten
from winnow.training.loggers import LoggerSpec, NoLog
from winnow.training.precision import settled
from winnow.training.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class CellSpec:
    """Everything that defines one cell of a grid: one trained model and its row."""

    dataset: DatasetSpec
    model: ModelSpec
    recipe: Recipe
    probe: Probe
    metric: Metric
    selector: Selector
    alpha: Fixed | Auto
    compression: Fraction | Count
    selection_seed: int = 0
    train_seed: int = 0
    recorders: tuple[RecorderSpec, ...] = ()

    @property
    def auto(self) -> Auto | None:
        """How alpha is chosen from the data, where it is and the selector reads it."""
        return self.alpha if isinstance(self.alpha, Auto) and self.selector.reads_alpha else None

    @property
    def fixed_alpha(self) -> float:
        """The alpha that the selector is asked for where it is not chosen from the data; 0 where it reads none."""
        return self.alpha.value if isinstance(self.alpha, Fixed) else 0.0

    @property
    def selecting(self) -> frozenset[str]:
        """The evidence that selecting reads, besides the metric's."""
        return self.selector.needs | (self.auto.needs if self.auto else frozenset())

    @property
    def needs(self) -> frozenset[str]:
        """The evidence that the rule reads."""
        return self.selecting | (self.metric.needs if self.selector.reads_scores else frozenset())

    def settled(self, trainer: TrainerSpec | None = None) -> "CellSpec":
        """With the precision of its recipe and the probe's settled (see winnow.training.precision)."""
        return replace(self, recipe=settled(self.recipe, trainer), probe=self.probe.settled(trainer))

    @property
    def rule(self) -> str:
        """The name of the rule, which says the model of the probes where that is not the one that is trained."""
        metric = self.metric.name
        if self.metric.needs and self.probe.model != self.model:
            metric += f"@{self.probe.model.name}"
        return self.selector.rule(metric, self.auto.label if self.auto else self.fixed_alpha)


class Selected(NamedTuple):
    """What selecting gave: the subset, the alpha that the selector kept by, and the keys of the artifacts."""

    subset: Subset
    alpha: float
    key: str
    alpha_key: str | None


def cell_key(cell: CellSpec, dataset: ImageDataset) -> tuple[str, dict[str, Any]]:
    """The key of a cell's row. It leaves out what the selector does not read: random is one rule under every metric."""
    scored = cell.selector.reads_scores
    inputs = {
        "dataset": dataset.fingerprint,
        "model": cell.model,
        "recipe": cell.recipe,
        "scores": scores_key(dataset, cell.metric, cell.probe)[0] if scored else None,
        "selector": cell.selector,
        "alpha": cell.auto or cell.selector.effective_alpha(cell.fixed_alpha),
        "r": cell.compression.fraction(dataset.n),
        "selection_seed": cell.selection_seed,
        "train_seed": cell.train_seed,
        "recorders": cell.recorders,
        "names": [dataset.name, cell.recipe.name],  # a row says them, though a model does not depend on them
        "evidence": evidence_keys(dataset, cell.probe, cell.selecting),
    }
    return make_key(f"{dataset.slug}-{cell.rule}", inputs), inputs


def check_cell(cell: CellSpec, dataset: ImageDataset) -> None:
    """Raise every error that can be told before anything is trained."""
    for recorder in cell.recorders:
        recorder.check(cell.recipe)
    r = cell.compression.fraction(dataset.n)
    cell.selector.check(dataset.train_labels, r=r, alpha=cell.fixed_alpha)
    check_batches(dataset, kept_count(dataset.n, r), model=cell.model, recipe=cell.recipe)
    if cell.selector.reads_scores:
        read_given(dataset, cell.metric)
        targets_of(dataset, cell.metric)
    if cell.selector.reads_scores and cell.metric.needs:
        check_metric(cell.metric, cell.probe)
        if cell.metric.reads_test_set:
            raise OptionError(
                f"{cell.metric.name} reads the test labels, so no subset may be chosen by it; look at it with "
                "scripts/score.py, or choose metric.targets=held_out."
            )
    cell.probe.check_evaluated(cell.selector.name, cell.selector.needs)
    cell.probe.check_trained(cell.selector.name, cell.selector.least_epochs)
    if "embeddings" in cell.needs:
        cell.probe.embedding.check(dataset)
    if cell.auto:
        cell.probe.check_evaluated("alpha=auto", cell.auto.needs)


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
        save_upstream(draft, **upstream)

    return load_row(store.fetch("row", key, write=write, inputs=inputs))


def finished_row(cell: CellSpec, dataset: ImageDataset, *, store: ArtifactStore) -> Row | None:
    """The row of a cell that is finished, None of any other."""
    artifact = store.load("row", cell_key(cell, dataset)[0])
    return None if artifact is None else load_row(artifact)


def select_for_cell(
    cell: CellSpec,
    dataset: ImageDataset,
    *,
    store: ArtifactStore,
    trainer: TrainerSpec | None = None,
    logger: LoggerSpec | None = None,
) -> Selected:
    """The subset of a cell; scores, where its selector reads them, and alpha, where it is auto, are had first."""
    computing: dict[str, Any] = {"store": store, "trainer": trainer, "logger": logger}
    scores = evidence = alpha_key = None
    if cell.selector.reads_scores:
        scores = score_dataset(dataset, metric=cell.metric, probe=cell.probe, **computing)
    if cell.selector.needs:
        evidence = probe_dataset(dataset, probe=cell.probe, needs=cell.selector.needs, **computing)
    rule: dict[str, Any] = {
        "selector": cell.selector,
        "scores": scores,
        "r": cell.compression.fraction(dataset.n),
        "seed": cell.selection_seed,
    }
    alpha = cell.selector.effective_alpha(cell.fixed_alpha)
    if cell.auto:
        read = probe_dataset(dataset, probe=cell.probe, needs=cell.selecting, **computing)
        alpha, _, alpha_key = choose_alpha(dataset, auto=cell.auto, **rule, evidence=read, store=store)
    rule |= {"alpha": alpha, "evidence": evidence}
    key = subset_key(dataset, **rule)[0]
    subset = select_subset(dataset, **rule, store=store)
    if logger is not None:  # of what was selected before too: a launcher that plans a sweep selects without a log
        scored = [] if scores is None else [scores_made(scores_key(dataset, cell.metric, cell.probe)[0], store)]
        uses = scored + probes_made(evidence_keys(dataset, cell.probe, cell.selecting))
        log_selection(logger, store, key=key, uses=uses, config=cell_columns(cell, dataset, alpha))
    return Selected(subset, alpha, key, alpha_key)


def _compute(
    cell: CellSpec,
    dataset: ImageDataset,
    key: str,
    store: ArtifactStore,
    trainer: TrainerSpec | None,
    logger: LoggerSpec,
) -> tuple[Row, dict[str, str | None]]:
    """The row, and the keys of the artifacts that it came from."""
    subset, alpha, subset_made, alpha_made = select_for_cell(cell, dataset, store=store, trainer=trainer, logger=logger)
    targets = targets_of(dataset, cell.metric) if cell.selector.reads_scores else None
    opened = logger.open(key, kind="cell", config=cell_columns(cell, dataset, alpha) | {"cell": describe(cell)})
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
        log_model(logger, opened, store, subset=subset_made, model=result.key)
        if logger.shows_images and any(isinstance(recorder, Forgetting) for recorder in cell.recorders):
            correct = load_recorded(result.key, store=store).correct
            show_most_forgotten(logger, opened, dataset, subset.indices, correct)
        row = Row(
            rule=cell.rule,
            dataset=dataset.name,
            model=cell.model.name,
            recipe=cell.recipe.name,
            metric=cell.metric.name if cell.selector.reads_scores else None,
            selector=cell.selector.name,
            protocol=cell.selector.protocol,
            alpha=alpha,
            r=cell.compression.fraction(dataset.n),
            n=dataset.n,
            n_kept=subset.m,
            probe_seed=cell.probe.seed if cell.needs else None,
            selection_seed=cell.selection_seed,
            train_seed=cell.train_seed,
            steps=result.steps,
            examples_seen=result.examples_seen,
            probe_examples=cell.probe.cost(dataset.n, cell.needs, targets=0 if targets is None else targets.n),
            n_test=result.n_test,
            test_error=result.test_error,
            worst_class_error=result.worst_class_error,
            test_loss=result.test_loss,
            effective_sample_size=subset.effective_sample_size,
            precision=cell.recipe.precision,
            test_views=cell.recipe.test_views,
            seconds=result.seconds,
            device=result.device,
            key=key,
            git=result.git,
            family=cell.model.family,
            width=cell.model.width,
            depth=cell.model.depth,
            multiply_adds=cell.model.multiply_adds(dataset.image_shape, dataset.n_classes),
            probe_multiply_adds=cell.probe.multiply_adds(dataset, cell.needs) if cell.needs else None,
        )
    finally:
        logger.close(opened, row, failed=row is None)
    upstream = {
        "scores": scores_key(dataset, cell.metric, cell.probe)[0] if cell.selector.reads_scores else None,
        "alpha": alpha_made,
        "subset": subset_made,
        "model": result.key,
    }
    return row, upstream
