"""SAL: simulate the labels that an example could have, and keep the one that leaves the least uncertainty behind."""

from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.special import log_softmax, logsumexp

from winnow.core.errors import MissingEvidenceError, check_choice
from winnow.core.seeds import stream
from winnow.core.types import Floats, Ints
from winnow.selectors.design import BLOCK, Candidates, Posterior, add_greedily
from winnow.selectors.g_optimal import GOptimal
from winnow.selectors.pool import Pool

ELEMENTS = 2**18
"""Targets × candidates × classes worked on at once, eight arrays of 2 MB."""
LONGEST = 30.0
"""Simulated steps of a logit are cut to this many nats, which change any odds by e³⁰; so that no power overflows."""


@dataclass(frozen=True, kw_only=True)
class SAL(GOptimal):
    """Adds, m times, the example whose label, simulated from the model, leaves the least E_y max_x* uncertainty.

    Mukherjee et al. 2024 (2404.08846), who simulate the labels with a language model that has seen the examples so far.
    Here the model is one of embeddings x, and the expectation over labels is exact.
      "linear": Gaussian labels; the uncertainty is the posterior variance x*ᵀΣx*. It is the same for every label, so
        that SAL is GO (their theorem), and is computed as GO is (`g_optimal`).
      "logistic": softmax of the logits Wx. p_i is the probes' mean prediction at the last evaluated epoch (all K); the
        weights of each class have the covariance S = (ridge I + Σ_kept h_i x_i x_iᵀ)⁻¹, a Laplace approximation in
        which h_i = (1 − Σ_c p_ic²)/(C − 1), the mean curvature of cross-entropy in the logits, stands for the matrix
        diag(p_i) − p_i p_iᵀ (the same for C = 2). With v_i = x_iᵀSx_i and a candidate's simulated label y, of
        probability p_iy, one Newton step moves the weights, and thereby the logits of each target:
            z*(y) = log p* + x*ᵀSx_i / (1 + h_i v_i) · (e_y − p_i),      s* = x*ᵀSx* − h_i (x*ᵀSx_i)² / (1 + h_i v_i).
        The uncertainty of a target is the variance of its class probabilities by the delta method, summed over them,
        s* ‖diag(q) − qqᵀ‖²_F with q = softmax(z*(y)): it depends on y, and is small where the model is sure.
        The probes have learned from every label, so that the label of a kept example moves their predictions no more.
    Reads no scores and no labels. Where the probes are sure of a whole class, hardly any of it may be kept: at r = 0.1
    of the digits it leaves one class or two out, unless selector.balance says otherwise.

    ridge, targets, epsilon: as in `g_optimal`; by default 256 targets and stochastic greedy, as one step costs
    candidates × targets × C.

    100,000 × 512 embeddings, 10 classes, r = 0.01, one thread: 53 s of processor time, a peak of 0.87 GB.

    Raises OptionError as `g_optimal` does, and for an unknown model; MissingEvidenceError without embeddings or logits.
    """

    targets: int | None = 256
    epsilon: float | None = 0.1
    model: str = "logistic"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("selector.model", self.model, ("logistic", "linear"))

    @property
    def _rule_needs(self) -> frozenset[str]:
        return super()._rule_needs | (frozenset({"logits"}) if self.model == "logistic" else frozenset())

    def _pick(self, members: Ints, count: int, pool: Pool) -> Ints:
        if self.model == "linear":
            return super()._pick(members, count, pool)
        order = pool.shuffled(members)
        log_p = _log_predictions(order, pool)
        curvature = (1 - np.exp(2 * log_p).sum(axis=1)) / max(log_p.shape[1] - 1, 1)
        posterior = self._posterior(order, pool, curvature)
        criterion = partial(expected_largest_uncertainty, log_p=log_p)
        rng = stream(pool.seed, "selector", "candidates")
        return order[add_greedily(posterior, count, criterion, epsilon=self.epsilon, rng=rng)]


def expected_largest_uncertainty(posterior: Posterior, candidates: Candidates, *, log_p: Floats) -> Floats:
    """[B]: Σ_y p_iy max over targets of s* ‖diag(q) − qqᵀ‖²_F (see SAL), for candidates i. log_p: [k, C]."""
    log_p_target, p = log_p[: posterior.targets], np.exp(log_p[candidates])
    curvature = posterior.curvature[candidates]
    shrink = 1 + curvature * posterior.variance(candidates)
    largest = np.zeros_like(p)
    width = max(1, ELEMENTS // (BLOCK * p.shape[1]))
    for first in range(0, posterior.targets, BLOCK):
        part = slice(first, first + BLOCK)
        covariance = posterior.covariances(candidates, part)  # [B, targets]
        step = np.clip(covariance / shrink[:, None], -LONGEST, LONGEST)
        left = posterior.target_variance[part] - (curvature / shrink)[:, None] * covariance**2
        for start in range(0, len(p), width):
            some = slice(start, start + width)
            spread = _spread_after_each_label(log_p_target[part], p[some], step[some])
            np.maximum(largest[some], (left[some, :, None] * spread).max(axis=1), out=largest[some])
    return (p * largest).sum(axis=1)


def _spread_after_each_label(log_p_target: Floats, p: Floats, step: Floats) -> Floats:
    """‖diag(q) − qqᵀ‖²_F = Σq² − 2Σq³ + (Σq²)², [B, T, C]: for candidate i, target t and the candidate's label y.

    log_p_target [T, C], p [B, C], step [B, T]. q is the softmax of log p* + step · (e_y − p_i). Its power sums for all
    C labels come from those over the classes other than y, in O(C); these are summed from both sides, because the
    difference of the whole sum and its largest term would leave only rounding.
    """
    logits = log_p_target[None] - step[:, :, None] * p[:, None]
    logits -= logits.max(axis=2, keepdims=True)
    odds = np.exp(np.maximum(logits, -100))  # below, cubes of odds would leave the range of float64
    own = odds * np.exp(step)[:, :, None]
    total = _sum_of_others(odds) + own
    squares = (_sum_of_others(odds**2) + own**2) / total**2
    cubes = (_sum_of_others(odds**3) + own**3) / total**3
    return squares - 2 * cubes + squares**2


def _sum_of_others(values: Floats) -> Floats:
    """For each entry, the sum of the others along the last axis."""
    sums = np.zeros_like(values)
    np.cumsum(values[..., :-1], axis=-1, out=sums[..., 1:])
    sums[..., :-1] += np.cumsum(values[..., :0:-1], axis=-1)[..., ::-1]
    return sums


def _log_predictions(members: Ints, pool: Pool) -> Floats:
    """[k, C]: the logarithm of the members' class probabilities, mean over the probes."""
    if pool.evidence is None or not pool.evidence.logits:
        raise MissingEvidenceError("sal with model=logistic reads the probes' logits; give it evidence with logits.")
    logits = pool.evidence.logits_at(None)
    of_each = np.stack([log_softmax(member[members].astype(np.float64), axis=1) for member in logits])
    return logsumexp(of_each, axis=0) - np.log(len(logits))
