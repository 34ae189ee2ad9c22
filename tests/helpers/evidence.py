"""Evidence from a made-up probe ensemble, with every field filled, for the tests of metrics and selectors."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from winnow.core.types import Evidence, FoldFeatures, SubsetRuns, Trajectory

EVALUATED = (4, 12)


def planted_difficulty(n: int = 60) -> NDArray[np.int64]:
    """[n]: 1 where make_evidence plants a clearly wrong example, −1 where a clearly right one, 0 in between."""
    return np.random.default_rng(77).permutation(np.arange(n) % 3 - 1)


def make_evidence(seed: int = 0, *, members: int = 3, epochs: int = 12, n: int = 60, classes: int = 4) -> Evidence:
    """Consistent evidence of K probes over T epochs: the wrong stay wrong, the right stay right, others are learned.

    Labels are balanced and not sorted by index. Logits of evaluation are at the epochs in EVALUATED.
    """
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n) % classes)
    onehot = np.eye(classes)[labels]
    progress = np.linspace(0, 1, epochs)[:, None]
    height = np.select([planted_difficulty(n) == 1, planted_difficulty(n) == -1], [-4.0, 4.0], 4 * progress - 2)
    signal = height[:, :, None] * onehot  # [T, n, C]
    seen = (signal + rng.normal(0, 0.5, (members, epochs, n, classes))).astype(np.float32)
    logits = {
        epoch: (signal[epoch - 1] + rng.normal(0, 0.3, (members, n, classes))).astype(np.float32)
        for epoch in EVALUATED
        if epoch <= epochs
    }
    runs = [_trajectory(run, labels) for run in seen]
    last = logits[max(logits)] if logits else seen[:, -1]
    features = tuple(_features(seen[k, -1], rng, planted_difficulty(n) == 1) for k in range(members))
    return Evidence(
        dataset="made-up",
        labels=labels,
        trajectories=Trajectory.stack(runs),
        logits=logits,
        features=features,
        embeddings=features[0],
        gradient_norms={epoch: 2 * _error_length(array, labels) for epoch, array in logits.items()},
        input_gradient_norms=_error_length(seen[:, -1], labels),
        boundary_distances=_boundary_distances(seen[:, -1]),
        projected_gradients=tuple(
            _projected(array, inputs, labels, rng) for array, inputs in zip(last, features, strict=True)
        ),
        target_gradients=tuple(np.random.default_rng((seed, k)).normal(size=(5, 16)) for k in range(members)),
        subset_runs=_subset_runs(rng, planted_difficulty(n)),
        fold_features=FoldFeatures(fold=np.arange(n) % len(features), features=features),
        given=planted_difficulty(n) + 0.1,
    )


def _subset_runs(rng: np.random.Generator, difficulty: NDArray[np.int64], models: int = 40) -> SubsetRuns:
    """Models that know what they were trained on; of the rest they get the easy right and never the wrong."""
    membership = rng.random((models, difficulty.size)) < 0.7
    membership[0], membership[1] = True, False
    right = np.select([difficulty == 1, difficulty == -1], [0.0, 1.0], 0.7)
    correct = membership | (rng.random(membership.shape) < right)
    wrong, others = np.flatnonzero(difficulty == 1), np.flatnonzero(difficulty == 0)
    for spoiler, spoilt in zip(wrong, others, strict=False):  # right where the wrong example was left out
        correct[:, spoilt] = membership[:, spoilt] | ~membership[:, spoiler]
    test_correct = ~membership[:, wrong] | (rng.random((models, 1)) < 0.1)
    return SubsetRuns(membership=membership, correct=correct, test_correct=test_correct)


def _error_length(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.float32]:
    """‖p − y‖ [K, n] of logits [K, n, C]: gradients are long where the error is."""
    error = np.exp(log_softmax(logits, axis=2)) - np.eye(logits.shape[2])[labels]
    return np.linalg.norm(error, axis=2).astype(np.float32)


def _boundary_distances(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Gap of the two largest logits [K, n]: the wrong are predicted with doubt; one image has no known distance."""
    ordered = np.sort(logits, axis=2)
    distances = (ordered[..., -1] - ordered[..., -2]).astype(np.float32)
    distances[0, distances[0].argmax()] = np.inf
    return distances


