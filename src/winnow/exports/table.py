"""The table of a subset, copied to a folder of the user's choice."""

from dataclasses import dataclass
from pathlib import Path

from winnow.core.types import Subset
from winnow.datasets.base import ImageDataset
from winnow.exports.base import Export
from winnow.store.records import subset_table
from winnow.store.results import EXPORTED_TABLE


@dataclass(frozen=True, kw_only=True)
class Table(Export):
    """subset.parquet: index, weight, is_signal and what the data set knows of each kept example.

    to None: nothing is written, because the subset's artifact holds the same table.
    """

    def check(self, dataset: ImageDataset) -> None:
        if self.to is not None:
            super().check(dataset)

    def write(self, dataset: ImageDataset, subset: Subset) -> None:
        if self.to is not None:
            super().write(dataset, subset)

    def _fill(self, folder: Path, dataset: ImageDataset, subset: Subset) -> str:
        subset_table(subset, dataset.columns).to_parquet(folder / EXPORTED_TABLE, index=False)
        return f"{EXPORTED_TABLE} of {subset.m} examples"
