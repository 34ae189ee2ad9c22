"""What a grid says to the question of the project, in sentences made from its numbers and their uncertainty."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from winnow.reports.page.numbers import MINUS, chance, counted, interval, listed, percent, signed, why_unknown, with_se
from winnow.scaling.fits import RuleFits
from winnow.scaling.fits_table import SIGNIFICANT, exponent
from winnow.scaling.fits_table import floor as floor_of
from winnow.scaling.grid import GROUP, RANDOM, Group, summarise
from winnow.scaling.laws import LawFit
from winnow.scaling.replicates import PAIR

SHOWN = 3  # rules that a sentence names


@dataclass(frozen=True)
class Answer:
    """Of one (dataset, model, recipe). sentences: of what was compared, in text; nothing in them is markup."""

    group: Group
    question: str
    sentences: list[str]


def answers(table: pd.DataFrame, fits: Sequence[RuleFits], compared: pd.DataFrame | None) -> list[Answer]:
    """An answer for each (dataset, model, recipe): at the smallest size, at the others, and how the error scales.

    table: a grid with at least one row. fits: of `fit_rules`. compared: of `paired.differences`, whose comparisons are
    one family for Holm's correction; None where the grid has no row of random.
    """
    found = []
    for group in dict.fromkeys(map(tuple, table[GROUP].sort_values(GROUP).to_numpy().tolist())):
        dataset, model, recipe = map(str, group)
        rows = table[(table[GROUP] == list(group)).all(axis=1)]
        question = (
            f"Which part of {dataset} does {model} need, and how does its test error scale once the rest is gone?"
        )
        told = [_no_baseline()] if compared is None else _Comparisons(compared, rows).sentences()
        ours = [each for each in fits if each.group == (dataset, model, recipe)]
        found.append(Answer((dataset, model, recipe), question, [*told, _scaling(ours, rows)]))
    return found


def _no_baseline() -> str:
    return f"The grid has no rows of the rule {RANDOM}, so nothing is compared; run selector=random on the same seeds."


class _Comparisons:
    """The paired differences from random in one group. family: how many of all groups have a p."""

    def __init__(self, compared: pd.DataFrame, rows: pd.DataFrame) -> None:
        group = rows[GROUP].iloc[0]
        self.n = int(rows["n"].max())
        self.asked = rows.groupby("n_kept")["r"].first()  # as the user has it, not n_kept / n
        self.family = int(compared["p"].notna().sum())
        pairs = rows.groupby(["rule", "n_kept"]).apply(lambda part: len(part[PAIR].drop_duplicates())).rename("pairs")
        lines = compared[(compared[GROUP] == group).all(axis=1)]
        self.lines = lines.join(pairs, on=["rule", "n_kept"])
        self.said = False
        self.known = self.lines[self.lines["low"].notna()].sort_values("difference", kind="stable")
        told = self.known[self.known["p_holm"] < SIGNIFICANT]
        self.gains, self.losses = told[told["difference"] < 0], told[told["difference"] > 0]

    def sentences(self) -> list[str]:
        if self.lines.empty:
            return [
                f"No rule was run on the same seeds as {RANDOM} below r = 1, so nothing is compared; run both on them."
            ]
        smallest = int(self.lines["n_kept"].min())
        return [self._at(smallest), *self._elsewhere(smallest)]

    def _at(self, kept: int) -> str:
        place = f"At r = {self.asked[kept]:.3g} ({kept:,} of {self.n:,} examples kept)"
        here, known = (each[each["n_kept"] == kept] for each in (self.lines, self.known))
        without = here[here["low"].isna()]
        if known.empty:
            return (
                f"{place} nothing tells whether a rule beats {RANDOM}: no interval exists, as {why_unknown(without)}."
            )
        gains, losses = (each[each["n_kept"] == kept] for each in (self.gains, self.losses))
        best = known.iloc[0]
        if len(gains):
            others = [str(rule) for rule in gains["rule"].iloc[1:]]
            more = f"; so {'does' if len(others) == 1 else 'do'} {_some(others)}" if others else ""
            sentence = f"{place} {best['rule']} beats {RANDOM} by {self._by(best)}{more}"
        elif len(losses) == len(here):
            sentence = f"{place} every rule does worse than {RANDOM}, {best['rule']} least, by {self._by(best)}"
        else:
            sentence = (
                f"{place} no rule is shown to beat {RANDOM}: the best, {best['rule']}, differs by "
                f"{signed(best['difference'])} points ({self._certainty(best)})"
            )
        if len(without):
            named = _some([str(rule) for rule in without["rule"]])
            sentence += f"; of {named} no interval exists, as {why_unknown(without)}"
        return f"{sentence}."

    def _elsewhere(self, smallest: int) -> list[str]:
        larger = self.known[self.known["n_kept"] > smallest]
        gains = self.gains[self.gains["n_kept"] > smallest]
        parts = []
        if len(gains) > 1:
            parts.append(
                f"at larger sizes {len(gains)} of {len(larger)} comparisons show a rule to beat {RANDOM}, most of all "
                f"{self._where(gains.iloc[0])}"
            )
        elif len(gains):
            parts.append(f"of the larger sizes only one shows a rule to beat {RANDOM}: {self._where(gains.iloc[0])}")
        elif len(larger):
            best = larger.iloc[0]
            parts.append(
                f"at larger sizes no rule is shown to beat {RANDOM}: the best, {best['rule']} at r = {self._r(best)}, "
                f"differs by {signed(best['difference'])} points ({self._certainty(best)})"
            )
        if len(self.losses):
            are = "is" if len(self.losses) == 1 else "are"
            most = "" if len(self.losses) == 1 else "most of all "
            parts.append(
                f"{len(self.losses)} of {counted(len(self.known), 'comparison')} {are} shown to be worse, "
                f"{most}{self._where(self.losses.iloc[-1])}"
            )
        if not parts:
            return []
        sentence = "; ".join(parts)
        return [f"{sentence[0].upper()}{sentence[1:]}."]

    def _r(self, line: pd.Series) -> str:
        return f"{self.asked[line['n_kept']]:.3g}"

    def _where(self, line: pd.Series) -> str:
        return f"{line['rule']} at r = {self._r(line)}, by {self._by(line)}"

    def _by(self, line: pd.Series) -> str:
        """By how much, whichever of the two is the better: the sentence says which."""
        return f"{percent(abs(line['difference']))} points ({self._certainty(line, ahead=line['difference'] < 0)})"

    def _certainty(self, line: pd.Series, *, ahead: bool = False) -> str:
        """Interval and p, the first time with what p is corrected for. ahead: the interval is of random minus rule."""
        low, high = (-line["high"], -line["low"]) if ahead else (line["low"], line["high"])
        corrected = (
            f" after Holm's correction over {self.family} comparisons" if self.family > 1 and not self.said else ""
        )
        self.said = True
        return f"95% interval {interval(low, high)}, {chance(line['p_holm'])}{corrected}"


def _some(names: list[str]) -> str:
    """The first names, and how many more there are."""
    more = len(names) - SHOWN
    return listed([*names[:SHOWN], f"{more} more"] if more > 0 else names)


def _scaling(fits: Sequence[RuleFits], rows: pd.DataFrame) -> str:
    """How the error of random, or where it was not run of the first rule, falls with n, and the error of all data."""
    first = next((each for each in fits if each.rule == RANDOM), fits[0])
    if first.best is None:
        return f"How the error of {first.rule} scales is not told: {next(iter(first.refusals.values()))}"
    return f"Under the rule {first.rule} the test error {_law(first.best)}{_all_data(rows)}."


def _law(fitted: LawFit) -> str:
    """The law of lowest AICc, with the 95% intervals of its parameters."""
    by = "in the n examples kept, by the law of lowest AICc"
    floor = f", and a floor of {_shown(floor_of(fitted), fitted)}" if "c" in fitted.parameters else ""
    if fitted.law.startswith("exponential"):
        return f"scales as e^(−b n) {by}{floor}"
    return f"scales as n^(−b) {by}: b = {_shown(exponent(fitted), fitted)}{floor}"


def _shown(parameter: str, fitted: LawFit) -> str:
    text = parameter.replace("-", MINUS)
    return text.replace("(", "(95% interval ") if fitted.intervals else text


def _all_data(rows: pd.DataFrame) -> str:
    whole = rows[rows["n_kept"] == rows["n"]].drop_duplicates("train_seed").assign(rule=RANDOM)
    if whole.empty:
        return ""
    all_data = summarise(whole).iloc[0]
    if np.isnan(all_data["test_error_se"]):
        return ""
    mean = with_se(all_data["test_error_mean"], all_data["test_error_se"])
    return f"; all {int(whole['n'].max()):,} examples give an error of {mean} percent (one standard error)"
