"""Choosing alpha, the signal fraction of calibrated pruning, from the data: a stage between scores and subset."""

import logging
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from winnow.artifacts import ArtifactStore, Draft
from winnow.datasets.base import ImageDataset
from winnow.diagnostics.gradient_error import gradient_error
from winnow.diagnostics.refit import held_out
from winnow.errors import BudgetError, MissingEvidenceError
from winnow.keys import make_key
from winnow.records import load_alpha, save_alpha
from winnow.seeds import derive, stream
from winnow.selectors.alpha import Auto
from winnow.selectors.base import Selector
from winnow.types import Evidence, Floats, Ints, Scores, Subset

log = logging.getLogger(__name__)


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
        best = float(curve["criterion"].min())
        # What differs by rounding alone is equal, so that a flat curve gives its smallest alpha on any machine.
        chosen = float(curve["alpha"][curve["criterion"] <= best + 1e-9 * abs(best)].iloc[0])
        metric = None if scores is None else scores.metric
        rule = selector.rule(metric, auto.label)
        save_alpha(draft, curve, {"alpha": chosen, "criterion": auto.criterion, "rule": rule, "r": r})
        log.info("%s, r=%g: alpha=%g (%s)", rule, r, chosen, store.table_path("alpha", key))

    curve, about = load_alpha(store.fetch("alpha", key, write=write, inputs=inputs))
    return AlphaChoice(about["alpha"], curve, key)


def alpha_curve(
    auto: Auto, selector: Selector, scores: Scores | None, evidence: Evidence, *, r: float, seed: int
) -> pd.DataFrame:
    """The criterion of each candidate: one line an alpha of the grid that the rule can keep examples by.

    Columns: alpha; signal, the number of examples kept by score; for criterion=gradient bias2 and variance, means over
    probes; for criterion=validation error (a fraction) and loss (nats), over all examples, each held out once a draw;
    criterion, what is minimised: bias2 + variance, or error.

    The candidates are the rule's own subsets, drawn as it would draw them, so its ties, classes, suspects and signal
    rule count as they are. The gradient criterion takes what is not signal for one stratum, also with balance.

    Raises BudgetError where the rule can keep nothing by any alpha; MissingEvidenceError where evidence is lacking.
    """
    if missing := sorted(name for name in auto.needs if getattr(evidence, name) is None):
        raise MissingEvidenceError(f"alpha=auto by {auto.criterion} reads {missing[0]}; give it evidence with them.")
    labels = evidence.labels
    options: dict[str, Any] = {"labels": labels, "evidence": evidence}
    # Keeping everything keeps what drop_suspect leaves.
    trusted = selector.select(scores, r=1.0, alpha=0.0, seed=seed, **options).indices
    seeds = [seed, *(derive(seed, "alpha draw", draw) for draw in range(1, auto.draws))]
    candidates: dict[float, list[Subset]] = {}
    refused: BudgetError | None = None
    for alpha in np.round(np.linspace(0, 1, auto.size), 9).tolist():
        try:
            drawn = [selector.select(scores, r=r, alpha=alpha, seed=each, **options) for each in seeds]
        except BudgetError as error:  # such as alpha = 1 where weights need an explored example
            refused = error
        else:
            candidates[alpha] = drawn
    if not candidates:
        assert refused is not None
        raise refused
    firsts = [drawn[0] for drawn in candidates.values()]
    curve = pd.DataFrame({"alpha": list(candidates), "signal": [int(subset.is_signal.sum()) for subset in firsts]})
    if auto.criterion == "gradient":
        bias2, variance = _gradient(firsts, evidence, trusted)
        return curve.assign(bias2=bias2, variance=variance, criterion=bias2 + variance)
    wrong, loss = _validation(list(candidates.values()), evidence, trusted, folds=auto.folds, seed=seed)
    return curve.assign(error=wrong, loss=loss, criterion=wrong)


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
    if subsets[0].m < trusted.size and not np.any(bias2 + variance > 1e-20):
        log.warning(
            "the probes fit every example, so their gradients say nothing of alpha and the smallest is taken; "
            "let probe.evaluate_at name an earlier epoch."
        )
    return bias2, variance


def _validation(
    candidates: list[list[Subset]], evidence: Evidence, trusted: Ints, *, folds: int, seed: int
) -> tuple[Floats, Floats]:
    """Mean held-out error and loss of the candidates' draws, [A] and [A]; equal subsets are fitted once."""
    assert evidence.features is not None
    fold = np.full(evidence.n, -1)
    fold[trusted] = stream(seed, "alpha folds").permutation(trusted.size) % folds
    found: dict[str, Floats] = {}
    for drawn in candidates:
        for subset in drawn:
            if subset.content_hash not in found:
                found[subset.content_hash] = np.mean(
                    np.concatenate([_in_fold(subset, evidence, fold, j) for j in range(folds)], axis=1), axis=1
                )
    wrong, loss = np.array(
        [np.mean([found[subset.content_hash] for subset in drawn], axis=0) for drawn in candidates]
    ).T
    return wrong, loss


def _in_fold(subset: Subset, evidence: Evidence, fold: Ints, j: int) -> Floats:
    """Wrong and loss of each example in fold j, [2, v], of a fit on the rest of the subset.

    The fold is drawn apart from the scores, so what remains of the subset is one of the remaining data, of the same
    rule, r and alpha.
    """
    assert evidence.features is not None
    outside = fold[subset.indices] != j
    features = evidence.features[j % len(evidence.features)]
    kept, weights = subset.indices[outside], subset.weights[outside]
    tried = np.flatnonzero(fold == j)
    return np.stack(held_out(features, evidence.labels, kept=kept, weights=weights, tried=tried))
