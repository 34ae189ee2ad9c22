"""What the artifact store holds of a grid's cells: errors of classes, scores, and the curves alpha was chosen by."""

from dataclasses import dataclass, field
from typing import Any, Literal

import pandas as pd

from winnow.core.errors import MissingEvidenceError
from winnow.core.types import Scores
from winnow.scaling.grid import GROUP
from winnow.scaling.regret import is_auto
from winnow.store.artifacts import Artifact, ArtifactStore
from winnow.store.records import load_alpha, load_class_errors, load_scores, trained_model

METRICS = 6  # whose scores are looked for
CHOICES = 4  # curves of alpha=auto


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """The hardest and the easiest images by one metric. source: a PNG, as the address that holds it."""

    dataset: str
    metric: str
    source: str


@dataclass(frozen=True, kw_only=True)
class Kept:
    """class_errors: by `key` of the row, with class, name, n_test, test_error; None where none was found.

    scores: by (dataset, metric), of the first replicate that has them there. choices: curves of alpha=auto, as
    `load_alpha` gives them. sheets: of images, drawn by who knows the data sets. notes: what is left out, and why.
    """

    class_errors: pd.DataFrame | None = None
    scores: dict[tuple[str, str], Scores] = field(default_factory=dict)
    choices: list[tuple[pd.DataFrame, dict[str, Any]]] = field(default_factory=list)
    sheets: list[Sheet] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def look_up(table: pd.DataFrame, store: ArtifactStore) -> Kept:
    """What the page shows of a grid's artifacts: class errors at the smallest size and of all data, scores, choices."""
    class_errors, notes = _class_errors(table, store)
    return Kept(class_errors=class_errors, scores=_scores(table, store), choices=_choices(table, store), notes=notes)


def _class_errors(table: pd.DataFrame, store: ArtifactStore) -> tuple[pd.DataFrame | None, list[str]]:
    smallest = table.groupby(GROUP)["n_kept"].transform("min")
    whole = table[table["n_kept"] == table["n"]].drop_duplicates([*GROUP, "train_seed"])  # alike under every rule
    wanted = pd.concat([table[(table["n_kept"] == smallest) & (table["n_kept"] < table["n"])], whole])
    found, older = [], 0
    for key in wanted["key"]:
        model = trained_model(key, store)
        if model is not None:
            try:
                found.append(load_class_errors(model).assign(key=key))
            except MissingEvidenceError:  # trained by a version that did not record them
                older += 1
    lacking = len(wanted) - len(found)
    notes = (
        [f"Errors by class: {lacking} of {len(wanted)} models are not in the store, or tell none."] if lacking else []
    )
    return (pd.concat(found, ignore_index=True) if found else None), notes


def _first_made(rows: pd.DataFrame, store: ArtifactStore, stage: Literal["scores", "alpha"]) -> Artifact | None:
    """The first that is there of what these rows came from; imported ones name none."""
    for key in rows["key"]:
        row = store.load("row", key)
        made = None if row is None else row.json("upstream").get(stage)
        if made is not None and (artifact := store.load(stage, made)) is not None:
            return artifact
    return None


def _scores(table: pd.DataFrame, store: ArtifactStore) -> dict[tuple[str, str], Scores]:
    found: dict[tuple[str, str], Scores] = {}
    reads = table[table["metric"].notna()].sort_values(["probe_seed", "selection_seed", "train_seed"], kind="stable")
    for (dataset, metric), rows in list(reads.groupby(["dataset", "metric"]))[:METRICS]:
        scored = _first_made(rows, store, "scores")
        if scored is not None:
            found[str(dataset), str(metric)] = load_scores(scored)
    return found


def _choices(table: pd.DataFrame, store: ArtifactStore) -> list[tuple[pd.DataFrame, dict[str, Any]]]:
    """Of the first replicate of each auto rule at its smallest size, of those whose choice is there."""
    chosen = table[is_auto(table)].sort_values(["n_kept", "train_seed"], kind="stable")
    first = [rows for _, rows in chosen.groupby([*GROUP, "rule"])][:CHOICES]
    loaded = [_first_made(rows, store, "alpha") for rows in first]
    return [load_alpha(each) for each in loaded if each is not None]
