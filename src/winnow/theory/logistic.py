"""Two-parameter models in which one can see pruning move the minimum of the loss, and calibration move it back.

Ayed & Hayou 2023 (2302.06960), sections 3 to 5: keeping the hardest examples trains on a restriction of the data's
distribution, so the minimiser on the kept examples does not approach that on all of them as n grows, unless a symmetry
makes it; the exact protocol keeps the weighted risk unbiased, so its minimiser does.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from winnow.core.errors import OptionError, ShapeError, check_choice
from winnow.core.seeds import derive, stream
from winnow.core.types import Floats, Subset
from winnow.selectors.base import Selector
from winnow.selectors.calibrated import Calibrated
from winnow.selectors.random import Random
from winnow.selectors.threshold import Threshold

SELECTORS: dict[str, Selector] = {
    "random": Random(),
    "hardest": Threshold(keep="hardest"),
    "exact": Calibrated(protocol="exact"),
    "approximate": Calibrated(protocol="approximate"),
}
GRADIENT_TOLERANCE = 1e-10
_BLOCK = 1 << 20  # numbers of a landscape in memory at once


@dataclass(frozen=True, kw_only=True)
class Toy(ABC):
    """A model with two parameters θ, a law of its data, and a loss ℓ(θ; x, y) that is convex in θ.

    theta: the parameters of the law. The model is well specified: the minimiser of the population risk is theta.
    """

    theta: tuple[float, float]

    @abstractmethod
    def sample(self, n: int, *, seed: int) -> tuple[Floats, Floats]:
        """n seeded examples: x [n, 2] and y [n]."""

    @abstractmethod
    def losses(self, margin: Floats, y: Floats) -> Floats:
        """ℓ at outputs x·θ, any shape that broadcasts with y."""

    @abstractmethod
    def residuals(self, margin: Floats, y: Floats) -> Floats:
        """∂ℓ/∂(x·θ), so that the gradient of an example is its residual times x."""

    @abstractmethod
    def minimiser(self, x: Floats, y: Floats, weights: Floats | None = None) -> Floats:
        """The θ [2] at which Σ w_i ℓ(θ; x_i, y_i) is least. weights: [m], positive; None: all one."""

    def gradient_norms(self, theta: Floats, x: Floats, y: Floats) -> Floats:
        """‖∇_θ ℓ(θ; x_i, y_i)‖₂ of each example, [n]: the GraNd score of a probe at theta."""
        return np.abs(self.residuals(x @ theta, y)) * np.linalg.norm(x, axis=1)

    def risk_gradient(self, theta: Floats, x: Floats, y: Floats, weights: Floats | None = None) -> Floats:
        """The gradient [2] of Σ w_i ℓ_i / m at theta."""
        return x.T @ (_weights(weights, x) * self.residuals(x @ theta, y)) / len(x)

    def landscape(self, thetas: Floats, x: Floats, y: Floats, weights: Floats | None = None) -> Floats:
        """The weighted risk Σ w_i ℓ_i / m at each of thetas [..., 2], shape [...]."""
        flat, w = thetas.reshape(-1, 2), _weights(weights, x)
        rows = max(1, _BLOCK // len(x))
        parts = [self.losses(flat[i : i + rows] @ x.T, y) @ w / len(x) for i in range(0, len(flat), rows)]
        return np.concatenate(parts).reshape(thetas.shape[:-1])


@dataclass(frozen=True, kw_only=True)
class Logistic(Toy):
    """Logistic regression: x ~ N(0, I_2), y in {0, 1} with P(y = 1 | x) = σ(θ·x); ℓ = log(1 + e^(θ·x)) − y θ·x, nats.

    The labels' own noise is what makes hard examples mislead: those with the largest gradients are those whose labels
    came out against the odds.
    """

    theta: tuple[float, float] = (2.0, 1.0)

    def sample(self, n: int, *, seed: int) -> tuple[Floats, Floats]:
        rng = stream(seed, "logistic")
        x = rng.standard_normal((n, 2))
        return x, (rng.random(n) < expit(x @ np.array(self.theta))).astype(np.float64)

    def losses(self, margin: Floats, y: Floats) -> Floats:
        return np.logaddexp(0.0, margin) - y * margin

    def residuals(self, margin: Floats, y: Floats) -> Floats:
        return expit(margin) - y

    def minimiser(self, x: Floats, y: Floats, weights: Floats | None = None) -> Floats:
        """By Newton steps in a trust region, to a gradient of the mean weighted loss below 1e-10.

        Raises ShapeError where a line through the origin separates the classes: the loss then falls for ever as θ
        grows, and has no minimiser.
        """
        w = _weights(weights, x)
        w = w / w.sum()

        def value(theta: Any) -> float:
            return float(w @ self.losses(x @ theta, y))

        def gradient(theta: Any) -> Any:
            return x.T @ (w * self.residuals(x @ theta, y))

        def hessian(theta: Any) -> Any:
            p = expit(x @ theta)
            return (x * (w * p * (1 - p))[:, None]).T @ x

        options: Any = {"gtol": 1e-6, "maxiter": 500, "max_trust_radius": 100.0}
        theta = minimize(value, np.zeros(2), jac=gradient, hess=hessian, method="trust-exact", options=options).x
        # The region's test of progress compares losses, which stop differing near 1e-8; Newton's own steps go on.
        for _ in range(50):
            separated = np.all((2 * y - 1) * (x @ theta) > 0)
            if separated or np.linalg.norm(gradient(theta)) < GRADIENT_TOLERANCE:
                break
            theta = theta - np.linalg.lstsq(hessian(theta), gradient(theta), rcond=None)[0]
        if separated or np.linalg.norm(gradient(theta)) >= GRADIENT_TOLERANCE:
            raise ShapeError(
                f"the {len(x)} examples are separated by a line through the origin, so the logistic loss has no "
                "minimiser; take more examples, a larger r, or a theta closer to 0."
            )
        return theta


@dataclass(frozen=True, kw_only=True)
class Linear(Toy):
    """Linear regression: x = (1, z), z ~ N(0, 1), y = θ·x + e; ℓ = (θ·x − y)²/2. θ is the intercept and the slope.

    noise is the law of e, of mean zero and variance one: "skewed", an exponential variable minus one, or "normal".
    Where it is symmetric, keeping the examples with the largest |e|·‖x‖ keeps as many above the line as below, and the
    minimiser stays where it was.

    Raises OptionError for another noise.
    """

    theta: tuple[float, float] = (0.5, 1.0)
    noise: str = "skewed"

    def __post_init__(self) -> None:
        check_choice("noise", self.noise, ("skewed", "normal"))

    def sample(self, n: int, *, seed: int) -> tuple[Floats, Floats]:
        rng = stream(seed, "linear")
        x = np.column_stack([np.ones(n), rng.standard_normal(n)])
        noise = rng.standard_exponential(n) - 1 if self.noise == "skewed" else rng.standard_normal(n)
        return x, x @ np.array(self.theta) + noise

    def losses(self, margin: Floats, y: Floats) -> Floats:
        return np.square(margin - y) / 2

    def residuals(self, margin: Floats, y: Floats) -> Floats:
        return margin - y

    def minimiser(self, x: Floats, y: Floats, weights: Floats | None = None) -> Floats:
        """Closed form: weighted least squares, by orthogonal factors.

        Raises ShapeError where the examples do not fix both parameters.
        """
        root = np.sqrt(_weights(weights, x))
        theta, _, rank, _ = np.linalg.lstsq(root[:, None] * x, root * y, rcond=None)
        if rank < 2:
            raise ShapeError(f"{len(x)} examples do not fix two parameters; take more examples or a larger r.")
        return np.asarray(theta, dtype=np.float64)


def prune(rule: str, scores: Floats, *, r: float, alpha: float, seed: int) -> Subset:
    """What `rule` keeps of the examples with these scores [n], by the selectors of this package.

    rule: "full", "random", "hardest", "exact" or "approximate"; the last two calibrate with signal fraction alpha.

    Raises OptionError for another rule, and what the selector raises.
    """
    check_choice("rule", rule, ("full", *SELECTORS))
    if rule == "full":
        return Subset.full(scores.size)
    return SELECTORS[rule].select(scores, np.zeros(scores.size, dtype=np.int64), r=r, alpha=alpha, seed=seed)


def pruned_minimiser(toy: Toy, x: Floats, y: Floats, subset: Subset) -> Floats:
    """The minimiser [2] of the weighted risk of the kept examples."""
    return toy.minimiser(x[subset.indices], y[subset.indices], subset.weights)


def distances(
    toy: Toy,
    sizes: Sequence[int],
    *,
    rules: Sequence[str] = tuple(SELECTORS),
    r: float = 0.2,
    alpha: float = 0.5,
    seeds: Iterable[int] = range(20),
    reference: str = "full",
) -> Floats:
    """How far each rule's minimiser is from the reference, ‖θ_rule − θ_ref‖₂, [rules, sizes, seeds].

    Each seed draws its own n examples; all rules prune the same ones, by their gradient norms at the minimiser over all
    of them (a probe that has converged). reference: "full", that minimiser, or "population", the law's theta.

    Raises OptionError for another reference or rule; ShapeError where a size is too small for a minimiser to exist.
    """
    check_choice("reference", reference, ("full", "population"))
    seeds = tuple(seeds)
    if not (rules and len(sizes) and seeds):
        raise OptionError("distances needs at least one rule, one size and one seed.")
    found = np.empty((len(rules), len(sizes), len(seeds)))
    for j, n in enumerate(sizes):
        for k, seed in enumerate(seeds):
            x, y = toy.sample(n, seed=derive(seed, "sample", n))
            full = toy.minimiser(x, y)
            origin = full if reference == "full" else np.array(toy.theta)
            scores = toy.gradient_norms(full, x, y)
            for i, rule in enumerate(rules):
                subset = prune(rule, scores, r=r, alpha=alpha, seed=derive(seed, "prune", n))
                found[i, j, k] = np.linalg.norm(pruned_minimiser(toy, x, y, subset) - origin)
    return found


def _weights(weights: Floats | None, x: Floats) -> Floats:
    if x.ndim != 2 or x.shape[1] != 2 or not len(x):
        raise ShapeError(f"x must be one point of the plane for each example, [m, 2]; got shape {list(x.shape)}.")
    if weights is None:
        return np.ones(len(x))
    if weights.shape != (len(x),) or not np.all(weights > 0):
        raise ShapeError(f"weights must be {len(x)} positive numbers, one for each example.")
    return weights
