"""Whether a rule's shift vanishes as the data grow and the fraction kept stays: distance against n."""

from pathlib import Path

import numpy as np
import pandas as pd

from winnow.core.errors import OptionError
from winnow.figures.shift import DISTANCES, draw_lines, draw_null, legend_handles, log_axes, one_of_each
from winnow.figures.style import Drawing, house_style, selector_looks
from winnow.store.shifts import read_shifts


def from_table(table: str | Path, r: float = 0.1) -> Drawing:
    """`shift_against_n` of the table in a CSV file. Raises WinnowError where it cannot be read."""
    return shift_against_n(read_shifts(table), r=r)


def shift_against_n(table: pd.DataFrame, *, r: float = 0.1) -> Drawing:
    """The distances in the embedding at fraction kept r against the examples n selected from, both axes logarithmic.

    Only rules with at least two sizes are drawn: means over seeds, with one standard error either way where there are
    three or more. Grey: up to the 95% quantile of random subsets of the same size.

    Raises OptionError for several data sets or metrics, or where no rule has two sizes at r.
    """
    part = one_of_each(table)
    part = part[np.isclose(part["r"], r)]
    part = part[part.groupby("rule")["n"].transform("nunique") > 1]
    if part.empty:
        raise OptionError(f"no rule has two sizes at figure.r={r}; sweep diagnose.n and keep compression.r={r}.")
    names = list(DISTANCES)[:2]
    by_size = part.groupby(["rule", "weighted", "n"])
    curves = by_size.mean(numeric_only=True)
    spread = by_size[names].sem().where(by_size.size() >= 3)
    curves = curves.join(spread.add_suffix("_se")).reset_index()
    looks = selector_looks(part["rule"])
    with house_style():
        figure = Drawing(curves, (8.6, 3.4))
        for axes, name in zip(figure.subplots(1, len(names)), names, strict=True):
            draw_null(axes, curves, "n", name)
            draw_lines(axes, curves, "n", name, looks)
            log_axes(axes, curves["n"])
            axes.set_xlabel(f"examples n, of which {r:g} n are kept")
            axes.set_ylabel(DISTANCES[name])
        most = int(by_size.size().max())
        title = f"r = {r:g}" + (f", mean over {most} seeds\n(± 1 s.e. where 3 or more)" if most > 1 else "")
        figure.legend(
            handles=legend_handles(part, looks), loc="outside right upper", title=title, title_fontsize=8,
            alignment="left", handlelength=3.2,
        )  # fmt: skip
    return figure
