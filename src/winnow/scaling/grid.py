"""Rows to a grid: the table of all cells, and its means and standard errors over replicates."""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, get_args

import pandas as pd

from winnow.core.errors import ShapeError, WinnowError
from winnow.core.types import Row
from winnow.scaling.replicates import ONE_ENSEMBLE, SEEDS, design

Group = tuple[str, str, str]

GROUP = ["dataset", "model", "recipe"]
CELL = [*GROUP, "rule", "n_kept"]
RANDOM = "random"
AGAIN = "write the grid again with scripts/grid.py DIR."

# what rows of older versions have not
_LATER = [field.name for field in fields(Row) if field.default is None]
_KINDS: dict[Any, str] = {
    int: "int64",
    int | None: "Int64",
    float: "float64",
    float | None: "float64",
    str: "str",
    str | None: "str",
}
_DTYPES = {field.name: _KINDS[field.type] for field in fields(Row)}
_FLOATS = [name for name, kind in _DTYPES.items() if kind == "float64"]


def table(rows: Iterable[Row]) -> pd.DataFrame:
    """The grid: one line a cell, columns the fields of Row, sorted by rule, r and the three seeds.

    Of rows with the same key one is kept: a Cartesian sweep visits the random rule once under every metric.
    """
    frame = pd.DataFrame([asdict(row) for row in rows], columns=list(_DTYPES)).astype(_DTYPES)
    order = ["rule", "r", "selection_seed", "train_seed", "probe_seed"]
    return frame.sort_values(order, kind="stable").drop_duplicates("key", ignore_index=True)


def read(path: str | Path) -> pd.DataFrame:
    """The grid in a CSV file, with the columns and types of `table`, and its numbers to the last bit.

    Only an empty field is a value that is not there: a data set may be called NA.

    Raises WinnowError, naming the file, when it does not exist, is no such grid, or has no rows.
    """
    if not Path(path).is_file():
        raise WinnowError(f"there is no file {path}; write a grid with scripts/grid.py DIR.")
    try:
        # Fractions as text, for not every version of pandas reads them to the last bit.
        frame = pd.read_csv(path, dtype=_DTYPES | dict.fromkeys(_FLOATS, "str"), keep_default_na=False, na_values=[""])
        frame = frame.astype({name: "float64" for name in _FLOATS if name in frame})
    except ValueError as error:
        said = " ".join(str(error).split())
        raise WinnowError(f"{path} is not a grid ({said}); write one with scripts/grid.py DIR.") from error
    later = [name for name in _LATER if name not in frame]
    frame = frame.assign(**dict.fromkeys(later)).astype({name: _DTYPES[name] for name in later})
    if missing := [name for name in _DTYPES if name not in frame]:
        raise WinnowError(f"{path} is not a grid: it has no column {missing[0]}; write one with scripts/grid.py DIR.")
    if frame.empty:
        raise WinnowError(f"{path} has no rows; run some cells, then write it again with scripts/grid.py DIR.")
    return frame[list(_DTYPES)]


