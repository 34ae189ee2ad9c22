"""A subset for plain PyTorch: the kept examples of any torch data set, their weights, and a sampler that draws by them.

There are two ways to train on weights w. With mean weight one both have the same expectation, that of Σ w ℓ / m:
  the weighted loss, (w * ℓ).mean() over the batch, ℓ without reduction: what Winnow itself does. Every kept example
  is seen once an epoch, so it has less variance. Never divide by the batch's Σ w: that undoes unbiasedness.
  resampling, for code whose loss cannot be weighted: an unweighted loss over examples drawn with replacement with
  probability ∝ w. Batch-norm statistics then follow the weights too.
Doing both would weight twice. Where the mean weight is not one (Horvitz-Thompson weights have it in expectation only),
resampling gives Σ w ℓ / Σ w: the two differ by the factor Σ w / m, as by a learning rate.
"""

import itertools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch.utils.data import Dataset, WeightedRandomSampler
from torch.utils.data import Subset as TorchSubset

from winnow.core.errors import MismatchError
from winnow.core.natural_order import natural_key
from winnow.core.seeds import derive
from winnow.core.types import Ints, Subset
from winnow.store.records import read_subset_table, subset_table

TRAIN = "train/"


class KeptExamples(TorchSubset[Any]):
    """The kept examples of a torch data set, in canonical order of their indices.

    indices: their positions in `dataset`, a list [m]. weights [m] float32, aligned with them. weighted: whether an
    item is that of `dataset`, or (its parts..., weight).
    """

    def __init__(self, dataset: Dataset[Any], positions: Ints, weights: torch.Tensor, *, weighted: bool) -> None:
        super().__init__(dataset, positions.tolist())
        self.weights, self.weighted = weights, weighted

    def __getitem__(self, position: Any) -> Any:
        item = super().__getitem__(position)
        return self._with_weight(item, position) if self.weighted else item

    def __getitems__(self, positions: list[int]) -> list[Any]:
        items = super().__getitems__(positions)
        if not self.weighted:
            return items
        return [self._with_weight(item, position) for item, position in zip(items, positions, strict=True)]

    def _with_weight(self, item: Any, position: int) -> tuple[Any, ...]:
        parts = item if isinstance(item, tuple) else (item,)
        return (*parts, self.weights[position])


def torch_subset(
    dataset: Dataset[Any], subset: Subset | str | Path, *, weighted: bool = False, files: Sequence[str] | None = None
) -> KeptExamples:
    """The examples of a map-style torch data set that `subset` keeps.

    dataset: the training set, with `__len__` and `__getitem__`, without noise added to its labels. subset: a Subset, or
    the path of a subset's table, which knows more: the files, the labels, and the place in the unlimited training set.

    An example is found by its file where the table has files and `dataset` lists its own (`samples`, as torchvision's
    ImageFolder, which sorts img10 before img2; Winnow sorts it after). Otherwise it is found by its index, and
    `dataset` must be in canonical order, as torchvision's CIFAR10 and the like are; where table and data set give
    labels (`targets` or `labels`), they are compared.
    weighted: items are (image, label, weight) instead of (image, label), for a weighted loss.
    files: for a Subset, the file of each of its n examples, such as `ImageDataset.train_files` or, for a subset that
    was chosen in the order of `dataset`, `[path for path, _ in dataset.samples]`.

    Raises MismatchError where length, files or labels say that the subset is not one of this data set, or where the
    order cannot be known; DatasetError where the table cannot be read.
    """
    table = _table(subset)
    if files is not None:
        table = _with_files(table, files)
    paths = _paths(dataset)
    if paths is not None and "file" in table:
        positions = _by_file(table, paths, dataset)
    else:
        positions = _by_index(table, dataset, paths)
    weights = torch.tensor(table["weight"].to_numpy(), dtype=torch.float32)
    return KeptExamples(dataset, positions, weights, weighted=weighted)


