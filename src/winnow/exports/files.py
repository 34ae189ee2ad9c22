"""The files of a subset as a plain list."""

from dataclasses import dataclass
from pathlib import Path

from winnow.core.types import Subset
from winnow.datasets.base import ImageDataset
from winnow.exports.base import Export, check_files, kept_files, weights_table
from winnow.store.results import EXPORTED_FILES, EXPORTED_WEIGHTS


@dataclass(frozen=True, kw_only=True)
class Files(Export):
    """files.txt, one absolute path a line; weights.csv with file, class, label and weight, in the same order.

    The label is the one that the subset was selected with, moved by label_noise where there is such.
    """

    def check(self, dataset: ImageDataset) -> None:
        check_files("files", dataset)
        super().check(dataset)

    def _fill(self, folder: Path, dataset: ImageDataset, subset: Subset) -> str:
        files = [f"{dataset.folder}/{file}" for file in kept_files(dataset, subset)]
        (folder / EXPORTED_FILES).write_text("".join(f"{file}\n" for file in files), encoding="utf-8")
        weights_table(files, dataset, subset).to_csv(folder / EXPORTED_WEIGHTS, index=False)
        return f"{EXPORTED_FILES} and {EXPORTED_WEIGHTS} of {subset.m} files"
