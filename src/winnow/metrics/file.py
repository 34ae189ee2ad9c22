"""Scores of others, from a published file."""

from dataclasses import dataclass, field

from winnow.core.errors import MissingEvidenceError, check_choice
from winnow.core.types import Evidence, Floats
from winnow.metrics.base import Metric
from winnow.store.keys import NOT_IN_KEY


@dataclass(frozen=True, kw_only=True)
class File(Metric):
    """The column `column` of the CSV or Parquet file `path`, [n], as it stands there: evidence.given.

    path may be a folder of Parquet shards (*.parquet), of which all count. There is a line for every training example,
    named by a column `index` (in the canonical training set) or `file` (its path below the data folder, such as
    train/cat/img.png). higher_is="harder" takes the numbers as they are, "easier" turns their sign, so
    that higher = harder here too. title: what rules and figures call it. A key holds what is in the file, not where
    it lies.

    Raises OptionError for an unknown higher_is; MissingEvidenceError where nothing was given. The file itself is read,
    and refused, by `score_files.read_score_file`.
    """

    path: str = field(metadata=NOT_IN_KEY)
    column: str = "score"
    higher_is: str = "harder"
    title: str = "file"

    def __post_init__(self) -> None:
        check_choice("metric.higher_is", self.higher_is, ("harder", "easier"))

    @property
    def needs(self) -> frozenset[str]:
        return frozenset()

    @property
    def reads_file(self) -> tuple[str, str]:
        return self.path, self.column

    @property
    def name(self) -> str:
        return self.title

    def _values(self, evidence: Evidence) -> Floats:
        if evidence.given is None:
            raise MissingEvidenceError("this reads scores from a file, and none were given.")
        return evidence.given if self.higher_is == "harder" else -evidence.given
