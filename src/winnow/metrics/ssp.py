"""SSP: distance to the nearest prototype in an embedding space."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from winnow.core.errors import OptionError
from winnow.core.seeds import derive, stream
from winnow.core.types import Evidence, Floats, Ints
from winnow.metrics.base import Metric

POINTS_PER_CENTROID = 256  # what k-means is trained on at most; more changes the centroids little
SAMPLE_BYTES = 2**31  # nor more than this of them: it is the only part that is held in memory
ROWS_IN_BLOCK = 16_384


@dataclass(frozen=True, kw_only=True)
class SSP(Metric):
    """1 − cosine similarity to the nearest of k centroids of the embeddings, in [0, 2]; labels are not read.

    Sorscher et al. 2022 (2206.14486), section 6: k-means of self-supervised embeddings (theirs are SwAV's on ImageNet
    with k = 1,000; results hardly depend on k). Embeddings [n, d] are normalised to length one and clustered by
    spherical k-means (faiss), the best of `restarts` runs of `iterations`, on a seeded sample of 256 examples a
    centroid where there are more, and of at most 2 GiB (262,144 of 2,048 dimensions). It is read, and the score of
    every example then computed, by blocks from the memory map: 1.3 M × 2,048 fits in 4 GB (scripts/bench/ssp.py).

    k=None: one centroid a class. supervised=True: the centroids are the class means of the embeddings, and an example
    is compared with its own class's (the paper's supervised prototypes), so that wrong labels are hard.

    Raises OptionError for k below 1 or above n; MissingEvidenceError without embeddings.
    """

    version: ClassVar[int] = 2
    free_of_order: ClassVar[bool] = False  # k-means starts from a seeded draw by index

    k: int | None = None
    supervised: bool = False
    iterations: int = 25
    restarts: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        if self.k is not None and self.k < 1:
            raise OptionError(f"metric.k={self.k} must be at least 1 centroid.")
        if self.supervised and self.k is not None:
            raise OptionError("metric.k belongs to supervised=false; supervised prototypes are one a class.")

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"embeddings"})

    @property
    def name(self) -> str:
        return self._named("ssp")

    def _values(self, evidence: Evidence) -> Floats:
        embeddings = evidence.required_embeddings()
        if self.supervised:
            return _distance_to(embeddings, _class_means(embeddings, evidence.labels), own=evidence.labels)
        k = self.k or int(evidence.labels.max()) + 1
        if k > evidence.n:
            raise OptionError(f"metric.k={k} centroids are more than the {evidence.n} examples; lower metric.k.")
        return _distance_to(embeddings, self._centroids(embeddings, k))

    def _centroids(self, embeddings: NDArray[np.float32], k: int) -> NDArray[np.float32]:
        import faiss

        n, d = embeddings.shape
        size = max(k, min(n, k * POINTS_PER_CENTROID, SAMPLE_BYTES // (4 * d)))
        rows = np.arange(n)
        if n > size:
            rows = np.sort(stream(self.seed, "ssp sample").choice(n, size, replace=False))
        sample = np.empty((size, d), dtype=np.float32)
        for start in range(0, size, ROWS_IN_BLOCK):
            block = slice(start, start + ROWS_IN_BLOCK)
            sample[block] = _unit(embeddings[rows[block]])
        kmeans = faiss.Kmeans(
            d,
            k,
            niter=self.iterations,
            nredo=self.restarts,
            spherical=True,
            seed=derive(self.seed, "ssp") % 2**31,
            min_points_per_centroid=1,
            max_points_per_centroid=POINTS_PER_CENTROID,
        )
        kmeans.train(sample)
        assert kmeans.centroids is not None
        return kmeans.centroids


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of length one; a row of zeros has no direction and stays zero, at distance 1 of everything."""
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows / np.where(length > 0, length, 1)).astype(np.float32, copy=False)


def _class_means(embeddings: NDArray[np.float32], labels: Ints) -> NDArray[np.float32]:
    means = np.zeros((int(labels.max()) + 1, embeddings.shape[1]))
    for start in range(0, labels.size, ROWS_IN_BLOCK):
        rows = slice(start, start + ROWS_IN_BLOCK)
        np.add.at(means, labels[rows], _unit(embeddings[rows]))
    return _unit(means.astype(np.float32))


def _distance_to(embeddings: NDArray[np.float32], centroids: NDArray[np.float32], *, own: Ints | None = None) -> Floats:
    """[n]: 1 − cosine to the nearest centroid, or to the one that `own` [n] names."""
    values = np.empty(len(embeddings))
    for start in range(0, len(embeddings), ROWS_IN_BLOCK):
        rows = slice(start, start + ROWS_IN_BLOCK)
        cosines = (_unit(embeddings[rows]) @ centroids.T).astype(np.float64)
        values[rows] = 1 - (cosines.max(axis=1) if own is None else cosines[np.arange(len(cosines)), own[rows]])
    return values
