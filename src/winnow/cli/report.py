"""What the command `report` does, and a sweep at its end: the page of a run or sweep, with what the store has of it."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from winnow.core.errors import WinnowError

if TYPE_CHECKING:
    from winnow.datasets.base import ImageDataset
    from winnow.reports.page.kept import Kept, Sheet
    from winnow.store.artifacts import ArtifactStore

CONFIGURATION = ".hydra/config.yaml"
CLASSES_SHOWN, PER_CLASS, NAME = 10, 5, 24  # on a sheet of images; characters of the name of a class


def main() -> None:
    """Write the page of the folder that sys.argv names, and print its path."""
    parser = argparse.ArgumentParser(description="Write report.html, one page of a run or sweep, into its folder.")
    parser.add_argument("folder", type=Path, help="folder of a run or a sweep, which may still run")
    parser.add_argument(
        "--artifacts",
        type=Path,
        default=Path("artifacts"),
        metavar="STORE",
        help="the store of its artifacts, for errors by class and images (default: artifacts; left out if not there)",
    )
    arguments = parser.parse_args()
    try:
        print(write(arguments.folder, arguments.artifacts))
    except WinnowError as error:
        sys.exit(f"error: {error}")


def write(folder: Path, artifacts: Path) -> Path:
    """Write the page of a run or sweep, and give its path. artifacts: the store, which need not be there.

    Raises WinnowError where no cell has finished, or a row cannot be read.
    """
    from winnow.reports.page.page import write_page  # not for --help: pandas and matplotlib take a second
    from winnow.store import layout

    there = artifacts.is_dir() and any(artifacts.iterdir()) and layout.is_store(artifacts)
    return write_page(folder, _kept(folder, artifacts) if there else None)


def _kept(folder: Path, artifacts: Path) -> "Kept | None":
    from winnow.reports.page.kept import look_up
    from winnow.scaling import grid
    from winnow.store import results
    from winnow.store.artifacts import ArtifactStore

    rows = results.collect(folder).rows
    if not rows:
        return None
    store = ArtifactStore(artifacts)
    kept = look_up(grid.table(rows), store)
    return replace(kept, sheets=_sheets(folder, kept, store)) if kept.scores else kept


def _sheets(folder: Path, kept: "Kept", store: "ArtifactStore") -> "list[Sheet]":
    """A sheet of images for each metric that has scores; where images cannot be had, kept.notes gains why."""
    from winnow.figures.image_sheet import image_sheet
    from winnow.reports.page.drawings import drawn_as_text, picture
    from winnow.reports.page.kept import Sheet

    found = []
    datasets = {name: _dataset(folder, name, store, kept.notes) for name in dict.fromkeys(d for d, _ in kept.scores)}
    for (name, metric), scores in kept.scores.items():
        dataset = datasets[name]
        if dataset is None:
            continue
        if dataset.fingerprint != scores.dataset:
            kept.notes.append(f"Images by {metric}: {name} is not the data that was scored.")
            continue
        names = [each if len(each) <= NAME else f"{each[: NAME - 1]}…" for each in dataset.class_names[:CLASSES_SHOWN]]
        with drawn_as_text():
            sheet = image_sheet(dataset.train_images, dataset.train_labels, names, scores.values, PER_CLASS)
            found.append(Sheet(dataset=name, metric=metric, source=picture(sheet)))
    return found


def _dataset(folder: Path, name: str, store: "ArtifactStore", notes: list[str]) -> "ImageDataset | None":
    """The data set of this name as the configuration of a cell describes it; None, with a note of why, without one."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    from winnow.cli.components import component
    from winnow.datasets.base import DatasetSpec, load_once
    from winnow.store import results

    for path in sorted(folder.rglob(CONFIGURATION)):
        cell = path.parents[1]
        try:
            if results.load_row(cell).dataset == name:
                return load_once(component(OmegaConf.load(path).dataset, "dataset", DatasetSpec), store)
        except (WinnowError, OmegaConfBaseException) as error:
            if (cell / results.ROW).exists():
                notes.append(f"Images of {name}: {error}")
                return None
    notes.append(f"Images of {name}: no cell has left the configuration of its data set in {folder}.")
    return None
