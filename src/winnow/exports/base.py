"""What an export is: a subset laid out in a folder for other software."""

import logging
import shutil
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from winnow.core.errors import MismatchError, OptionError
from winnow.core.types import Subset
from winnow.datasets.base import ImageDataset
from winnow.store.writing import writing

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Export(ABC):
    """A subset laid out in a folder for other software.

    to: the folder, new or empty; it is made where it is absent.

    Raises OptionError, before anything is computed (check) or written, where that folder is not empty or the data set
    has not what is to be exported.
    """

    to: str | None = None

    @property
    def target(self) -> Path:
        if self.to is None:
            raise OptionError("export.to is not given; name a new folder, as in export.to=kept.")
        return Path(self.to).expanduser().absolute()

    def check(self, dataset: ImageDataset) -> None:
        """Raise every error that can be told before there is a subset."""
        if self.target.exists() and (not self.target.is_dir() or any(self.target.iterdir())):
            raise OptionError(f"export.to={self.to} is there already and is not an empty folder; name a new one.")
        if dataset.folder is not None:
            for part in ("train", "test", "val"):
                if self.target.resolve().is_relative_to((dataset.folder / part).resolve()):
                    raise OptionError(f"export.to={self.to} lies inside the data set itself; name a folder outside it.")

    def write(self, dataset: ImageDataset, subset: Subset) -> None:
        """Fill the folder. An error leaves nothing behind in it. Raises StoreError where it cannot be written."""
        if subset.n != dataset.n:
            raise MismatchError(f"a subset of {subset.n} examples is none of {dataset.name}, which has {dataset.n}.")
        self.check(dataset)
        with writing(self.target, option="export.to=DIR"):
            self.target.mkdir(parents=True, exist_ok=True)
            try:
                summary = self._fill(self.target, dataset, subset)
            except BaseException:
                for path in self.target.iterdir():  # it was empty, so all of it is this export's
                    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
                raise
        log.info("%s: %s", self.to, summary)

    @abstractmethod
    def _fill(self, folder: Path, dataset: ImageDataset, subset: Subset) -> str:
        """Write into the empty folder, and say in a few words what."""


def check_files(export: str, dataset: ImageDataset) -> None:
    """Raise OptionError for a data set that is not made of image files."""
    if dataset.train_files is None or dataset.folder is None:
        raise OptionError(
            f"{dataset.name} has no image files of its own, so export={export} has none to name; take export=table, "
            "whose index is the place of an example in the training set, or dataset=imagefolder."
        )


def kept_files(dataset: ImageDataset, subset: Subset) -> list[str]:
    """The file of each kept example, relative to the data folder."""
    assert dataset.train_files is not None
    return [dataset.train_files[i] for i in subset.indices]


def weights_table(files: list[str], dataset: ImageDataset, subset: Subset) -> pd.DataFrame:
    """file, class, label and weight of each kept example."""
    labels = dataset.train_labels[subset.indices]
    names = np.asarray(dataset.class_names)[labels]
    return pd.DataFrame({"file": files, "class": names, "label": labels, "weight": subset.weights})