def together(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The rows of several grids as one; of rows with the same key the first counts."""
    return pd.concat(tables).drop_duplicates("key", ignore_index=True)


def of_rules(table: pd.DataFrame, patterns: Sequence[str]) -> pd.DataFrame:
    """The rows whose rule has one of these names, in which * stands for anything, such as "el2n*".

    Raises WinnowError for a name that no rule has.
    """
    kept = pd.Series(False, index=table.index)
    for pattern in patterns:
        name = re.compile(".*".join(map(re.escape, pattern.split("*"))))
        own = table["rule"].map(lambda rule, name=name: bool(name.fullmatch(rule)))
        if not own.any():
            raise WinnowError(f"the grid has no rule {pattern!r}; it has {', '.join(rule_order(table['rule']))}.")
        kept |= own
    return table[kept].reset_index(drop=True)


def rows(table: pd.DataFrame) -> list[Row]:
    """The rows of a table that was read, in its order: what `table` made it of.

    Raises WinnowError for a line of the file that is no row; its number counts the head.
    """
    found = []
    for line, values in enumerate(_records(table), start=2):
        for field in fields(Row):
            value = values[field.name]
            if value is None and type(None) not in get_args(field.type):
                raise WinnowError(f"line {line} has no {field.name}; {AGAIN}")
            if isinstance(value, float) and not math.isfinite(value):
                raise WinnowError(f"line {line} has {field.name}={value}; {AGAIN}")
        try:
            found.append(Row(**values))
        except ShapeError as error:
            raise WinnowError(f"line {line} is no row: {error}") from error
    return found


def rule_order(rules: Iterable[str]) -> list[str]:
    """The distinct rules as every table and legend lists them: random first, the rest by name."""
    return sorted(set(rules), key=lambda rule: (rule != RANDOM, rule))


def runs(table: pd.DataFrame, error: str = "test_error") -> pd.DataFrame:
    """One line for each (dataset, model, recipe, rule, n_kept) and distinct (probe, selection, train) seeds.

    Rows that share all of these are averaged. Where all n examples are kept, probes and selection have no say, and
    only the training seed counts; the other two are NA there. n and n_test are the largest, r the first; `error` (a
    column of the table), examples_seen, probe_examples and effective_sample_size are means. Rows without that error
    are left out.
    """
    table = table[table[error].notna()]
    seeds = table[SEEDS].astype("Int64")
    seeds.loc[table["n_kept"] == table["n"], ["probe_seed", "selection_seed"]] = pd.NA
    alike = table.assign(**{name: seeds[name] for name in SEEDS}).groupby([*CELL, *SEEDS], dropna=False, as_index=False)
    means = [error, "examples_seen", "probe_examples", "effective_sample_size"]
    return alike.agg({"r": "first", "n": "max", "n_test": "max"} | dict.fromkeys(means, "mean"))


def summarise(table: pd.DataFrame, error: str = "test_error") -> pd.DataFrame:
    """Mean and standard error over replicates, one line for each (dataset, model, recipe, rule, n_kept).

    error: the column of the table that is summarised, in columns `{error}_mean` and `{error}_se`.
    seeds: number of distinct (probe_seed, selection_seed, train_seed), as `runs` tells them apart. clusters: of probe
    ensembles, for a rule that reads none of pairs of seeds. The mean is that of the clusters' means, its standard error
    and the degrees of freedom of a t-interval (df) those of `replicates.Design`; NaN with one cluster. one_ensemble:
    whether probes were read, and all runs share theirs. examples_seen, probe_examples and effective_sample_size are
    means over runs.
    """
    lines = []
    for place, part in runs(table, error).groupby(CELL):
        found = design(part).estimate(part[error])
        costs = part[["examples_seen", "probe_examples", "effective_sample_size"]].mean()
        lines.append(
            dict(zip(CELL, place, strict=True))
            | {"r": part["r"].iloc[0], "seeds": found.seeds, "clusters": found.clusters}
            | {f"{error}_mean": found.mean, f"{error}_se": found.se, "df": found.df}
            | {"one_ensemble": found.one_ensemble, **costs}
        )
    columns = [*CELL, "r", "seeds", "clusters", f"{error}_mean", f"{error}_se", "df", "one_ensemble"]
    return pd.DataFrame(lines, columns=[*columns, "examples_seen", "probe_examples", "effective_sample_size"])


def mixed_cells(table: pd.DataFrame) -> int:
    """How many cells share dataset, model, recipe, rule, size and seeds with another one and yet are not the same.

    They differ in something that rows have no name for, such as recipe.lr or probe.members, and `summarise` averages
    them as if they were repeats.
    """
    return int(table.duplicated([*GROUP, "rule", "n_kept", *SEEDS], keep=False).sum())


def full_data_error(table: pd.DataFrame, error: str = "test_error") -> dict[Group, float | None]:
    """Mean error of the models trained on all n examples, for each (dataset, model, recipe); None without one.

    error: the column of the table that is averaged. Every rule reaches the same models at r = 1, so each training seed
    counts once, whatever rule it came under.
    """
    levels: dict[Group, float | None] = {}
    for (dataset, model, recipe), part in table.groupby(GROUP):
        trained = part[part["n_kept"] == part["n"]].drop_duplicates("train_seed")
        levels[str(dataset), str(model), str(recipe)] = None if trained.empty else float(trained[error].mean())
    return levels


def summary(table: pd.DataFrame, *, done: int, failed: int = 0, missing: int = 0) -> dict[str, Any]:
    """What summary.json holds, as plain numbers, strings and None.

    cells: how many are done (distinct: after equal keys are merged), failed and missing. full_data: the level of
    `full_data_error`. best: the rule of lowest mean test error for each number of kept examples; a tie goes to random.
    curves: the table of `summarise`, with the mean and standard error of worst_class_error beside those of test_error
    (None where no row has it). A note in either says why there is no standard error.
    """
    curves = _with_worst_class(summarise(table), table)
    curves = curves.assign(note=curves["one_ensemble"].map({True: ONE_ENSEMBLE, False: None}))
    ranked = curves.assign(place=_places(curves["rule"])).sort_values(["test_error_mean", "place"], kind="stable")
    best = ranked.drop_duplicates([*GROUP, "n_kept"]).sort_values([*GROUP, "n_kept"], kind="stable")
    shown = [*GROUP, "n_kept", "r", "rule", "seeds", "clusters", "test_error_mean", "test_error_se", "note"]
    levels = full_data_error(table).items()
    return {
        "cells": {"done": done, "distinct": len(table), "failed": failed, "missing": missing},
        "full_data": [dict(zip(GROUP, group, strict=True)) | {"test_error": error} for group, error in levels],
        "best": _records(best[shown]),
        "curves": _records(curves),
    }


def _with_worst_class(curves: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    error = "worst_class_error"
    columns = [f"{error}_mean", f"{error}_se"]
    if table[error].isna().all():
        return curves.assign(**dict.fromkeys(columns, float("nan")))
    return curves.merge(summarise(table, error)[[*CELL, *columns]], on=CELL, how="left")


def _places(rules: Sequence[str] | pd.Series) -> list[int]:
    order = {rule: place for place, rule in enumerate(rule_order(rules))}
    return [order[rule] for rule in rules]


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    plain = frame.astype(object)
    return plain.where(frame.notna(), None).to_dict("records")  # type: ignore[return-value]
