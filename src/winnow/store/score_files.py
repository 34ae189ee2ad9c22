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

FINITE = "leave those examples out of the table, or give each a finite score"
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
    named, values = Named(n), np.full(n, np.nan)
    known = None if by == "index" or files is None else pd.Index(list(files))
    for names, scores in [(whole[by], whole[column])] if whole is not None else read_columns(path, [by, column]):
        places, inside = named.take(known.get_indexer(pd.Index(names)) if known is not None else _whole(names, n))
        values[places] = _numbers(scores)[inside]
    named.check(path, f"give one score for each training example, by {by}", values, outside=by == "index")
    return values


def read_score_table(
    path: str | Path, n: int, *, column: str | None, index: str | None, label: str | None
) -> tuple[Floats | None, NDArray[Any] | None]:
    """([n] scores, [n] labels, of the smallest type that holds them) of the n lines of Parquet; None for no column.

    A line's place is what the column `index` says, or without one its number, shards in natural order.

    Raises DatasetError as read_score_file does, and for labels that are not whole numbers.
    """
    wanted = [name for name in (index, column, label) if name is not None]
    needs = f"it needs {', '.join(wanted)} (column, index, label; index=null numbers the lines as they lie)"
    check_columns(path, columns_of(path), wanted, needs)
    named, done = Named(n), 0
    values = None if column is None else np.full(n, np.nan)
    labels = None if label is None else np.zeros(n, dtype=np.int8)
    for parts in read_columns(path, wanted) if wanted else ():
        part: dict[str | None, Any] = dict(zip(wanted, parts, strict=True))
        lines = np.arange(done, done := done + len(parts[0]))
        places, inside = named.take(lines if index is None else _whole(part[index], n))
        if values is not None:
            values[places] = _numbers(part[column])[inside]
        if labels is not None:
            numbers = part[label].to_numpy()
            if numbers.dtype.kind not in "iu":
                raise DatasetError(f"{path} holds labels that are not whole numbers in {label}; number the classes.")
            extremes = [np.min_scalar_type(numbers.min()), np.min_scalar_type(numbers.max())]
            labels = labels.astype(np.result_type(labels.dtype, *extremes), copy=False)
            labels[places] = numbers[inside]
    if wanted:
        named.check(path, f"give each of the {n} lines an index of its own, from 0", values)
    return values, labels


class Named:
    """Which of n places were named, part by part."""

    def __init__(self, n: int) -> None:
        self._seen = np.zeros(n, dtype=bool)
        self._named = self._outside = 0

    def take(self, places: Ints) -> tuple[Ints, NDArray[np.bool_]]:
        """Note the places of a part, [k], -1 where a line has none: those that there are, and which lines they are."""
        inside = places >= 0
        self._outside += places.size - int(np.count_nonzero(inside))
        if not inside.all():
            places = places[inside]
        self._named += places.size
        self._seen[places] = True
        return places, inside

    def check(self, path: str | Path, advice: str, values: Floats | None, *, outside: bool = True) -> None:
        """Raise DatasetError unless each place was named once, with a finite value, and, if so asked, no other."""
        n, seen = self._seen.size, int(np.count_nonzero(self._seen))
        broken = 0 if values is None else seen - int(np.count_nonzero(np.isfinite(values)))
        problems = {
            f"names {self._named - seen} examples twice": self._named - seen,
            f"lacks {n - seen} of {n} examples": n - seen,
            f"names {self._outside} examples outside 0..{n - 1}": self._outside if outside else 0,
            f"has {broken} scores that are not finite numbers": broken,
        }
        if any(problems.values()):
            found = " and ".join(problem for problem, count in problems.items() if count)
            named = any(count for problem, count in problems.items() if not problem.startswith("has "))
            raise DatasetError(f"{path} {found}; {advice if named else FINITE}.")


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
        shard.stat()  # whose error says why in fewer words
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


def _numbers(column: "pd.Series[Any]") -> Floats:
    return pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)


def _whole(names: "pd.Series[Any]", n: int) -> Ints:
    """The indices in [0, n) that a column names, -1 for all else."""
    numbers = pd.to_numeric(names, errors="coerce").to_numpy(na_value=np.nan)
    inside = (numbers >= 0) & (numbers < n)
    if numbers.dtype.kind == "f":
        inside &= numbers == np.floor(numbers)
    return np.where(inside, numbers, -1).astype(np.int64, copy=False)
