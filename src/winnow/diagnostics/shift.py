"""What a subset does to the distribution of the data: how far what is kept lies from the whole, and from chance."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from winnow.core.errors import MismatchError, OptionError, ShapeError
from winnow.core.seeds import stream
from winnow.core.types import Floats, Ints, Subset
from winnow.diagnostics.distances import coverage, energy_distance, sliced_wasserstein, total_variation
from winnow.store.keys import Component

DECILES = 10


class Distance(NamedTuple):
    """A distance to the full set, and the same of random subsets of the same size, unweighted: the null.

    null_median, null_high: the median and the 95% quantile of the null. p: (1 + how many of the null reach the value) /
    (1 + how many there are), uniform where the subset is random and unweighted.
    """

    value: float
    null_median: float
    null_high: float
    p: float


@dataclass(frozen=True, kw_only=True)
class ShiftReport:
    """One subset against the full set, with its weights or, where weighted is False, with all of them one.

    effective_sample_size: (Σw)² / Σw². class_tv: total variation distance of the class shares, in [0, 1].
    energy, sliced_wasserstein: distances in the embedding, whose unit is its spread, the root mean square distance of
    the full set to its mean (the energy distance goes with the square root of the unit). coverage: the radius, in the
    same unit, around the kept examples within which 95% of the dropped ones lie; weights have no part in it. deciles:
    Σw of each tenth of the scores over the examples in it, the easiest tenth first: without weights the share kept,
    and r everywhere if the scores had no part in the choice; empty without scores.
    """

    weighted: bool
    effective_sample_size: float
    class_tv: Distance
    energy: Distance
    sliced_wasserstein: Distance
    coverage: float
    deciles: tuple[float, ...]

    def flat(self) -> dict[str, float | bool]:
        """Scalars for one line of a table: energy, energy_null_median, ..., decile_1, ..., decile_10."""
        line: dict[str, float | bool] = {
            "weighted": self.weighted,
            "effective_sample_size": self.effective_sample_size,
        }
        for name in ("class_tv", "energy", "sliced_wasserstein"):
            distance: Distance = getattr(self, name)
            line |= {name if field == "value" else f"{name}_{field}": x for field, x in distance._asdict().items()}
        return line | {"coverage": self.coverage} | {f"decile_{i}": x for i, x in enumerate(self.deciles, 1)}


@dataclass(frozen=True, kw_only=True)
class Shift(Component):
    """The distribution shift of a subset: class balance, effective size, distances with a null, coverage, deciles.

    permutations: random subsets in the null. projections: directions of the sliced Wasserstein distance. seed: of the
    null, the directions and the order of equal scores. n: ask of this many examples, drawn at random, as if they were
    the full set (the caller draws them and selects among them); None: of all.

    The null is the same for the weighted distances: a random subset is the rival of a weighted one as well, and weights
    that are unequal cost effective sample size. So a weighted subset without any bias reads as above chance.

    Raises OptionError for a count below one.
    """

    n: int | None = None
    permutations: int = 99
    projections: int = 50
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("n", "permutations", "projections"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise OptionError(f"diagnose.{name}={value} must be at least 1.")

    def __call__(
        self, subset: Subset, *, labels: Ints, embeddings: NDArray[np.float32] | Floats, scores: Floats | None = None
    ) -> tuple[ShiftReport, ...]:
        """The report with the subset's weights and, unless they are all equal, the one without them after it.

        labels [n], embeddings [n, d] and scores [n] are of all n examples that the subset was kept of.

        Raises MismatchError where these are not of the same examples; ShapeError for fewer than ten examples or
        embeddings that are not finite.
        """
        n = subset.n
        lengths = {"labels": len(labels), "embeddings": len(embeddings)}
        lengths |= {} if scores is None else {"scores": len(scores)}
        for name, length in lengths.items():
            if length != n:
                raise MismatchError(f"the subset was kept of {n} examples, but there are {length} {name}; give both "
                                    "of the same data set.")  # fmt: skip
        if n < DECILES or embeddings.ndim != 2 or not np.all(np.isfinite(embeddings)):
            raise ShapeError(
                f"a shift is measured in finite embeddings [n, d] of at least {DECILES} examples; "
                f"got shape {list(embeddings.shape)}."
            )
        weights = [subset.weights]
        if np.ptp(subset.weights) > 1e-12 * subset.weights.max():
            weights.append(np.ones(subset.m))

        forms = np.zeros((len(weights), n))
        forms[:, subset.indices] = weights
        differences = np.concatenate([forms / forms.sum(axis=1, keepdims=True), self._null(n, subset.m)]) - 1 / n
        points = _in_units_of_spread(embeddings)
        distances = {
            "class_tv": total_variation(labels, differences),
            "energy": energy_distance(points, differences),
            "sliced_wasserstein": sliced_wasserstein(points, differences, self._directions(points)),
        }
        kept = np.isin(np.arange(n), subset.indices)
        radius = coverage(points, kept)
        return tuple(
            ShiftReport(
                weighted=i == 0,
                effective_sample_size=float(form.sum() ** 2 / np.square(form).sum()),
                coverage=radius,
                deciles=() if scores is None else self._deciles(scores, form),
                **{name: _against_null(values[i], values[len(forms) :]) for name, values in distances.items()},
            )
            for i, form in enumerate(forms)
        )

    def _null(self, n: int, m: int) -> Floats:
        """The masses of random subsets of m, [permutations, n]."""
        rng = stream(self.seed, "shift", "null", n, m)
        masses = np.zeros((self.permutations, n))
        for line in masses:
            line[rng.choice(n, m, replace=False)] = 1 / m
        return masses

    def _directions(self, points: NDArray) -> NDArray:
        directions = stream(self.seed, "shift", "directions").standard_normal((self.projections, points.shape[1]))
        return (directions / np.linalg.norm(directions, axis=1, keepdims=True)).astype(points.dtype)

    def _deciles(self, scores: Floats, form: Floats) -> tuple[float, ...]:
        ties = stream(self.seed, "shift", "ties").permutation(scores.size)
        tenths = np.array_split(np.lexsort((ties, scores)), DECILES)
        return tuple(float(form[tenth].mean()) for tenth in tenths)


def _in_units_of_spread(embeddings: NDArray) -> NDArray:
    centred = embeddings - embeddings.mean(axis=0, dtype=np.float64).astype(embeddings.dtype)
    spread = np.sqrt(np.square(centred, dtype=np.float64).sum(axis=1).mean())
    return centred / embeddings.dtype.type(spread or 1)


def _against_null(value: float, null: Floats) -> Distance:
    return Distance(
        value=float(value),
        null_median=float(np.median(null)),
        null_high=float(np.quantile(null, 0.95)),
        p=float((1 + np.count_nonzero(null >= value)) / (1 + null.size)),
    )
