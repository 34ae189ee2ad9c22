"""The moderate coreset: neither the nearest to their class centre nor the farthest from it."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from winnow.core.errors import check_choice
from winnow.core.types import Floats, Ints
from winnow.selectors.embedding_selector import EmbeddingSelector
from winnow.selectors.pool import Pool


@dataclass(frozen=True, kw_only=True)
class Moderate(EmbeddingSelector):
    """Keeps the examples whose distance to their class centre is closest to the median distance. No score is read.

    Xia et al. 2023 (ICLR, "Moderate coreset"), section 3.2, on the embeddings. variant:
      "class":    d_i the Euclidean distance to the mean of the class; the smallest |d_i − median of d in the class|.
                  Neither the paper's nor its code's, as the rule's name says: moderate[class].
      "paper":    the same d_i, ranked over all classes at once; the m in the middle of the ranking.
      "official": as "paper", but the centre is the median of the class in each coordinate, as in the authors' code.
    With one class at a time (balance="exact") "class" and "paper" differ only where distances lie closer together on
    one side of the median than on the other. Centres and medians are those of what drop_suspect leaves.

    alpha is ignored: everything follows the rule. Raises OptionError for an unknown variant.
    """

    _in_title: ClassVar[frozenset[str]] = frozenset({"variant"})

    variant: str = "class"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("selector.variant", self.variant, ("class", "paper", "official"))

    @property
    def _title(self) -> str:
        return f"{self.name}[{self.variant}]"

    def _pick(self, members: Ints, count: int, pool: Pool) -> Ints:
        points, labels = pool.embeddings(members), pool.labels[members]
        distances = centre_distances(points, labels, np.median if self.variant == "official" else np.mean)
        if self.variant == "class":
            away = np.empty(members.size)
            for one in (labels == c for c in np.unique(labels)):
                away[one] = np.abs(distances[one] - np.median(distances[one]))
        else:
            ranks = np.empty(members.size)
            ranks[np.lexsort((pool.ties[members], distances))] = np.arange(members.size)
            away = np.abs(ranks - (members.size - 1) / 2)
        return pool.hardest(members, count, -away)


def centre_distances(points: NDArray[np.float32], labels: NDArray[Any], centre: Any = np.mean) -> Floats:
    """[k]: the Euclidean distance of each point [k, d] to the centre of its class; centre: np.mean or np.median."""
    distances = np.empty(labels.size)
    for one in (labels == c for c in np.unique(labels)):
        own = points[one].astype(np.float64)
        distances[one] = np.linalg.norm(own - centre(own, axis=0), axis=1)
    return distances
