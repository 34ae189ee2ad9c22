"""What the rules share that choose by distances between embeddings."""

from dataclasses import dataclass

from winnow.selectors.base import Selector


@dataclass(frozen=True, kw_only=True)
class EmbeddingSelector(Selector):
    """A rule that chooses by embeddings alone and reads no scores."""

    @property
    def _rule_reads_scores(self) -> bool:
        return False

    @property
    def _rule_needs(self) -> frozenset[str]:
        return frozenset({"embeddings"})
