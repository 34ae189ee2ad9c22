"""What a probe keeps of Gaussian data, and the moments of it that the perceptron's equations need, by exact quadrature.

The field of the probe is v, that of the direction orthogonal to it in the plane of teacher and probe w; both are
N(0, 1), and the label is y = sign(z), z = v cosθ + w sinθ, at the angle θ between them. Everything here depends on y v
and y w only, which are again normal, but restricted to z > 0: (V, W) with density 2 φ(V) φ(W) where
V cosθ + W sinθ > 0. A rule keeps those with V in one or two intervals.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import ndtr, ndtri, owens_t

from winnow.core.types import Floats

Keep = Literal["hardest", "easiest", "random"]
Margin = Literal["absolute", "signed"]

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(12)
_REACH = 9.0  # standard deviations after which a normal density is nothing: its tail there is 1e-19
_ROUND_A_STEP = np.array([-_REACH, -4.5, -2.0, 0.0, 2.0, 4.5, _REACH])
_TINY = 1e-30  # stands for the sine of an angle of 0, where a boundary runs along an axis of integration
_BISECTIONS = 80


@dataclass(frozen=True, kw_only=True, eq=False)
class KeptDistribution:
    """The kept part of the data at each of n points of a grid.

    theta: [n], the probe's angle in radians. r: [n], the kept part of all data, by which averages are divided.
    edges: [n, i, 2], the i intervals of V = y v that are kept.
    """

    theta: Floats
    r: Floats
    edges: Floats

    def __getitem__(self, points: np.ndarray) -> "KeptDistribution":
        return KeptDistribution(theta=self.theta[points], r=self.r[points], edges=self.edges[points])


def kept_distribution(theta: Floats, r: Floats, keep: Keep, margin: Margin) -> KeptDistribution:
    """The intervals of y v that a rule keeps. theta [n] radians in [0, π/2], r [n] in (0, 1].

    By the absolute margin, hardest keeps |v| < H⁻¹((1−r)/2) and easiest |v| > H⁻¹(r/2), H the normal tail. By the
    signed margin, hardest keeps the lowest y v and easiest the highest.
    """
    endless = np.full_like(r, np.inf)
    if keep == "random":
        return KeptDistribution(theta=theta, r=np.ones_like(r), edges=_intervals((-endless, endless)))
    if margin == "signed":
        at = signed_threshold(theta, r if keep == "hardest" else 1 - r)
        edges = _intervals((-endless, at) if keep == "hardest" else (at, endless))
    elif keep == "hardest":
        at = -ndtri((1 - r) / 2)
        edges = _intervals((-at, at))
    else:
        at = -ndtri(r / 2)
        edges = _intervals((-endless, -at), (at, endless))
    return KeptDistribution(theta=theta, r=r, edges=edges)


def _intervals(*pairs: tuple[Floats, Floats]) -> Floats:
    return np.stack([np.stack(pair, axis=-1) for pair in pairs], axis=-2)


def signed_threshold(theta: Floats, fraction: Floats) -> Floats:
    """The t below which y v falls with the probability `fraction`; arrays [n], infinite at fractions 0 and 1.

    y v is skew-normal: P(y v < t) = Φ(t) − 2 T(t, cotθ), T Owen's function; half-normal for a perfect probe.
    """
    cotangent = np.cos(theta) / np.maximum(np.sin(theta), _TINY)
    low, high = np.full_like(fraction, -40.0), np.full_like(fraction, 40.0)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        below = ndtr(middle) - 2 * owens_t(middle, cotangent) < fraction
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.where(fraction <= 0, -np.inf, np.where(fraction >= 1, np.inf, (low + high) / 2))


@dataclass(frozen=True, kw_only=True, eq=False)
class Moments:
    """Averages over the kept data and g ~ N(0, 1), of h = (k − pV − qW − g)₊ and c = (1, V, W), at n points.

    h2: [n], E[h²]. h_c: [n, 3], E[h c]. active_cc: [n, 3, 3], E[1(h > 0) c cᵀ].
    """

    h2: Floats
    h_c: Floats
    active_cc: Floats


def moments(kept: KeptDistribution, k: Floats, p: Floats, q: Floats) -> Moments:
    """The moments at each of n points, to about 1e-12; k, p, q: [n].

    With a the component of (V, W) along (p, q) = m (cosψ, sinψ) and b that across it, h depends on a and g alone.
    The averages over g are closed: with u = k − m a, E[1(h>0)] = Φ(u), E[h] = uΦ(u) + φ(u),
    E[h²] = (1+u²)Φ(u) + uφ(u). So are those of 1, b, b² over the kept pieces of the line at a, which end where
    V crosses a threshold or z crosses 0. What is left is one integral over a. Its integrand is smooth between the
    places where a piece's end changes, but may be steep there, so that Gauss-Legendre panels end at each of them and
    at multiples of its width on either side.
    """
    m = np.hypot(p, q)
    psi = np.arctan2(q, p)
    cos_psi, sin_psi = np.cos(psi), _not_zero(np.sin(psi))
    cos_delta, sin_delta = np.cos(kept.theta - psi), _not_zero(np.sin(kept.theta - psi))

    ends, half = _panels(kept, k, m, cos_psi, sin_psi, cos_delta, sin_delta)
    # a third of the panels have no width and weigh nothing: what is below is [panels with a width, nodes]
    used = half != 0
    point = np.nonzero(used)[0]
    half = half[used][:, None]
    a = (ends[:, :-1][used][:, None] + half) + half * _NODES
    k, m, cos_psi, sin_psi = (values[point, None] for values in (k, m, cos_psi, sin_psi))
    b0, b1, b2 = np.zeros_like(a), np.zeros_like(a), np.zeros_like(a)
    crossing = -a * (cos_delta / sin_delta)[point, None]  # z > 0 is b above it, or below where sin_delta < 0
    above = sin_delta[point, None] > 0
    floor, ceiling = np.where(above, crossing, -np.inf), np.where(above, np.inf, crossing)
    for interval in range(kept.edges.shape[1]):
        # V = a cosψ − b sinψ between the two edges
        one, other = ((a * cos_psi - kept.edges[point, interval, e][:, None]) / sin_psi for e in (0, 1))
        low = np.maximum(np.minimum(one, other), floor)
        high = np.maximum(np.minimum(np.maximum(one, other), ceiling), low)
        for total, piece in zip((b0, b1, b2), _normal_moments(low, high), strict=True):
            total += piece

    u = k - m * a
    below = ndtr(u)
    h = u * below + np.exp(-(u**2) / 2) / np.sqrt(2 * np.pi)
    weight = half * _WEIGHTS * np.exp(-(a**2) / 2) * (np.sqrt(2 / np.pi) / kept.r)[point, None]
    summed = np.zeros((*used.shape, _NODES.size))

    def over_a(values: Floats) -> Floats:
        summed[used] = values
        return np.sum(summed.reshape(len(used), -1), axis=1)

    h2 = over_a(weight * (below + u * h) * b0)
    active, h = weight * below, weight * h
    h_ab = np.stack([over_a(h * b0), over_a(h * a * b0), over_a(h * b1)], axis=-1)
    one_, a_, b_ = active * b0, active * b0 * a, active * b1
    both = [over_a(entry) for entry in (one_, a_, b_, a_ * a, b_ * a, active * b2)]
    active_ab = np.stack([both[i] for i in (0, 1, 2, 1, 3, 4, 2, 4, 5)], axis=-1).reshape(-1, 3, 3)

    turn = np.zeros((len(used), 3, 3))  # (1, V, W) = turn (1, a, b)
    turn[:, 0, 0] = 1
    turn[:, 1, 1] = turn[:, 2, 2] = np.cos(psi)
    turn[:, 1, 2], turn[:, 2, 1] = -np.sin(psi), np.sin(psi)
    return Moments(
        h2=h2,
        h_c=np.einsum("nij,nj->ni", turn, h_ab),
        active_cc=np.einsum("nij,njk,nlk->nil", turn, active_ab, turn),
    )


def _not_zero(sine: Floats) -> Floats:
    return np.where(np.abs(sine) < _TINY, np.copysign(_TINY, sine), sine)


def _panels(
    kept: KeptDistribution, k: Floats, m: Floats, cos_psi: Floats, sin_psi: Floats, cos_delta: Floats, sin_delta: Floats
) -> tuple[Floats, Floats]:
    """Ends [n, panels + 1], rising, and half widths [n, panels] of the panels of the integral over a."""
    # the thresholds' edges come in pairs ±t or once; those at infinity end no panel
    thresholds = kept.edges.reshape(len(k), -1)
    thresholds = np.where(np.isfinite(thresholds), thresholds, 0.0)
    m = np.maximum(m, _TINY)
    steps = [(np.zeros_like(k), _ratio(sin_delta, cos_delta)), (k / m, 1 / m)]
    steps += [(_ratio(t, cos_psi), _ratio(sin_psi, cos_psi)) for t in thresholds.T]
    panels = [centre[:, None] + np.abs(width)[:, None] * _ROUND_A_STEP for centre, width in steps]
    panels.append(thresholds * _ratio(sin_delta, np.sin(kept.theta))[:, None])  # where a threshold meets z = 0
    panels.append(np.broadcast_to(np.linspace(-_REACH, _REACH, 10), (len(k), 10)))
    last = np.clip((k + _REACH) / m, -_REACH + 1, _REACH)  # h is 0 beyond
    ends = np.sort(np.clip(np.concatenate(panels, axis=1), -_REACH, last[:, None]), axis=1)
    return ends, np.diff(ends, axis=1) / 2


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    return numerator / _not_zero(denominator)


def _normal_moments(low: Floats, high: Floats) -> tuple[Floats, Floats, Floats]:
    """∫ φ(b) (1, b, b²) db from low to high."""
    side = np.where(low + high > 0, -1.0, 1.0)  # differences are taken in the lower tail, where they keep their digits
    mass = side * (ndtr(side * high) - ndtr(side * low))
    at_low, at_high = (np.exp(-(end**2) / 2) / np.sqrt(2 * np.pi) for end in (low, high))
    finite_low, finite_high = np.clip(low, -50, 50), np.clip(high, -50, 50)
    return mass, at_low - at_high, mass + finite_low * at_low - finite_high * at_high
