"""What `grid --import` does: rows of grid files become finished cells of a store."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from winnow.core.errors import WinnowError

if TYPE_CHECKING:
    from winnow.core.types import Row
    from winnow.store.imports import Difference


def import_rows(files: Sequence[Path], artifacts: Path) -> list[str]:
    """Take the rows of grid files into the store `artifacts`; lines that say what became of them, the first the count.

    Raises WinnowError, naming the file, before anything is written: for what is no grid, no row, or no store.
    """
    from winnow.store import imports, layout
    from winnow.store.artifacts import ArtifactStore

    if not layout.is_store(artifacts):
        raise WinnowError(f"{artifacts} is no store; give the folder that paths.artifacts names.")
    read = [(row, path) for path in files for row in _rows(path)]
    found = imports.import_rows(read, store=ArtifactStore(artifacts))
    count, there = len(found.rows), len(found.rows) - found.new
    named = ", ".join(map(str, dict.fromkeys(files)))
    lines = [f"imported {_count(count)} of {named} into {artifacts}: {found.new} new, {there} {_were(there)} there"]
    if found.twice:
        lines.append(
            f"warning: {_count(len(found.twice))} came again with another test error, and the first counts: "
            + ", ".join(map(_told, found.twice))
        )
    if found.differing:
        lines.append(
            f"warning: {_count(len(found.differing))} {_were(len(found.differing))} there with another test error, "
            f"which stays, such as {_told(found.differing[0])}"
        )
    return lines + _elsewhere(found.rows)


def _rows(path: Path) -> "list[Row]":
    from winnow.scaling import grid

    if path.is_dir():
        raise WinnowError(f"{path} is a folder; give it before --import, and after that files such as {path}/grid.csv.")
    table = grid.read(path)
    try:
        return grid.rows(table)
    except WinnowError as error:
        raise WinnowError(f"{path}, {error}") from error


def _elsewhere(rows: "Sequence[Row]") -> list[str]:
    """A line for rows in a precision that recipe.precision=auto is not on this machine."""
    from winnow.training.precision import faster

    here = faster()
    others = [row.precision for row in rows if row.precision not in (None, here)]
    return [
        f"{_count(others.count(each))} {_were(others.count(each))} trained in {each}, and recipe.precision=auto is "
        f"{here} on this machine: where a command says auto, recipe.precision={each} makes them count"
        for each in sorted(set(filter(None, others)))
    ]


def _told(difference: "Difference") -> str:
    return f"{difference.key} ({difference.counts:.6g}, not {difference.other:.6g})"


def _count(number: int) -> str:
    return f"{number} row{'' if number == 1 else 's'}"


def _were(number: int) -> str:
    return "was" if number == 1 else "were"
