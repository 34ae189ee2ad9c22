"""The errors of replicates at several sizes, and the chance of what is computed from their means.

The same ensembles and seeds come at every size, so that their errors are shared along a curve, and what is fitted to
it moves with them: residuals about the curve tell nothing of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from winnow.core.types import Floats
from winnow.scaling.replicates import Design, codes, design


@dataclass(frozen=True, eq=False)
class Panel:
    """Errors of N replicates at K places, such as sizes.

    design: of the replicates. means: [K] of each place, of its clusters. deviations: [N, K] from them, times the weight
    of the replicate at that place over its weight in the design; 0 where it has no run. complete: whether every place
    has a run of some replicate.
    """

    design: Design
    means: Floats
    deviations: Floats
    complete: bool

    @property
    def known(self) -> bool:
        """Whether there are clusters enough to know chance by, at every place."""
        return self.complete and self.design.clusters > 1

    def spread(self, slopes: Floats) -> tuple[Floats, Floats]:
        """Standard error and degrees of freedom, [M] each, of functions of the means.

        slopes: [M, K] their derivatives, so that a function moves by Σ_k slopes[k] d means[k]: this linear part is
        taken for each replicate, as a number of its own.
        """
        return self.design.spread(slopes @ self.deviations.T, scale=np.abs(slopes) @ np.abs(self.means))

    def draws(self, count: int, generator: np.random.Generator) -> Floats:
        """[count, K] how other replicates might move the means: each cluster's part times a normal number of its own.

        Ensembles and seeds that several replicates share are drawn each for themselves, so that what is neither counts
        twice; the variance of so few clusters is itself drawn, as one over χ².
        """
        weighted = self.deviations * self.design.weights[:, None]
        moved = np.zeros((count, self.means.size))
        for code in self.design.clusterings:
            levels = int(code.max()) + 1
            parts = np.zeros((levels, self.means.size))
            np.add.at(parts, code, weighted)
            spread = np.sqrt(levels / generator.chisquare(levels - 1, count))
            moved += spread[:, None] * (generator.standard_normal((count, levels)) @ parts)
        return moved


def panel(places: Sequence[pd.DataFrame]) -> Panel:
    """The panel of places from the lines of `grid.runs` (or of `paired.pairs`) of each, with a column "error".

    A seed that is NA has no say there: trained on all examples only the training seed counts, and that run stands for
    every replicate with it; a rule that reads no probes stands, beside one that does, for every ensemble. A replicate
    that was not run at a place is missing there; a run that belongs to no replicate is in the mean alone.
    """
    keys = [codes(place) for place in places]
    replicates = np.unique(np.concatenate(keys), axis=0)
    for column in (0, 1):  # replicates are the lines that name the most
        if (named := replicates[:, column] >= 0).any():
            replicates = replicates[named]
            break
    found = design(replicates)
    means, deviations, complete = np.empty(len(places)), np.zeros((len(replicates), len(places))), True
    for k, (place, key) in enumerate(zip(places, keys, strict=True)):
        here, error = design(key), place["error"].to_numpy(dtype=np.float64)
        means[k] = here.weights @ error
        same = ((key[:, None] == replicates) | (key[:, None] == -1)).all(axis=2)  # [lines, N]
        if not same.any():
            complete = False
            continue
        weights = here.weights[:, None] * same / np.maximum(same.sum(axis=1, keepdims=True), 1)
        deviations[:, k] = (error - means[k]) @ (weights / weights.sum()) / found.weights
    return Panel(found, means, deviations, complete)
