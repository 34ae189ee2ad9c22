"""The files of a subset as a folder of links that software for image folders reads as it is."""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from winnow.core.errors import OptionError
from winnow.core.types import Subset
from winnow.datasets.base import ImageDataset
from winnow.exports.base import Export, check_files, kept_files, weights_table
from winnow.store.results import EXPORTED_WEIGHTS

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Links(Export):
    """<class>/<file>, symbolic links to the originals; weights.csv with file (below this folder), class, label, weight.

    Links are absolute: the folder of links may be moved, the data may not. Every class has a folder, also one of which
    nothing is kept, so that classes keep the numbers that they have in the test set.

    Raises OptionError, too, where label noise moved labels, which class folders cannot show, and where the file system
    allows no links.
    """

    def check(self, dataset: ImageDataset) -> None:
        check_files("links", dataset)
        if "flipped" in dataset.planted:
            raise OptionError(
                "export=links puts each file into its own class folder and cannot show the labels that "
                "dataset.label_noise moved; take export=files, whose weights.csv has them, or dataset.label_noise=0."
            )
        super().check(dataset)

    def _fill(self, folder: Path, dataset: ImageDataset, subset: Subset) -> str:
        assert dataset.folder is not None
        for name in dataset.class_names:
            (folder / name).mkdir()
        files = kept_files(dataset, subset)
        links = [file.partition("/")[2] for file in files]  # without train/
        for file, link in zip(files, links, strict=True):
            (folder / link).parent.mkdir(parents=True, exist_ok=True)
            try:
                (folder / link).symlink_to(dataset.folder / file)
            except OSError as error:
                raise OptionError(
                    f"no links can be made in {self.to} ({error.strerror}); take export=files."
                ) from error
        weights_table(links, dataset, subset).to_csv(folder / EXPORTED_WEIGHTS, index=False)
        empty = np.setdiff1d(np.arange(dataset.n_classes), dataset.train_labels[subset.indices])
        if empty.size:
            names = ", ".join(dataset.class_names[i] for i in empty[:10]) + (", ..." if empty.size > 10 else "")
            log.warning(
                "nothing is kept of %d of %d classes (%s); their folders are empty, which torchvision's ImageFolder "
                "reads with allow_empty=True. selector.balance=exact keeps some of each.",
                empty.size, dataset.n_classes, names,
            )  # fmt: skip
        return f"{subset.m} links in {dataset.n_classes} class folders, and {EXPORTED_WEIGHTS}"
