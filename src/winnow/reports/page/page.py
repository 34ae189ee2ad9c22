"""The page of a sweep: one HTML file that holds its figures and tables itself and asks nothing of the network."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from winnow.core.errors import WinnowError
from winnow.figures.alpha_curve import alpha_curve
from winnow.figures.error_against_alpha import error_against_alpha
from winnow.figures.scaling_curves import scaling_curves
from winnow.figures.scaling_fits import scaling_fits
from winnow.figures.shift import shift
from winnow.figures.style import Drawing
from winnow.reports.page import tables
from winnow.reports.page.answer import answers
from winnow.reports.page.drawings import drawn_as_text, points_of, svg
from winnow.reports.page.kept import Kept
from winnow.reports.sweep import trained
from winnow.scaling import grid
from winnow.scaling.crossover import Crossover
from winnow.scaling.fits import RuleFits, crossovers, fit_rules
from winnow.scaling.paired import differences
from winnow.scaling.replicates import ONE_ENSEMBLE
from winnow.store import results
from winnow.store.provenance import provenance
from winnow.store.shifts import read_shifts
from winnow.store.writing import write_atomically

ANSWERS = 4  # that are open; the rest unfold
NAME = 40  # characters of a name in a figure
WIDE = 480  # points, from which a figure stands alone in its line
TRACEBACK_LINES = 12
CELLS_NAMED = 12  # of those that failed alike


@dataclass(frozen=True)
class Shown:
    """A figure of the page, as SVG."""

    caption: str
    image: Markup

    @property
    def wide(self) -> bool:
        """Whether it needs the whole width: two and more panels abreast."""
        return float(self.image.partition('viewBox="')[2].split(maxsplit=3)[2]) > WIDE


@dataclass(frozen=True)
class Failure:
    """What cells failed of alike. cells: folder and overrides of each; more: how many are not named."""

    message: str
    cells: list[str]
    more: int
    lines: list[str]


def write_page(folder: str | Path, kept: Kept | None = None) -> Path:
    """Write the page of a run or sweep into its folder, and give its path.

    kept: what the artifact store holds of it; without it what is read there is left out, and the page says so.

    Raises WinnowError when the folder does not exist, a row in it cannot be read, or no cell has finished.
    """
    folder = Path(folder)
    found = results.collect(folder)
    if not found.rows:
        raise WinnowError(
            f"no finished cell in {folder} ({len(found.failed)} failed, {found.missing} not finished); "
            "run scripts/run.py into it first."
        )
    path = folder / results.PAGE
    write_atomically(path, render(folder, found, kept))
    return path


def render(folder: Path, found: results.Collected, kept: Kept | None) -> str:
    """The page in HTML. found: of the folder, with at least one row."""
    table = grid.table(found.rows)
    fits, crossed = fit_rules(table), crossovers(table)
    compared = differences(table) if (table["rule"] == grid.RANDOM).any() else None
    notes = list(kept.notes) if kept is not None else [
        "Errors by class and images are in the artifact store, which was not at hand: winnow report DIR --artifacts "
        "STORE adds them."
    ]  # fmt: skip
    told = answers(table, fits, compared)
    groups = [group for group, _ in tables.groups_of(table)]
    figured, of_figured = _short(table, fits)
    with drawn_as_text():
        context: dict[str, Any] = {
            "title": _title(groups),
            "recipes": sorted(set(table["recipe"])),
            "answers": told[:ANSWERS],
            "more_answers": told[ANSWERS:],
            "group_title": tables.group_title,
            "state": _state(found, table),
            "facts": tables.facts(table, done=len(found.rows), failed=len(found.failed), missing=found.missing),
            "mixed": grid.mixed_cells(table),
            "curves": _curves(figured, of_figured),
            "crossings": _crossings(crossed),
            "alphas": _alphas(figured, kept),
            "shifts": _shifts(folder, notes),
            "matrix": tables.matrix(table),
            "lines": tables.grid_lines(table, compared),
            "family": 0 if compared is None else int(compared["p"].notna().sum()),
            "classes": _classes(table, kept),
            "sheets": [] if kept is None else kept.sheets,
            "costs": tables.cost_lines(table),
            "cost_figure": _drawn(_cost, figured),
            "failures": _failures(folder, found.failed),
            "times": tables.time_lines(table),
            "planned": _planned(folder, table),
            "made": _made(found, table),
            "command": found.command,
            "notes": notes,
        }
    here = Path(__file__).parent
    environment = Environment(
        loader=FileSystemLoader(here), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    own = {name: Markup((here / name).read_text()) for name in ("page.css", "page.js")}
    return environment.get_template("page.html").render(**context, css=own["page.css"], js=own["page.js"])


def _planned(folder: Path, table: pd.DataFrame) -> tables.Table | None:
    plan = results.load_plan(folder)
    return None if plan is None else tables.plan_lines(table, plan)


def _title(groups: Sequence[Sequence[str]]) -> str:
    dataset, model = (list(dict.fromkeys(group[i] for group in groups)) for i in (0, 1))
    return ", ".join(names[0] if len(names) == 1 else f"{len(names)} {kind}" for names, kind in
                     ((dataset, "data sets"), (model, "models")))  # fmt: skip


def _state(found: results.Collected, table: pd.DataFrame) -> str:
    """Where cells are lacking, what that means for what follows."""
    if not found.failed and not found.missing:
        return ""
    cells = len(found.rows) + len(found.failed) + found.missing
    lacking = f"{found.missing:,} not finished" * (found.missing > 0)
    lacking += " and " * bool(found.missing and found.failed) + f"{len(found.failed):,} failed" * bool(found.failed)
    return f"{len(found.rows):,} of {cells:,} cells have finished, {lacking}: what follows is of the finished ones."


def _short(table: pd.DataFrame, fits: Sequence[RuleFits]) -> tuple[pd.DataFrame, list[RuleFits]]:
    """The same with names of data sets, models and recipes cut to what a figure has room for."""
    short: dict[str, str] = {}
    for name in sorted(set(table[grid.GROUP].to_numpy().ravel())):
        cut = name if len(name) <= NAME else f"{name[: NAME - 1]}…"
        short[name] = cut if cut not in short.values() else f"{cut}{len(short)}"
    cut_fits = [
        replace(each, group=(short[each.group[0]], short[each.group[1]], short[each.group[2]])) for each in fits
    ]
    return table.assign(**{name: table[name].map(short) for name in grid.GROUP}), cut_fits


def _drawn(draw: Callable[..., Shown], *arguments: Any) -> list[Shown]:
    """A figure, or none where the grid has nothing for it."""
    try:
        return [draw(*arguments)]
    except WinnowError:
        return []


def _curves(table: pd.DataFrame, fits: Sequence[RuleFits]) -> list[Shown]:
    whole = "; the dashed line is that of all data" * bool((table["n_kept"] == table["n"]).any())
    found = [_of_curves(table, "mean", f"Mean test error against examples kept{whole}.")]
    worst = "Error of the worst class. As the largest of noisy numbers it lies above that of the class truly the worst."
    found += _drawn(_of_curves, table, "worst_class", worst)
    if any(each.fits for each in fits):
        caption = "The law of lowest AICc for each rule, with its 95% band over replicates."
        found.append(Shown(caption, svg(scaling_fits(table, fits), "fits")))
    return found


def _of_curves(table: pd.DataFrame, error: str, caption: str) -> Shown:
    drawing = scaling_curves(table, error=error)
    column = "test_error" if error == "mean" else "worst_class_error"
    return Shown(caption, svg(drawing, error.replace("_", ""), points_of(drawing, "n_kept", column)))


def _cost(table: pd.DataFrame) -> Shown:
    drawing = scaling_curves(table, x="total_cost")
    caption = "Test error against multiply-adds, scoring charged in full to every cell that reads scores."
    return Shown(caption, svg(drawing, "cost", points_of(drawing, "total_cost", "test_error")))


def _crossings(crossed: Sequence[tuple[grid.Group, str, Crossover | str]]) -> list[str]:
    """Where each rule stops beating random, in words; with the group where there are several."""
    several = len({group for group, _, _ in crossed}) > 1
    found = []
    for group, rule, place in crossed:
        if isinstance(place, Crossover):
            unknown = place.r is not None and place.interval is None and not place.one_ensemble
            told = place.describe() + " (no interval: one replicate, or one pair of seeds)" * unknown
            told += f" ({ONE_ENSEMBLE})" * (place.r is None and place.one_ensemble)
            found.append(f"{tables.group_title(group)}: {rule}: {told}" if several else f"{rule}: {told}")
    return found


def _alphas(table: pd.DataFrame, kept: Kept | None) -> list[Shown]:
    found = []
    calibrated = table[table["protocol"].notna()]
    for number, ((dataset, model, recipe, metric), rows) in enumerate(calibrated.groupby([*grid.GROUP, "metric"])):
        group = (table[grid.GROUP] == [dataset, model, recipe]).all(axis=1)
        baseline = table[group & (table["rule"] == grid.RANDOM)]
        caption = f"Test error against alpha, the share of what is kept that follows the scores: {dataset}, {metric}."
        found += _drawn(_of_alpha, pd.concat([rows, baseline]), f"alpha{number}", caption)
    if kept is not None and kept.choices:
        caption = "The curves that alpha=auto chose by, of one replicate each."
        found.append(Shown(caption, svg(alpha_curve(kept.choices), "choices")))
    return found


def _of_alpha(table: pd.DataFrame, name: str, caption: str) -> Shown:
    return Shown(caption, svg(error_against_alpha(table), name))


def _shifts(folder: Path, notes: list[str]) -> list[Shown]:
    """The shift reports of a folder that has them. notes: gains why they are not drawn."""
    if not (folder / results.SHIFTS).exists():
        return []
    try:
        table = read_shifts(folder / results.SHIFTS)
        whole = table[table["n"] == table["of"]]["r"]
        nearest = float(whole.iloc[int(np.argmin(np.abs(whole.to_numpy() - 0.1)))]) if len(whole) else 0.1
        drawing: Drawing = shift(table, r=nearest)
    except WinnowError as error:
        notes.append(f"Shift: {error}")
        return []
    caption = "What the subsets do to the distribution of the data; grey: random subsets of the same size, up to 95%."
    return [Shown(caption, svg(drawing, "shift"))]


def _classes(table: pd.DataFrame, kept: Kept | None) -> list[tables.Table]:
    return [] if kept is None or kept.class_errors is None else tables.class_lines(table, kept.class_errors)


def _failures(folder: Path, failed: Sequence[results.FailedCell]) -> list[Failure]:
    listed = results.sweep_cells(folder) if failed and (folder / results.SWEEP).exists() else []
    everywhere = set.intersection(*(set(cell.overrides) for cell in listed)) if len(listed) > 1 else set()
    alike: dict[str, list[results.FailedCell]] = {}
    for cell in failed:
        alike.setdefault(cell.message, []).append(cell)
    found = []
    for message, cells in alike.items():
        named = [
            f"{cell.folder}: {' '.join(each for each in cell.overrides if each not in everywhere)}"
            for cell in cells[:CELLS_NAMED]
        ]
        lines = results.failure_lines(folder / cells[0].folder, TRACEBACK_LINES)
        found.append(Failure(message, named, len(cells) - len(named), lines))
    return found


def _made(found: results.Collected, table: pd.DataFrame) -> list[tuple[str, str]]:
    """With what code, versions, devices and seeds the models were trained, and the page was made."""
    training: Mapping[str, list[Any]] = trained(table)
    now = provenance()
    names = {"git": "code of the trainings", "device": "devices", "recipe": "recipes"}
    made = [(name, ", ".join(map(str, training[key])) or "not known") for key, name in names.items()]
    if (precisions := sorted(table["precision"].dropna().unique())) and len(precisions):
        made.append(("precision", ", ".join(precisions)))
    for name in ("probe_seed", "selection_seed", "train_seed"):
        if training[name]:
            made.append((name.replace("_", " ") + "s", ", ".join(map(str, training[name]))))
    packages = ", ".join(f"{name} {version}" for name, version in now["packages"].items())
    made += [("code of this page", now["git"] or "not known"), ("python", f"{now['python']}, {packages}")]
    return [*made, ("page made", now["made"])]
