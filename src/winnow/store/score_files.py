"""Scores in files of the user's own: one CSV or Parquet file, or a folder of Parquet shards, read part by part.

Of Parquet only the columns asked for are read, and of those ROWS lines at a time, so that memory is that of the n
numbers that come out, however many lines, columns and shards there are.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from winnow.core.errors import DatasetError
from winnow.core.natural_order import natural_key
from winnow.core.types import Floats, Ints
from winnow.store.foreign import foreign_digest

ROWS = 2**20


def hash_score_file(path: str | Path) -> str:
    """What a file, or a folder of shards, holds, for keys. Raises DatasetError where it cannot be read."""
    try:
        if not Path(path).is_dir():
            return foreign_digest(Path(path))
        return hashlib.sha256("".join(map(foreign_digest, shards(path))).encode()).hexdigest()
    except OSError as error:
        raise DatasetError(
            f"metric.path={path} cannot be read ({error.strerror}); give a CSV or Parquet file, or a folder of Parquet."
        ) from error


def shards(path: str | Path) -> list[Path]:
    """The Parquet files in a folder, in natural order of their names; of a file, itself.

    Raises DatasetError where the folder holds none.
    """
    path = Path(path)
    if not path.is_dir():
        return [path]
    found = sorted((each for each in path.glob("*.parquet") if each.is_file()), key=lambda each: natural_key(each.name))
    if not found:
        raise DatasetError(f"the folder {path} holds no file *.parquet; give one that does, or the path of a file.")
    return found


def read_score_file(path: str | Path, column: str, *, n: int, files: Sequence[str] | None) -> Floats:
    """[n]: the column of a CSV or Parquet file, or of all shards in a folder, in the order of the n training examples.

    Lines are matched by the column `index`, in [0, n), or where there is none by the column `file`, which must hold the
    paths in `files` and may hold more. Shards may name their examples in any order.

    Raises DatasetError, with the count, where the file cannot be read, has no such column, shards differ in the columns
    that are read, or it names an example twice or not at all, or holds a score that is not a finite number.
    """
    hash_score_file(path)
    whole = None if _is_parquet(path) else _csv(path)
    columns = {Path(path): list(map(str, whole.columns))} if whole is not None else columns_of(path)
    by = "index" if any("index" in names for names in columns.values()) or files is None else "file"
    also = " or file" if files is not None else ", as this data set has no files"
    check_columns(path, columns, [by, column], f"it needs {column} (metric.column) and index{also}")
    target = Filled(n)
    known = pd.Index(files) if by == "file" else None
    for names, scores in [(whole[by], whole[column])] if whole is not None else read_columns(path, [by, column]):
        places = known.get_indexer(pd.Index(names)) if known is not None else _whole_numbers(names, n)
        target.put(places, scores)
    target.check(path, f"give one score for each training example, by {by}", outside=by == "index")
    return target.values


class Filled:
    """n numbers that come in by parts, each with its places, and what was wrong with them.

    values: [n] float64. put: numbers at places, -1 where there is none for them.
    """

    def __init__(self, n: int) -> None:
        self.values = np.full(n, np.nan)
        self._seen = np.zeros(n, dtype=bool)
        self._named = self._outside = self._broken = 0

    def put(self, places: Ints, numbers: "pd.Series[Any]") -> None:
        values = pd.to_numeric(numbers, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
        inside = places >= 0
        if not inside.all():
            self._outside += int(inside.size - np.count_nonzero(inside))
            places, values = places[inside], values[inside]
        self._named += places.size
        self._broken += int(np.count_nonzero(~np.isfinite(values)))
        self._seen[places] = True
        self.values[places] = values

    def check(self, path: str | Path, advice: str, *, outside: bool = True) -> None:
        """Raise DatasetError unless each place was named once, with a finite number, and, if so asked, no other."""
        n, seen = self.values.size, int(np.count_nonzero(self._seen))
        problems = {
            f"names {self._named - seen} examples twice": self._named - seen,
            f"lacks {n - seen} of {n} examples": n - seen,
            f"names {self._outside} examples outside 0..{n - 1}": self._outside if outside else 0,
            f"has {self._broken} scores that are not finite numbers": self._broken,
        }
        if any(problems.values()):
            found = " and ".join(problem for problem, count in problems.items() if count)
            raise DatasetError(f"{path} {found}; {advice}.")


def columns_of(path: str | Path) -> dict[Path, list[str]]:
    """The columns of a Parquet file, or of each shard. Raises DatasetError where one is not Parquet."""
    return {shard: list(_opened(shard).schema_arrow.names) for shard in shards(path)}


def count_rows(path: str | Path) -> int:
    """The lines of a Parquet file, or of all shards, as their footers have it."""
    return sum(_opened(shard).metadata.num_rows for shard in shards(path))


def check_columns(path: str | Path, columns: Mapping[Path, list[str]], needed: list[str], needs: str) -> None:
    """Raise DatasetError unless every shard has the needed columns; where shards differ, it names two that do."""
    lacking = [shard for shard, names in columns.items() if not set(needed) <= set(names)]
    if not lacking:
        return
    others = [shard for shard in columns if shard not in lacking]
    named = f"{path} has" if len(columns) == 1 else f"{lacking[0]} has"
    beside = f", and {others[0].name} {', '.join(columns[others[0]])}" if others else ""
    raise DatasetError(f"{named} the columns {', '.join(columns[lacking[0]])}{beside}; {needs}.")


def read_columns(path: str | Path, columns: Sequence[str]) -> Iterator["tuple[pd.Series[Any], ...]"]:
    """The columns of a Parquet file, or of all shards in turn, some ROWS lines at a time."""
    for shard in shards(path):
        try:
            for batch in _opened(shard).iter_batches(batch_size=ROWS, columns=list(columns)):
                yield tuple(batch.column(name).to_pandas() for name in columns)
        except OSError as error:
            raise DatasetError(f"{shard} is damaged ({error}); write it again.") from error


def _opened(shard: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(shard, buffer_size=2**22)  # else a column of a row group is read as a whole
    except OSError as error:
        raise DatasetError(f"{shard} cannot be read ({error.strerror or error}); give a Parquet file.") from error
    except pa.ArrowInvalid as error:
        raise DatasetError(f"{shard} is not a table; give a Parquet file.") from error


def _is_parquet(path: str | Path) -> bool:
    return Path(path).is_dir() or str(path).endswith(".parquet")


def _csv(path: str | Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise DatasetError(f"metric.path={path} is not a table; give a CSV or Parquet file.") from error


def _whole_numbers(names: "pd.Series[Any]", n: int) -> NDArray[np.int64]:
    """The indices in [0, n) that a column names, -1 for all else."""
    numbers = pd.to_numeric(names, errors="coerce").to_numpy(na_value=np.nan)
    inside = (numbers >= 0) & (numbers < n)
    if numbers.dtype.kind == "f":
        inside &= numbers == np.floor(numbers)
    return np.where(inside, numbers, -1).astype(np.int64, copy=False)
