"""From a data set to scores: the stages that probe it, gather evidence and score, each from the store or computed."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import softmax

from winnow.core.types import Evidence, Floats, Scores
from winnow.datasets.base import ImageDataset
from winnow.datasets.targets import TargetImages, read_targets
from winnow.metrics.base import Metric
from winnow.metrics.groups import by_groups
from winnow.pipeline.logged import probes_made, score_columns, scores_made
from winnow.probes.ensemble import evidence_keys, gather
from winnow.probes.probe import Probe
from winnow.store.artifacts import ArtifactStore, Draft
from winnow.store.keys import make_key
from winnow.store.records import load_scores, save_scores
from winnow.store.score_files import hash_score_file, read_score_file
from winnow.training.devices import TrainerSpec
from winnow.training.loggers import LoggerSpec, NoLog


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
        new.append(key)

    new: list[str] = []
    key, inputs = scores_key(dataset, metric, probe)
    scores = load_scores(store.fetch("scores", key, write=write, inputs=inputs))
    if new and logger is not None:
        config = score_columns(dataset, metric, probe)
        logger.stage("score", scores_made(key, store), uses=probes_made(inputs["probes"]), config=config)
    return scores


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
        from winnow.diagnostics.metric_properties import mean_correlation  # scipy.stats takes a second

        computing: dict[str, Any] = {"store": store, "trainer": trainer, "logger": logger}
        evidence = _evidence_for(metric, dataset, probe=probe, **computing)
        found = [
            (k, evidence.members, np.nan if groups is None else mean_correlation(groups))
            for k, groups in by_groups(metric, evidence)
        ]
        draft.put_table("agreement", pd.DataFrame(found, columns=["probes", "members", "correlation"]))

    key, inputs = scores_key(dataset, metric, probe)
    return store.fetch("agreement", key, write=write, inputs=inputs).table("agreement")


def confusions_of(
    dataset: ImageDataset,
    *,
    probe: Probe,
    store: ArtifactStore,
    trainer: TrainerSpec | None = None,
    logger: LoggerSpec | None = None,
) -> NDArray[np.float32]:
    """[n, C]: what the probes take each training example for, the mean over members of their softmax probabilities
    after the last evaluated epoch, by which labels can be moved (dataset.confusion).

    The probes saw the examples and their labels, so the later the epoch, the less is left beside the label.
    Raises MissingEvidenceError, before anything is trained, where no epoch is evaluated.
    """
    needs = frozenset({"logits"})
    probe.check_evaluated("confusions", needs)
    evidence = probe_dataset(dataset, probe=probe, needs=needs, store=store, trainer=trainer, logger=logger)
    assert evidence.logits is not None
    return np.asarray(softmax(evidence.logits[probe.evaluated[-1]], axis=2).mean(axis=0), dtype=np.float32)


def check_metric(metric: Metric, probe: Probe) -> None:
    """Raise MissingEvidenceError where these probes will not give what the metric reads."""
    probe.check_epochs(metric.epochs)
    probe.check_trained(metric.name, metric.least_epochs)
    probe.check_changes(metric.name, reads=metric.reads_changes)
    probe.check_evaluated(metric.name, metric.needs)
