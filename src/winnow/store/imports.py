"""Rows that were computed with another store, taken into this one: finished cells of which nothing but the row is here.

Whoever asks for such a cell gets its row and trains nothing. Its provenance says from what file it was taken, and has
the device and the commit of the row; those of the packages are not known.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from winnow.core.errors import WinnowError
from winnow.core.types import Row
from winnow.store.artifacts import ArtifactStore, Draft
from winnow.store.checksums import sha256
from winnow.store.keys import is_key
from winnow.store.records import load_row, save_row, save_upstream


class Difference(NamedTuple):
    """A row that is told with two test errors: the one that counts, and the other."""

    key: str
    counts: float
    other: float


@dataclass(frozen=True, kw_only=True)
class Imported:
    """What became of the rows. rows: each key once; new: how many of them the store did not have.

    differing: those that the store has with another test error, which stays. twice: those that come again with another
    one; the first counts.
    """

    rows: Sequence[Row]
    new: int
    differing: Sequence[Difference]
    twice: Sequence[Difference]


def import_rows(rows: Sequence[tuple[Row, Path]], *, store: ArtifactStore) -> Imported:
    """Put rows, each with the file that it is from, into the store under their keys; what is there stays.

    Raises WinnowError for a key that is none, before anything is written, and StoreError where the store cannot be.
    """
    for row, path in rows:
        if not is_key(row.key):
            raise WinnowError(
                f"{path} has a row with the key {row.key!r}, which is no key of a cell (a name, - and 16 hexadecimal "
                "digits); take the file that a sweep left, as it is."
            )
    once: dict[str, tuple[Row, Path]] = {}
    twice, differing, new = [], [], 0
    for row, path in rows:
        first, _ = once.setdefault(row.key, (row, path))
        if row.test_error != first.test_error:
            twice.append(Difference(row.key, first.test_error, row.test_error))
    contents = {path: sha256(path) for path in {path for _, path in once.values()}}
    for row, path in once.values():
        there = _put(row, {"file": str(path), "sha256": contents[path]}, store)
        if there is None:
            new += 1
        elif there.test_error != row.test_error:
            differing.append(Difference(row.key, there.test_error, row.test_error))
    return Imported(rows=[row for row, _ in once.values()], new=new, differing=differing, twice=twice)


def _put(row: Row, source: dict[str, str], store: ArtifactStore) -> Row | None:
    """None, or the row that is there already."""
    written = []

    def write(draft: Draft) -> None:
        save_row(draft, row)
        save_upstream(draft, scores=None, alpha=None, subset=None, model=None)
        draft.facts = {"imported": source, "device": row.device, "git": row.git, "python": None, "packages": None}
        written.append(row)

    kept = store.fetch("row", row.key, write=write, inputs={})
    return None if written else load_row(kept)
