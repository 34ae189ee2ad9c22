"""The stages, one function each: from the store where a result is finished, and computed otherwise.

They take typed keyword arguments, know nothing of Hydra, and can be called one by one from plain Python.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from pytorch_lightning.loggers import Logger

from winnow.artifacts import ArtifactStore, Draft
from winnow.datasets.base import DatasetSpec, ImageDataset
from winnow.datasets.targets import TargetImages, read_targets
from winnow.diagnostics.metric_properties import mean_correlation
from winnow.errors import DivergedError, MismatchError, MissingEvidenceError
from winnow.keys import make_key
from winnow.metrics.base import Metric
from winnow.metrics.groups import by_groups
from winnow.models.base import ModelSpec
from winnow.probes.ensemble import evidence_keys, gather
from winnow.probes.probe import Probe
from winnow.records import (
    hash_score_file,
    load_scores,
    load_subset,
    load_trajectory,
    read_score_file,
    save_scores,
    save_subset,
)
from winnow.selectors.base import Selector
from winnow.training.callbacks.base import RecorderSpec
from winnow.training.fit import TrainerSpec, fit, measure
from winnow.training.loggers import LoggerSpec, NoLog
from winnow.training.recipe import Recipe
from winnow.types import Evidence, Floats, Scores, Subset, Trajectory


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
    epochs: frozenset[int] = frozenset(),
    options: Mapping[str, Mapping[str, Any]] | None = None,
    targets: TargetImages | None = None,
    store: ArtifactStore,
    trainer: TrainerSpec | None = None,
    logger: LoggerSpec | None = None,
) -> Evidence:
    """What the probe ensemble saw of the training set, with exactly the fields in `needs`.

    epochs: the evaluated epochs whose gradient norms are needed, the last one if none is named. options: of the passes
    over the probes, by field (Metric.pass_options); the defaults of a pass where none are given. targets: the images
    that target_gradients are of.
    Members are trained at most once, whichever metric asks; `needs` empty trains none.
    """
    if not needs:
        return Evidence(dataset=dataset.fingerprint, labels=dataset.train_labels)
    computing: dict[str, Any] = {"trainer": trainer or TrainerSpec(), "logger": logger or NoLog()}
    reads: dict[str, Any] = {"needs": needs, "epochs": epochs, "options": options, "targets": targets}
    return gather(dataset, probe, **reads, store=store, **computing)


def scores_key(dataset: ImageDataset, metric: Metric, probe: Probe) -> tuple[str, dict[str, Any]]:
    """The key of a metric's scores, and what it was made from."""
    inputs = {
        "dataset": dataset.fingerprint,
        "metric": metric,
        "probes": evidence_keys(dataset, probe, metric.needs),
    }
    if metric.reads_file is not None:
        inputs["file"] = hash_score_file(metric.reads_file[0])
    if (targets := targets_of(dataset, metric)) is not None:
        inputs["targets"] = targets.digest
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

    Raises MissingEvidenceError, before anything is trained, when the probes lack an epoch that the metric reads, and
    DatasetError when its file, or its folder of targets, cannot be read or does not fit the data set.
    """
    check_metric(metric, probe)
    given = read_given(dataset, metric)

    def write(draft: Draft) -> None:
        computing: dict[str, Any] = {"store": store, "trainer": trainer, "logger": logger}
        evidence = _evidence_for(metric, dataset, probe=probe, **computing)
        save_scores(draft, metric(replace(evidence, given=given)), dataset.columns)

    key, inputs = scores_key(dataset, metric, probe)
    return load_scores(store.fetch("scores", key, write=write, inputs=inputs))


def _evidence_for(metric: Metric, dataset: ImageDataset, **asked: Any) -> Evidence:
    """What the metric reads of the probes. asked: what else probe_dataset takes."""
    reads: dict[str, Any] = {"needs": metric.needs, "epochs": metric.epochs, "options": metric.pass_options}
    return probe_dataset(dataset, **reads, targets=targets_of(dataset, metric), **asked)


def targets_of(dataset: ImageDataset, metric: Metric) -> TargetImages | None:
    """The images that the metric reads the gradients of, None where it reads none. Raises DatasetError."""
    return None if metric.reads_folder is None else read_targets(dataset, metric.reads_folder)


def read_given(dataset: ImageDataset, metric: Metric) -> Floats | None:
    """[n]: the numbers in the file that the metric reads, None where it reads none. Raises DatasetError."""
    if metric.reads_file is None:
        return None
    path, column = metric.reads_file
    return read_score_file(path, column, n=dataset.n, files=dataset.train_files)


def agreement_of(
    dataset: ImageDataset,
    *,
    metric: Metric,
    probe: Probe,
    store: ArtifactStore,
    trainer: TrainerSpec | None = None,
    logger: LoggerSpec | None = None,
) -> pd.DataFrame:
    """How far scores depend on which probes gave them: probes (k of the K members), members (K), correlation.

    A line for each k from 1 to K/2, as `by_groups` deals them: the mean Spearman correlation of the scores that
    disjoint groups of k probes give, NaN where they give none or a constant. No line where the metric reads no probes,
    or there is only one.
    """

    def write(draft: Draft) -> None:
        computing: dict[str, Any] = {"store": store, "trainer": trainer, "logger": logger}
        evidence = _evidence_for(metric, dataset, probe=probe, **computing)
        found = [
            (k, evidence.members, np.nan if groups is None else mean_correlation(groups))
            for k, groups in by_groups(metric, evidence)
        ]
        draft.put_table("agreement", pd.DataFrame(found, columns=["probes", "members", "correlation"]))

    key, inputs = scores_key(dataset, metric, probe)
    return store.fetch("agreement", key, write=write, inputs=inputs).table("agreement")


def check_metric(metric: Metric, probe: Probe) -> None:
    """Raise MissingEvidenceError where these probes will not give what the metric reads."""
    probe.check_epochs(metric.epochs)
    if metric.least_epochs > probe.epochs:
        raise MissingEvidenceError(
            f"{metric.name} reads {metric.least_epochs} epochs of training, but probe.epochs={probe.epochs}; "
            "train the probes for longer or let the metric read fewer."
        )
    probe.check_evaluated(metric.name, metric.needs)


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