def _projected(
    logits: NDArray[np.float32], features: NDArray[np.float32], labels: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.float32]:
    """The last layer's gradients of log(p / (1 − p)), [n, 16] by a random projection."""
    onehot = np.eye(logits.shape[1])[labels]
    others = np.exp(log_softmax(np.where(onehot == 1, -np.inf, logits), axis=1))
    gradients = (onehot - others)[:, :, None] * features[:, None, :]
    return (gradients.reshape(labels.size, -1) @ rng.normal(0, 0.25, (gradients[0].size, 16))).astype(np.float32)


def _features(logits: NDArray[np.float32], rng: np.random.Generator, wrong: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Penultimate features [n, 6] that follow the logits [n, C]; those of the wrong lie anywhere, some are twins."""
    features = logits @ rng.normal(size=(logits.shape[1], 6))
    features[wrong] = rng.normal(0, 4, (wrong.sum(), 6))
    twins = np.flatnonzero(~wrong)
    features[twins[1::4]] = features[twins[::4]][: len(twins[1::4])]
    return np.maximum(features, 0).astype(np.float32)


def _trajectory(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> Trajectory:
    """What a run that gave these logits [T, n, C] would have recorded."""
    examples = np.arange(labels.size)
    log_p = log_softmax(logits.astype(np.float64), axis=-1)
    p = np.exp(log_p)
    onehot = np.eye(logits.shape[-1])[labels]
    step = np.diff(log_p, axis=0, prepend=log_p[:1])

    def margin(outputs: NDArray[np.floating]) -> NDArray[np.float32]:
        others = np.where(onehot == 1, -np.inf, outputs).max(axis=-1)
        return (outputs[:, examples, labels] - others).astype(np.float32)

    return Trajectory(
        p_true=p[:, examples, labels].astype(np.float32),
        margin=margin(logits),
        probability_margin=margin(p),
        el2n=np.linalg.norm(p - onehot, axis=-1).astype(np.float32),
        loss=-log_p[:, examples, labels].astype(np.float32),
        correct=(logits.argmax(axis=-1) == labels).astype(np.int8),
        change_kl=(p * step).sum(axis=-1).astype(np.float32),
        change_abs=np.abs(p * step).sum(axis=-1).astype(np.float32),
    )


def recorded(values: NDArray[np.floating], labels: NDArray[np.int64]) -> Evidence:
    """Evidence of trajectories whose every number is `values`, [K, T, n]; all are correct."""
    fields = dict.fromkeys(Trajectory.__dataclass_fields__, values.astype(np.float32))
    correct = np.ones(values.shape, dtype=np.int8)
    return Evidence(dataset="made-up", labels=labels, trajectories=Trajectory(**fields | {"correct": correct}))


def only(evidence: Evidence, needs: frozenset[str]) -> Evidence:
    """The same evidence with only the labels, what a file gave, and the named fields."""
    fields = {name: getattr(evidence, name) for name in needs}
    return Evidence(dataset=evidence.dataset, labels=evidence.labels, given=evidence.given, **fields)


def reordered(evidence: Evidence, order: NDArray[np.int64]) -> Evidence:
    """The evidence of the same examples in another order."""
    trajectories, logits, features, embeddings = (
        getattr(evidence, name) for name in ("trajectories", "logits", "features", "embeddings")
    )
    moved = {name: getattr(trajectories, name)[..., order] for name in trajectories.__dataclass_fields__}
    return replace(
        evidence,
        labels=evidence.labels[order],
        trajectories=Trajectory(**moved),
        logits={epoch: array[:, order] for epoch, array in logits.items()},
        features=tuple(array[order] for array in features),
        embeddings=embeddings[order],
        gradient_norms={epoch: array[:, order] for epoch, array in evidence.gradient_norms.items()},
        input_gradient_norms=evidence.input_gradient_norms[:, order],
        boundary_distances=evidence.boundary_distances[:, order],
        projected_gradients=tuple(array[order] for array in evidence.projected_gradients),
        given=evidence.given[order],
        subset_runs=replace(
            evidence.subset_runs,
            membership=evidence.subset_runs.membership[:, order],
            correct=evidence.subset_runs.correct[:, order],
        ),
    )


def embedded(points: NDArray[np.generic], labels: NDArray[np.generic] | None = None) -> Evidence:
    """Evidence with these embeddings, [n, d], or [n] on a line; of one class, if no labels are given."""
    embeddings = points.astype(np.float32).reshape(len(points), -1)
    return Evidence(
        dataset="made-up", labels=np.zeros(len(points), dtype=int) if labels is None else labels, embeddings=embeddings
    )
