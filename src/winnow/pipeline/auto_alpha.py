"""Choosing alpha, the signal fraction of calibrated pruning, from the data: a stage between scores and subset.

One criterion chooses. The other is tried beside it, kept with it and drawn, and where either calls the other's choice
a costly one, that is said.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from winnow.core.errors import BudgetError, MissingEvidenceError
from winnow.core.seeds import derive, stream
from winnow.core.types import Evidence, Floats, Ints, Scores, Subset
from winnow.datasets.base import ImageDataset
from winnow.diagnostics.gradient_error import gradient_error
from winnow.diagnostics.refit import errors_held_out
from winnow.selectors.alpha import CRITERIA, POINTS, Auto
from winnow.selectors.base import Selector
from winnow.store.artifacts import ArtifactStore, Draft
from winnow.store.keys import make_key
from winnow.store.records import load_alpha, save_alpha

log = logging.getLogger(__name__)
AFFORDABLE = 1e11
"""Multiply-adds of one pass of every refit, up to which validation is tried beside the gradient criterion: ten minutes
of a core at most. CIFAR-10 at r = 0.3 with 512 features is 4e9, ImageNet 4e13."""
DEARER = 1.25
"""The criteria disagree where the choice of validation has this ratio to the lowest value of the gradient criterion."""
BEYOND_CHANCE = 3.0
"""Or that of the gradient criterion this many standard errors of the difference more held-out error than the lowest.
The lowest of eleven is low by chance, so two would be passed often."""


class AlphaChoice(NamedTuple):
    """The alpha that was chosen, the curve over its candidates (see `alpha_curve`), and the key of their artifact."""

    alpha: float
    curve: pd.DataFrame
    key: str


def choose_alpha(
    dataset: ImageDataset,
    *,
    auto: Auto,
    selector: Selector,
    scores: Scores | None,
    r: float,
    seed: int,
    evidence: Evidence,
    store: ArtifactStore,
) -> AlphaChoice:
    """The alpha of the lowest criterion for this rule, r and seed, the smallest of equals; computed once.

    The artifact has the curve and, in `about`, alpha, criterion, rule and r; choices, the alpha of each criterion that
    was tried; saw_folds, whether validation read features of probes that were trained on the held-out examples too; and
    disagreement, a sentence where either calls the other's choice costly, or null. That sentence is a warning.

    evidence: with the fields that `auto` and the selector need. Raises what `alpha_curve` raises.
    """
    inputs = {
        "dataset": dataset.fingerprint,
        "auto": auto,
        "selector": selector,
        "scores": None if scores is None else scores.content_hash,
        "r": r,
        "seed": seed,
        "evidence": evidence.source,
    }
    key = make_key(f"{dataset.slug}-r{r:g}", inputs)

    def write(draft: Draft) -> None:
        curve = alpha_curve(auto, selector, scores, evidence, r=r, seed=seed)
        choices = {name: _lowest(curve, name) for name in CRITERIA if _values(curve, name).notna().any()}
        about = {
            "alpha": choices[auto.criterion],
            "criterion": auto.criterion,
            "rule": selector.rule(None if scores is None else scores.metric, auto.label),
            "r": r,
            "choices": choices,
            "saw_folds": not auto.held_out,
            "disagreement": disagreement(curve, choices),
        }
        save_alpha(draft, curve, about)
        chosen = ", ".join(f"{alpha:g} by {name}" for name, alpha in choices.items())
        note = " (of probes that saw the held-out examples)" if "validation" in choices and not auto.held_out else ""
        table = store.table_path("alpha", key)
        log.info("%s, r=%g: alpha=%g; %s%s (%s)", about["rule"], r, about["alpha"], chosen, note, table)

    curve, about = load_alpha(store.fetch("alpha", key, write=write, inputs=inputs))
    if about.get("disagreement"):
        log.warning("%s, r=%g: %s", about["rule"], r, about["disagreement"])
    return AlphaChoice(about["alpha"], curve, key)


def _values(curve: pd.DataFrame, criterion: str) -> "pd.Series[float]":
    """What a criterion minimises, for each candidate; NaN where it was not tried."""
    parts = ["bias2", "variance"] if criterion == "gradient" else ["error"]
    return curve.reindex(columns=parts).sum(axis=1, min_count=len(parts))


def _lowest(curve: pd.DataFrame, criterion: str) -> float:
    values = _values(curve, criterion)
    best = float(values.min())
    # What differs by rounding alone is equal, so that a flat curve gives its smallest alpha on any machine.
    return float(curve["alpha"][values <= best + 1e-9 * abs(best)].iloc[0])


def disagreement(curve: pd.DataFrame, choices: Mapping[str, float]) -> str | None:
    """What the criteria say against each other's choice, in a sentence; None where little, or one was not tried.

    Not the distance of two alphas counts, as curves can be flat, but what each choice costs by the other criterion. The
    one of the gradient criterion is costly from BEYOND_CHANCE standard errors above the lowest held-out error on, that
    of validation from DEARER times the lowest squared error of the mean gradient on; either makes a disagreement.
    """
    if len(choices) < len(CRITERIA):
        return None
    rows = {name: curve[curve["alpha"] == alpha].iloc[0] for name, alpha in choices.items()}
    excess, error = rows["gradient"]["error"] - rows["validation"]["error"], rows["gradient"]["excess_se"]
    gradient = {name: row["bias2"] + row["variance"] for name, row in rows.items()}
    if excess <= BEYOND_CHANCE * error and gradient["validation"] <= DEARER * gradient["gradient"]:
        return None
    by_gradient, by_validation = choices["gradient"], choices["validation"]
    return (
        f"the criteria disagree. alpha={by_gradient:g} by gradient has {100 * excess:.1f} ± {100 * error:.1f} points "
        f"more held-out error than {by_validation:g} by validation, and that "
        f"{gradient['validation'] / gradient['gradient']:.2f} times its squared error of the mean gradient; to know, "
        f"train with alpha.value={by_gradient:g},{by_validation:g}."
    )


def alpha_curve(
    auto: Auto, selector: Selector, scores: Scores | None, evidence: Evidence, *, r: float, seed: int
) -> pd.DataFrame:
    """Both criteria for each candidate: one line an alpha of the grid that the rule can keep examples by.

    Columns: alpha; signal, the number of examples kept by score; bias2 and variance, means over probes; error (a
    fraction) and loss (nats), over all examples, each held out once a draw; excess_se, the standard error over examples
    of the difference between this error and the lowest; criterion, what is minimised: bias2 + variance, or error.

    The criterion that does not choose is there with auto.compare: gradient for every candidate; validation for about
    eleven and the chosen one (NaN for others), unless its refits take more than AFFORDABLE, or the probes fit every
    example, so that the gradients say nothing (no columns).

    The candidates are the rule's own subsets, drawn as it would draw them, so its ties, classes, suspects and signal
    rule count as they are. The gradient criterion takes what is not signal for one stratum, also with balance.

    Raises BudgetError where the rule can keep nothing by any alpha; MissingEvidenceError where evidence is lacking.
    """
    if missing := sorted(name for name in auto.needs if getattr(evidence, name) is None):
        raise MissingEvidenceError(f"alpha=auto by {auto.criterion} reads {missing[0]}; give it evidence with them.")
    # Keeping everything keeps what drop_suspect leaves.
    options: dict[str, Any] = {"labels": evidence.labels, "evidence": evidence}
    trusted = selector.select(scores, r=1.0, alpha=0.0, seed=seed, **options).indices
    candidates = _candidates(auto, selector, scores, evidence, r=r, seed=seed)
    drawn = list(candidates.values())
    firsts = [subsets[0] for subsets in drawn]
    curve = pd.DataFrame({"alpha": list(candidates), "signal": [int(subset.is_signal.sum()) for subset in firsts]})
    if "gradient" in auto.criteria:
        bias2, variance = _gradient(firsts, evidence, trusted)
        informative = firsts[0].m == trusted.size or bool(np.any(bias2 + variance > 1e-20))
        if not informative and auto.criterion == "gradient":
            log.warning(
                "the probes fit every example, so their gradients say nothing of alpha and the smallest is taken; "
                "let probe.evaluate_at name an earlier epoch."
            )
        if informative or auto.criterion == "gradient":
            curve = curve.assign(bias2=bias2, variance=variance)
    if "validation" in auto.criteria:
        tried = list(range(len(drawn)))
        if auto.criterion == "gradient":
            wanted = [*np.linspace(0, 1, POINTS["validation"]), _lowest(curve, "gradient")]
            tried = sorted({int((curve["alpha"] - alpha).abs().argmin()) for alpha in wanted})
        if auto.criterion == "validation" or _affordable(len(tried), auto, firsts[0].m, evidence):
            found = _validation([drawn[position] for position in tried], evidence, trusted, auto=auto, seed=seed)
            curve = curve.join(found.set_index(pd.Index(tried)))
    return curve.assign(criterion=_values(curve, auto.criterion))


def _candidates(
    auto: Auto, selector: Selector, scores: Scores | None, evidence: Evidence, *, r: float, seed: int
) -> dict[float, list[Subset]]:
    """alpha -> the subsets of its draws, for each alpha of the grid that the rule can keep examples by."""
    seeds = [seed, *(derive(seed, "alpha draw", draw) for draw in range(1, auto.draws))]
    options: dict[str, Any] = {"labels": evidence.labels, "evidence": evidence, "r": r}
    candidates: dict[float, list[Subset]] = {}
    refused: BudgetError | None = None
    for alpha in np.round(np.linspace(0, 1, auto.size), 9).tolist():
        try:
            candidates[alpha] = [selector.select(scores, alpha=alpha, seed=each, **options) for each in seeds]
        except BudgetError as error:  # such as alpha = 1 where weights need an explored example
            refused = error
    if not candidates:
        assert refused is not None
        raise refused
    return candidates


def _gradient(subsets: list[Subset], evidence: Evidence, trusted: Ints) -> tuple[Floats, Floats]:
    """Mean over probes of bias² and variance of the subsets, [A] and [A]."""
    assert evidence.features is not None
    curves = [
        gradient_error(
            logits,
            evidence.labels,
            features,
            signals=[subset.indices[subset.is_signal] for subset in subsets],
            shares=[subset.weights[subset.is_signal].sum() / subset.weights.sum() for subset in subsets],
            kept=subsets[0].m,
            among=trusted,
        )
        for logits, features in zip(evidence.logits_at(None), evidence.features, strict=True)
    ]
    bias2, variance = np.mean(curves, axis=0)
    return bias2, variance


def _affordable(candidates: int, auto: Auto, m: int, evidence: Evidence) -> bool:
    assert evidence.features is not None
    width, classes = evidence.features[0].shape[1] + 1, int(evidence.labels.max()) + 1
    work = float(candidates * auto.draws * auto.folds * m * width * classes)
    if work > AFFORDABLE:
        log.info("validation is not tried beside gradient: %d refits on %d examples take too long.", candidates, m)
    return work <= AFFORDABLE


def _validation(
    candidates: list[list[Subset]], evidence: Evidence, trusted: Ints, *, auto: Auto, seed: int
) -> pd.DataFrame:
    """error, loss and excess_se of the candidates, means over their draws; equal subsets are fitted once."""
    fold, features = _folds(auto, evidence, trusted, seed)
    found: dict[str, Floats] = {}
    for drawn in candidates:
        for subset in drawn:
            if subset.content_hash not in found:
                found[subset.content_hash] = np.concatenate(
                    [_in_fold(subset, evidence.labels, of_fold, fold, j) for j, of_fold in enumerate(features)], axis=1
                )
    means = {name: outcome.mean(axis=1) for name, outcome in found.items()}
    error, loss = np.array(
        [np.mean([means[subset.content_hash] for subset in drawn], axis=0) for drawn in candidates]
    ).T
    wrong = [np.mean([found[subset.content_hash][0] for subset in drawn], axis=0) for drawn in candidates]
    excess = np.stack(wrong) - wrong[int(error.argmin())]
    return pd.DataFrame({"error": error, "loss": loss, "excess_se": excess.std(axis=1) / np.sqrt(trusted.size)})


def _folds(auto: Auto, evidence: Evidence, trusted: Ints, seed: int) -> tuple[Ints, Sequence[NDArray[np.float32]]]:
    """[n]: the fold of each trusted example, −1 of others; and for each fold the features that it is tried by."""
    fold = np.full(evidence.n, -1)
    if auto.held_out:
        assert evidence.fold_features is not None
        fold[trusted] = evidence.fold_features.fold[trusted]
        return fold, evidence.fold_features.features
    assert evidence.features is not None
    fold[trusted] = stream(seed, "alpha folds").permutation(trusted.size) % auto.folds
    return fold, [evidence.features[j % len(evidence.features)] for j in range(auto.folds)]


def _in_fold(subset: Subset, labels: Ints, features: NDArray[np.float32], fold: Ints, j: int) -> Floats:
    """Wrong and loss of each example in fold j, [2, v], of a fit on the rest of the subset.

    The fold is drawn apart from the scores, so what remains of the subset is one of the remaining data, of the same
    rule, r and alpha.
    """
    outside = fold[subset.indices] != j
    kept, weights = subset.indices[outside], subset.weights[outside]
    return np.stack(errors_held_out(features, labels, kept=kept, weights=weights, tried=np.flatnonzero(fold == j)))
