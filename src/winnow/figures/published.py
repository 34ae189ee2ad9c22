"""Numbers that papers print, to be drawn beside ours: published.csv, each with its source."""

import re
from functools import cache
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes

FILE = Path(__file__).with_name("published.csv")


@cache
def points() -> pd.DataFrame:
    """dataset, model, source, note (of the protocol or the definition), rule, r and accuracy in percent."""
    return pd.read_csv(FILE)


def plain_rule(rule: str) -> str:
    """A rule without its variants and numbers: "aum[probability] ccs[aum] cifar10" is "aum ccs"."""
    return " ".join(re.sub(r"\[[^]]*\]", "", rule).split()[:2])


def published_of(dataset: str, rules: list[str]) -> pd.DataFrame:
    """The points of a data set, by its name in rows, for those of the rules that have any, as `rule` in rows.

    A data set made from the published one, such as cifar10-jpeg, is taken for it; variants of a metric are one rule.
    """
    known = points()
    known = known[[bool(re.match(rf"{name}(?!\d)", dataset)) for name in known["dataset"]]]
    parts = [known[known["rule"] == plain_rule(rule)].assign(rule=rule) for rule in rules]
    return pd.concat(parts, ignore_index=True).assign(error=lambda found: 1 - found["accuracy"] / 100)


def draw(axes: Axes, found: pd.DataFrame, n: int, looks: dict[str, dict]) -> None:
    """Hollow marks of their rules' look, without a line, at r n examples."""
    for rule, line in found.groupby("rule"):
        look = looks[str(rule)] | {"linestyle": "none", "fillstyle": "none", "markersize": 7, "zorder": 3}
        look |= {"marker": "o"} if look["marker"] == "." else {}
        axes.plot(n * line["r"], line["error"], **look)


def caption(found: pd.DataFrame) -> str:
    """What the hollow marks are and where they are from."""
    told = []
    for source, part in found.groupby("source", sort=False):
        notes = dict.fromkeys(note for notes in part["note"] for note in notes.split("; "))
        told.append(f"{source} ({'; '.join([part['model'].iloc[0], *notes])})")
    return "hollow: published, " + "; ".join(told)
