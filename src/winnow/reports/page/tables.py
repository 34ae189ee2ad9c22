"""The tables of the page, as plain cells of text and what to sort them by."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from winnow.reports.page.numbers import UNKNOWN, clock, counted, interval, large, signed, why_unknown, with_se
from winnow.scaling.costs import total
from winnow.scaling.fits_table import SIGNIFICANT
from winnow.scaling.grid import CELL, GROUP, RANDOM, full_data_error, rule_order, summarise

CLASSES = 30  # lines of the table of classes


@dataclass(frozen=True)
class Cell:
    """text: as shown. value: to sort by, where it is not the text. strong, faint: how it is set."""

    text: str
    value: float | None = None
    strong: bool = False
    faint: bool = False


@dataclass(frozen=True)
class Column:
    """A head; words: whether the column holds words, which are set to the left."""

    head: str
    words: bool = False


@dataclass(frozen=True)
class Table:
    """lines: of cells, one for each column. notes: what is said below. sortable: whether a click on a head sorts."""

    columns: list[Column]
    lines: list[list[Cell]]
    title: str = ""
    notes: list[str] = field(default_factory=list)
    sortable: bool = False


def group_title(group: Sequence[str]) -> str:
    return ", ".join(map(str, group))


def groups_of(table: pd.DataFrame) -> list[tuple[list[str], pd.DataFrame]]:
    """Each (dataset, model, recipe) with its rows."""
    return [(list(map(str, group)), part) for group, part in table.groupby(GROUP)]


def matrix(table: pd.DataFrame) -> list[Table]:
    """Rule by size: mean error ± standard error in percent, the lowest of each size set strong; a table a group."""
    found = []
    for group, part in groups_of(table):
        curves = summarise(part)
        kept = sorted(set(curves["n_kept"]))
        fractions = curves.groupby("n_kept")["r"].first()
        lowest = curves[curves["n_kept"] < part["n"].max()].groupby("n_kept")["test_error_mean"].min()
        at = curves.set_index(["rule", "n_kept"])
        lines = []
        for rule in rule_order(curves["rule"]):
            cells = [Cell(rule)]
            for m in kept:
                if (rule, m) not in at.index:
                    cells.append(Cell("–", faint=True))
                    continue
                mean, se = _mean_se(at.loc[[(rule, m)]])
                cells.append(Cell(with_se(mean, se), mean, strong=mean == lowest.get(m)))
            lines.append(cells)
        heads = [Column(f"r = {fractions[m]:.4g}\n{m:,} kept") for m in kept]
        found.append(Table([Column("rule", words=True), *heads], lines, group_title(group), _unknown_notes(curves)))
    return found


def _mean_se(line: pd.DataFrame) -> tuple[float, float]:
    """Of a single line of `summarise`."""
    return float(line["test_error_mean"].iloc[0]), float(line["test_error_se"].iloc[0])


def _unknown_notes(curves: pd.DataFrame) -> list[str]:
    """Why some means have no standard error: `why_unknown`, once for each reason."""
    without = curves[curves["test_error_se"].isna()].assign(pairs=2)
    reasons: dict[str, list[str]] = {}
    for _, line in without.groupby(["rule", "n_kept"]):
        reasons.setdefault(why_unknown(line), []).append(str(line["rule"].iloc[0]))
    return [f"± {UNKNOWN}: {', '.join(rule_order(rules))}: {reason}." for reason, rules in reasons.items()]


def grid_lines(table: pd.DataFrame, compared: pd.DataFrame | None) -> Table:
    """Every rule and size in a line: error, difference from random, replicates, effective sample size and cost."""
    curves = summarise(table)
    costs = table.assign(cost=total(table)).groupby(CELL, as_index=False)["cost"].mean()
    curves = curves.merge(costs, on=CELL)
    worst = bool(table["worst_class_error"].notna().any())
    if worst:
        error = "worst_class_error"
        curves = curves.merge(summarise(table, error)[[*CELL, f"{error}_mean", f"{error}_se"]], on=CELL, how="left")
    if compared is not None:
        wanted = [*CELL, "difference", "low", "high", "p_holm"]
        curves = curves.merge(compared[wanted], on=CELL, how="left")
    varied = [name for name in GROUP if curves[name].nunique() > 1]
    columns = [Column(name, words=True) for name in [*varied, "rule"]]
    columns += [Column(head) for head in ("r", "kept", "test error, %")]
    columns += [Column(f"minus {RANDOM}, points")] * (compared is not None) + [Column("worst class, %")] * worst
    columns += [Column(head) for head in ("replicates", "effective sample", "examples seen", "multiply-adds")]
    place = {rule: i for i, rule in enumerate(rule_order(curves["rule"]))}
    curves = curves.assign(place=curves["rule"].map(place)).sort_values([*GROUP, "n_kept", "place"])
    lines = []
    for line in curves.to_dict("records"):
        cells = [Cell(str(line[name])) for name in [*varied, "rule"]]
        cells += [Cell(f"{line['r']:.4g}", line["r"]), Cell(f"{line['n_kept']:,}", line["n_kept"])]
        cells += [Cell(with_se(line["test_error_mean"], line["test_error_se"]), line["test_error_mean"])]
        if compared is not None:
            cells.append(_difference(line))
        if worst:
            mean, se = line["worst_class_error_mean"], line["worst_class_error_se"]
            cells.append(_dash() if np.isnan(mean) else Cell(with_se(mean, se), mean))
        cells += [Cell(f"{line['clusters']:,}", line["clusters"])]
        cells += [Cell(f"{line[name]:,.0f}", line[name]) for name in ("effective_sample_size", "examples_seen")]
        cells += [Cell(large(line["cost"]), line["cost"])]
        lines.append(cells)
    return Table(columns, lines, sortable=True)


def _dash() -> Cell:
    return Cell("–", faint=True)


def _difference(line: Mapping[Any, Any]) -> Cell:
    """Minus random, with its interval; only a mark where no interval exists."""
    if np.isnan(line["difference"]):
        return _dash()
    if np.isnan(line["low"]):
        return Cell(UNKNOWN, line["difference"], faint=True)
    told = line["p_holm"] < SIGNIFICANT
    shown = f"{signed(line['difference'])} ({interval(line['low'], line['high'])}){'*' if told else ''}"
    return Cell(shown, line["difference"], strong=told)


def class_lines(table: pd.DataFrame, class_errors: pd.DataFrame) -> list[Table]:
    """The test error of each class at the smallest size, a column a rule, beside that of all data; a table a group.

    table: the grid. class_errors: of its models by `key` of the row, with class, name, n_test and test_error. Of many
    classes those of the largest mean error over the rules are shown, which is partly chance, and said.
    """
    joined = table.drop(columns=["test_error", "n_test"]).merge(class_errors, on="key")
    found = []
    for group, part in groups_of(joined):
        whole = part["n_kept"] == part["n"]
        smallest = part["n_kept"].min()
        all_data = part[whole].assign(rule="all data").drop_duplicates(["train_seed", "class"])
        shown = pd.concat([all_data, part[(part["n_kept"] == smallest) & ~whole]])
        rules = [*(["all data"] if len(all_data) else []), *rule_order(set(shown["rule"]) - {"all data"})]
        # at once: what is summarised apart by recipe, of which there is one here, is apart by class
        errors = summarise(shown.assign(recipe=shown["class"].astype(str))).astype({"recipe": "int64"})
        means = {(line["rule"], line["recipe"]): line for line in errors.to_dict("records")}
        first = part.drop_duplicates("class").set_index("class")
        names, tested = first["name"].astype(str).to_dict(), first["n_test"].astype(int).to_dict()
        ranked = errors.groupby("recipe")["test_error_mean"].mean().sort_values(ascending=False, kind="stable").index
        lines = []
        for label in sorted(ranked[:CLASSES]):
            cells = [Cell(names[label]), Cell(f"{tested[label]:,}", tested[label])]
            for rule in rules:
                line = means.get((rule, label))
                cells.append(_dash() if line is None else _class_error(line))
            lines.append(cells)
        r = part.loc[part["n_kept"] == smallest, "r"].iloc[0]
        notes = [
            "Strong: half of the class or more is wrong. ± 0.0: all replicates agree, as they may on few test images."
        ]
        if len(ranked) > CLASSES:
            notes.append(f"{CLASSES} of {len(ranked):,} classes: those of the largest error, which is partly chance.")
        notes += _unknown_notes(errors)
        columns = [Column("class", words=True), Column("tested"), *map(Column, rules)]
        title = f"{group_title(group)}, r = {r:.4g} ({smallest:,} kept)"
        found.append(Table(columns, lines, title, notes, sortable=True))
    return found


def _class_error(line: Mapping[Any, Any]) -> Cell:
    mean = line["test_error_mean"]
    return Cell(with_se(mean, line["test_error_se"]), mean, strong=mean >= 0.5)


def cost_lines(table: pd.DataFrame) -> list[Table]:
    """What a cell of each rule costs at the smallest size, in multiply-adds, scoring charged in full."""
    costs = table.assign(cost=total(table), training=table["examples_seen"] * table["multiply_adds"].astype("float64"))
    costs = costs[costs["cost"].notna()]
    found = []
    for group, part in groups_of(costs):
        smallest = part["n_kept"].min()
        means = part[part["n_kept"] == smallest].groupby("rule")[["training", "cost"]].mean()
        lines = []
        for rule in rule_order(means.index):
            training, cost = means.loc[rule]
            ratio = cost / means.at[RANDOM, "cost"] if RANDOM in means.index else np.nan
            cells = [Cell(rule), Cell(large(cost - training), cost - training), Cell(large(training), training)]
            times = _dash() if np.isnan(ratio) else Cell(f"{ratio:.3g}", ratio)
            lines.append([*cells, Cell(large(cost), cost), times])
        r = part.loc[part["n_kept"] == smallest, "r"].iloc[0]
        heads = ("scoring", "training", "together", f"times {RANDOM}")
        title = f"{group_title(group)}, r = {r:.4g} ({smallest:,} kept)"
        found.append(Table([Column("rule", words=True), *map(Column, heads)], lines, title))
    return found


def time_lines(table: pd.DataFrame) -> Table:
    """Seconds of wall-clock that the trainings of each rule took."""
    lines = []
    by_rule = {str(rule): seconds for rule, seconds in table.groupby("rule")["seconds"]}
    for rule in rule_order(by_rule):
        seconds = by_rule[rule]
        cells = [Cell(rule), Cell(f"{len(seconds):,}", len(seconds))]
        cells += [
            Cell(clock(value), value) for value in (seconds.min(), seconds.median(), seconds.max(), seconds.sum())
        ]
        lines.append(cells)
    heads = ("cells", "shortest", "median", "longest", "all")
    note = "Of the training of each cell's model, as its row has it; a model that several rules share counts with each."
    return Table([Column("rule", words=True), *map(Column, heads)], lines, notes=[note], sortable=True)


def plan_lines(table: pd.DataFrame, plan: Mapping[str, Any]) -> Table:
    """What was planned beside what came of it, of the trainings. plan: see planning.plan.Plan.told."""
    once = table.drop_duplicates(["model", "n_kept", "train_seed", "test_loss", "seconds"])  # rules share trainings
    actual = (len(once), int(once["examples_seen"].sum()), float(once["seconds"].sum()))
    most = "at most " * bool(plan["at_most"])
    planned = (f"{most}{plan['trainings']:,}", f"{most}{plan['examples']:,}", _clock_or_unknown(plan["seconds"]))
    shown = (f"{actual[0]:,}", f"{actual[1]:,}", clock(actual[2]))
    names = ("trainings", "examples shown in them", "their time, one after another")
    lines = [[Cell(name), Cell(one), Cell(other)] for name, one, other in zip(names, planned, shown, strict=True)]
    note = f"Planned when {plan['to_run']:,} of {plan['cells']:,} cells were to run, on {plan['device']}."
    return Table([Column("", words=True), Column("planned"), Column("actual")], lines, notes=[note])


def _clock_or_unknown(seconds: float | None) -> str:
    return "unknown" if seconds is None else clock(seconds)


def facts(table: pd.DataFrame, *, done: int, failed: int, missing: int) -> list[tuple[str, str]]:
    """What is at hand, in a few words each: cells, examples, replicates."""
    cells = counted(done, "finished cell")
    cells += f", {failed:,} failed" * (failed > 0) + f", {missing:,} not finished" * (missing > 0)
    replicates = summarise(table)["clusters"]
    low, high = int(replicates.min()), int(replicates.max())
    sizes = table["n"]
    levels = [level for level in full_data_error(table).values() if level is not None]
    shown = [
        ("cells", cells),
        ("rules", f"{table['rule'].nunique()}"),
        ("fractions kept", ", ".join(f"{r:.3g}" for r in sorted(set(table["r"])))),
        ("replicates", f"{low}" if low == high else f"{low} to {high}"),
        ("training examples", f"{sizes.max():,}" if sizes.nunique() == 1 else f"{sizes.min():,} to {sizes.max():,}"),
        ("test examples", f"{table['n_test'].max():,}"),
    ]
    return shown if levels else [*shown, ("all data", "not trained on")]
