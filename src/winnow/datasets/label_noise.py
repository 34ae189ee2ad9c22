"""Labels that are moved on purpose: which examples, and to which class."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from winnow.core.errors import DatasetError, OptionError, check_choice
from winnow.core.rounding import round_half_up
from winnow.core.sampling import capped, systematic
from winnow.core.seeds import stream
from winnow.core.types import Floats, Ints
from winnow.store.foreign import foreign_array, foreign_digest

KINDS = ("uniform", "class", "example")


class Moved(NamedTuple):
    """flipped: the indices of the moved labels, rising. labels [n]: all labels, moved."""

    flipped: Ints
    labels: Ints


def check_noise(kind: str, confusion: str | None) -> None:
    """Raise OptionError unless the kind is known and there is a file exactly where one is read."""
    check_choice("dataset.noise_kind", kind, KINDS)
    if kind != "uniform" and confusion is None:
        raise OptionError(
            f"dataset.noise_kind={kind} reads what is confused with what from a file; give dataset.confusion=FILE.npy, "
            "as scripts/score.py confusions=FILE.npy leaves it, or a matrix of your own."
        )
    if kind == "uniform" and confusion is not None:
        raise OptionError(
            "dataset.noise_kind=uniform reads no dataset.confusion; choose noise_kind=class or example, or give none."
        )


def uniform(labels: Ints, noise: float, n_classes: int, seed: int) -> Moved:
    """⌊noise · n + ½⌋ labels, drawn uniformly, each moved to one of the other classes, drawn uniformly."""
    rng = stream(seed, "label_noise")
    flipped = np.sort(rng.choice(labels.size, size=round_half_up(noise * labels.size), replace=False))
    moved = labels.copy()
    shift = rng.integers(1, n_classes, size=flipped.size)
    moved[flipped] = (moved[flipped] + shift) % n_classes
    return Moved(flipped, moved)


def confused(labels: Ints, confusion: Floats, noise: float, seed: int) -> Moved:
    """⌊noise · n + ½⌋ labels, moved where and to what they are confused with.

    confusion [n, C]: of each example its confusion with each class; that with its own label does not count. With q_i
    the sum over the other classes, example i is moved with probability min(1, κ q_i), κ such that these sum to the
    number of moved labels, and then to class c in proportion to confusion[i, c]. The draw meets the number and every
    probability exactly (winnow.core.sampling).

    Raises DatasetError where fewer examples than are to be moved are confused with another class.
    """
    rng = stream(seed, "label_noise", "confusion")
    count = round_half_up(noise * labels.size)
    others = np.array(confusion, dtype=np.float64)
    others[np.arange(labels.size), labels] = 0
    total = others.sum(axis=1)
    able = np.flatnonzero(total > 0)
    if able.size < count:
        raise DatasetError(
            f"dataset.label_noise={noise:g} moves {count} labels, but by dataset.confusion only {able.size} examples "
            "are confused with another class; lower label_noise."
        )
    moved = labels.copy()
    flipped = able[systematic(capped(total[able], count), count, rng)]
    # Classes lie end to end, each as wide as its confusion, so one of confusion 0, such as the label, is never met.
    bounds = np.cumsum(others[flipped], axis=1)
    moved[flipped] = (bounds <= (rng.random(flipped.size) * bounds[:, -1])[:, None]).sum(axis=1)
    return Moved(flipped, moved)


def read_confusion(path: str, kind: str, labels: Ints, n_classes: int, *, among: Ints | None, whole: int) -> Floats:
    """[n, C]: how much each example is confused with each class, of a file of numbers.

    The file, .npy, or .csv without a head, holds [C, C], a row for each label, or, as scripts/score.py confusions=FILE
    leaves it, [N, C], a row for each training example. Any numbers that are not negative will do: counts, rates,
    probabilities. For kind "class" rows of examples are averaged by label. N is n or, where `limit` took the n examples
    `among` [n] of them, `whole`.

    Raises DatasetError where the file cannot be read, has another shape, or holds what is negative or not finite;
    OptionError for kind "example" and a matrix of classes.
    """
    advice = "give a .npy or .csv file of numbers."
    try:
        foreign_digest(Path(path))
        found = foreign_array(Path(path)) if path.endswith(".npy") else np.loadtxt(path, delimiter=",", ndmin=2)
        table = np.asarray(found, dtype=np.float64)
    except OSError as error:
        raise DatasetError(f"dataset.confusion={path} cannot be read ({error.strerror}); {advice}") from error
    except (ValueError, EOFError) as error:
        raise DatasetError(f"dataset.confusion={path} holds no array of numbers; {advice}") from error
    _check(path, table, n_classes, sorted({labels.size, whole}))
    if len(table) == n_classes:
        if kind == "example":
            raise OptionError(
                f"dataset.noise_kind=example reads a row for each example, but {path} has one for each of the "
                f"{n_classes} classes; choose noise_kind=class."
            )
        return table[labels]
    if len(table) != labels.size:
        table = table[among]
    if kind == "class":
        members = [labels == label for label in range(n_classes)]
        table = np.stack([table[m].mean(axis=0) if m.any() else np.zeros(n_classes) for m in members])[labels]
    return table


def _check(path: str, table: Floats, n_classes: int, sizes: Sequence[int]) -> None:
    if table.ndim != 2 or table.shape[1] != n_classes or len(table) not in (n_classes, *sizes):
        rows = " or ".join(map(str, (n_classes, *sizes)))
        raise DatasetError(
            f"dataset.confusion={path} must hold {n_classes} numbers in each of {rows} rows (classes or examples); "
            f"it has shape {list(table.shape)}."
        )
    if not np.all(np.isfinite(table)) or table.min() < 0:
        raise DatasetError(f"dataset.confusion={path} must hold finite numbers that are not negative.")


def noise_name(noise: float, kind: str, confusion: str | None) -> str:
    """What a data set's name says of its noise: the fraction, and of confusions the kind and 6 digits of the file."""
    return f"noise{noise:g}" if confusion is None else f"noise{noise:g}-{kind}-{foreign_digest(Path(confusion))[:6]}"