def weighted_sampler(
    subset: Subset | KeptExamples | str | Path, *, seed: int, num_samples: int | None = None
) -> WeightedRandomSampler:
    """Draws positions 0..m-1 of a subset with replacement and probability w / Σ w, for an unweighted loss.

    subset: as for torch_subset, or what it returned. num_samples: draws an epoch; None: m. The draws of the epochs
    differ and are those of `seed`.
    """
    weights = subset.weights if isinstance(subset, KeptExamples) else torch.tensor(_table(subset)["weight"].to_numpy())
    generator = torch.Generator().manual_seed(derive(seed, "weighted_sampler"))
    draws = len(weights) if num_samples is None else num_samples
    return WeightedRandomSampler(weights.double(), draws, replacement=True, generator=generator)  # type: ignore[arg-type]


def _table(subset: Subset | str | Path) -> pd.DataFrame:
    return subset_table(subset, {}) if isinstance(subset, Subset) else read_subset_table(subset)


def _with_files(table: pd.DataFrame, files: Sequence[str]) -> pd.DataFrame:
    if len(files) != table.attrs["n"]:
        raise MismatchError(
            f"files has {len(files)} entries for a subset of {table.attrs['n']} examples; give one for each."
        )
    return table.assign(file=np.asarray(files)[table["index"]])


def _paths(dataset: Any) -> list[str] | None:
    """The files of a torch data set in its own order, or None where it names none."""
    samples = getattr(dataset, "samples", None)
    if not isinstance(samples, list) or not samples or not isinstance(samples[0][0], str):
        return None
    return [path.replace(os.sep, "/") for path, _ in samples]


def _by_file(table: pd.DataFrame, paths: list[str], dataset: Any) -> Ints:
    if "flipped" in table and table["flipped"].any():
        raise MismatchError(
            "this subset was selected with labels that dataset.label_noise had moved, which the class folders of this "
            "data set do not show; select with dataset.label_noise=0."
        )
    root = str(getattr(dataset, "root", "")).replace(os.sep, "/")
    below = {path.removeprefix(root).lstrip("/"): position for position, path in enumerate(paths)}
    exact = {path: position for position, path in enumerate(paths)}
    wanted = [str(file) for file in table["file"]]
    missing = wanted
    # As below the root of the training set, as below that of the whole data folder, or as the data set says them.
    for names, known in (([file.removeprefix(TRAIN) for file in wanted], below), (wanted, below), (wanted, exact)):
        lost = [file for file in names if file not in known]
        if not lost:
            return np.array([known[file] for file in names], dtype=np.int64)
        missing = min(missing, lost, key=len)
    raise MismatchError(
        f"{len(missing)} of {len(wanted)} kept files are not in this data set of {len(paths)} files (the first: "
        f"{missing[0]}); open the train/ folder of the data set that the subset was selected from."
    )


def _by_index(table: pd.DataFrame, dataset: Any, paths: list[str] | None) -> Ints:
    limited = "source_index" in table
    positions = table["source_index" if limited else "index"].to_numpy(dtype=np.int64)
    size, n = len(dataset), None if limited else table.attrs.get("n")
    if n not in (None, size) or positions[-1] >= size:
        of = f"of {n} examples" if n is not None else f"with index {positions[-1]}"
        raise MismatchError(
            f"this is a subset {of}, and the data set has {size}; give the training set that it was selected from, and "
            "for dataset.limit the path of the table, which knows the place of each example in the whole."
        )
    if paths is not None and not _canonical(paths, dataset):
        raise MismatchError(
            "this data set lists its files in another order than Winnow (img10 before img2), and a Subset does not "
            "name files; give the path of the table that scripts/select.py printed, or files=... (see torch_subset)."
        )
    _check_labels(table, dataset, positions)
    return positions


def _canonical(paths: list[str], dataset: Any) -> bool:
    keys = [(label, natural_key(path)) for path, (_, label) in zip(paths, dataset.samples, strict=True)]
    return all(first <= second for first, second in itertools.pairwise(keys))


def _check_labels(table: pd.DataFrame, dataset: Any, positions: Ints) -> None:
    known = getattr(dataset, "targets", getattr(dataset, "labels", None))
    if known is None or "label" not in table or len(known) != len(dataset):
        return
    wrong = np.flatnonzero(np.asarray(known)[positions] != table["label"].to_numpy())
    if wrong.size:
        raise MismatchError(
            f"{wrong.size} of {positions.size} labels differ from those of the subset's table (the first at position "
            f"{positions[wrong[0]]}); give the training set that it was selected from, in canonical order"
            + (", with the labels that dataset.label_noise moved." if "flipped" in table else ".")
        )
