"""A metric's scores by disjoint groups of the probes, to see how far they depend on which probes were trained."""

from collections.abc import Iterator

import numpy as np

from winnow.core.errors import MissingEvidenceError
from winnow.core.types import Evidence, Floats
from winnow.metrics.base import Metric

SIZES = 6
MOST_GROUPS = 4  # of a size; six pairs of them are enough, and a metric may be slow


def group_sizes(members: int) -> list[int]:
    """At most SIZES numbers of probes from 1 to half of the members, evenly spaced by ratio."""
    if members < 2:
        return []
    return sorted({round(size) for size in np.geomspace(1, members // 2, SIZES)})


def by_groups(metric: Metric, evidence: Evidence) -> Iterator[tuple[int, Floats | None]]:
    """(k, scores [G, n]) of G = 2 to 4 disjoint groups of k of the evidence's models, for k up to half of them.

    A group gives what the metric makes of an ensemble of those k alone, which for a metric that averages over probes is
    the mean of their scores. None for scores where a group cannot be scored: a few models trained on parts of the data
    leave examples that no model, or every one, was trained on. Nothing, where the metric reads no models.
    """
    for size in group_sizes(evidence.members):
        possible = evidence.members // size
        chosen = np.linspace(0, possible - 1, min(possible, MOST_GROUPS)).round().astype(int)
        try:
            groups = [metric(evidence.some_members(slice(g * size, (g + 1) * size))).values for g in chosen]
        except MissingEvidenceError:
            yield size, None
        else:
            yield size, np.stack(groups)
