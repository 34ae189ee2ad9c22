"""The stages, one function each: from the store where a result is finished, and computed otherwise.

They take typed keyword arguments, know nothing of Hydra, and can be called one by one from plain Python.
"""

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from winnow.core.errors import DivergedError, MismatchError, MissingEvidenceError
from winnow.core.types import Evidence, Scores, Subset, Trajectory
from winnow.datasets.base import DatasetSpec, ImageDataset
from winnow.models.base import ModelSpec
from winnow.selectors.base import Selector
from winnow.store import records
from winnow.store.artifacts import ArtifactStore, Draft
from winnow.store.keys import make_key
from winnow.store.records import (
    load_subset,
    load_trajectory,
    save_class_errors,
    save_subset,
)
from winnow.training.callbacks.base import RecorderSpec
from winnow.training.devices import TrainerSpec
from winnow.training.fit import fit, measure
from winnow.training.logger_spec import Opened
from winnow.training.recipe import Recipe

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class TrainingResult:
    """What training on a subset gave: the test result of the last step, and what it cost.

    test_error in [0, 1]; test_loss in nats; seconds of wall-clock; key of the model artifact, which holds the weights,
    the error of each class and, where a recorder ran, the trajectory; git: commit of the code that trained it.
    worst_class_error: the largest error of a class with test images; None of a model of a version that did not
    record it.
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
    worst_class_error: float | None = None


def load_dataset(spec: DatasetSpec, *, store: ArtifactStore) -> ImageDataset:
    """The data set that `spec` describes. store: where decoded images are kept."""
    return spec.load(store)


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


def model_key(
    dataset: ImageDataset,
    subset: Subset,
    *,
    model: ModelSpec,
    recipe: Recipe,
    seed: int,
    recorders: tuple[RecorderSpec, ...],
) -> tuple[str, dict[str, Any]]:
    """The key of a trained model, and what it is made from: the content of the subset, however it was chosen."""
    inputs = {
        "dataset": dataset.fingerprint,
        "subset": subset.content_hash,
        "model": model,
        "recipe": recipe,
        "seed": seed,
        "recorders": recorders,
    }
    return make_key(f"{dataset.slug}-{model.name}-m{subset.m}", inputs), inputs


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
    lightning_logger: Opened = None,
) -> TrainingResult:
    """Train on a subset and test the last step. Equal subsets, however they were chosen, are trained once.

    Warns where a class keeps no example. Raises DivergedError when the test loss is not finite, and what the recorders'
    `check` raises.
    """
    for recorder in recorders:
        recorder.check(recipe)
    _warn_of_lost_classes(dataset, subset, model)
    key, inputs = model_key(dataset, subset, model=model, recipe=recipe, seed=seed, recorders=recorders)

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
            checkpoint=draft.checkpoint,
        )
        measured = measure(dataset, fitted.model, recipe=recipe, trainer=trainer)
        if not np.isfinite(measured.loss):
            raise DivergedError(
                f"training {model.name} on {subset.m} examples diverged (test loss {measured.loss}); lower recipe.lr."
            )
        for callback in callbacks:
            callback.save(draft)
        draft.put_tensors("weights", fitted.model.state_dict())
        draft.facts["device"] = fitted.device
        errors = measured.class_errors
        lines = [(label, dataset.class_names[label], measured.tested[label], error) for label, error in errors.items()]
        save_class_errors(draft, pd.DataFrame(lines, columns=["class", "name", "n_test", "test_error"]))
        result = {
            "test_error": measured.error,
            "test_loss": measured.loss,
            "worst_class_error": max(errors.values()),
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


def _warn_of_lost_classes(dataset: ImageDataset, subset: Subset, model: ModelSpec) -> None:
    """Warn where a class of the training set keeps no example: no model can learn it, whatever the rule."""
    there = np.unique(dataset.train_labels)
    lost = np.setdiff1d(there, dataset.train_labels[subset.indices])
    if lost.size:
        named = ", ".join(dataset.class_names[label] for label in lost[:10]) + (", ..." if lost.size > 10 else "")
        more = "keep more, or balance the classes (selector.balance)"
        log.warning(
            "%s on %d example%s: %d of %d classes keep none (%s), so they cannot be learned; %s.",
            model.name, subset.m, "s" * (subset.m > 1), lost.size, there.size, named,
            more if subset.m >= there.size else f"keep {there.size} examples or more",
        )  # fmt: skip


def load_class_errors(key: str, *, store: ArtifactStore) -> pd.DataFrame:
    """The test error of each class of a trained model: class, name, n_test, test_error. key: of the model or its row.

    A class without test images has no line. Raises MissingEvidenceError where there is no such record.
    """
    artifact = records.trained_model(key, store)
    if artifact is None:
        raise MissingEvidenceError(f"there is no trained model {key} in {store.root}; {_how_to_train(key, store)}.")
    return records.load_class_errors(artifact)


def _how_to_train(key: str, store: ArtifactStore) -> str:
    """A cell whose row is there, as an imported one is, is not run again."""
    row = store.path("row", key)
    return f"remove {row} and run its cell again" if row.exists() else "train it first"


def load_recorded(key: str, *, store: ArtifactStore) -> Trajectory:
    """The trajectory [T, m] that a recorder left with a trained model. key: of the model or of its row."""
    artifact = records.trained_model(key, store)
    if artifact is None and store.exists("row", key):
        raise MissingEvidenceError(f"no model of the row {key} is in {store.root}; {_how_to_train(key, store)}.")
    if artifact is None or "p_true" not in artifact.parts():
        raise MissingEvidenceError(f"no trajectory was recorded with the model {key}; train with callbacks=forgetting.")
    return load_trajectory(artifact)
