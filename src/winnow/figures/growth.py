"""Whether what each stage costs grows as the data do: processor seconds and memory against n, n doubled thrice."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from winnow.core.errors import OptionError
from winnow.figures.style import GREY, Drawing, house_style, rule_looks
from winnow.scaling.growth import COSTS, growth_exponents


def from_table(table: str | Path) -> Drawing:
    """`growth` of the CSV file that scripts/bench/growth.py --out left. Raises OptionError where it cannot be read."""
    try:
        return growth(pd.read_csv(table))
    except (OSError, KeyError, pd.errors.ParserError) as error:
        raise OptionError(f"figure.table={table} is no table of scripts/bench/growth.py ({error}).") from error


def growth(table: pd.DataFrame) -> Drawing:
    """Each stage's costs in multiples of those at its smallest n, against multiples of that n, both logarithmic.

    A marker is one measurement, a line their geometric means, grey what grows as n does; the legend gives the exponent
    with its 95% interval (`growth_exponents`).
    """
    fitted = growth_exponents(table).set_index(["cost", "stage"])
    stages = list(dict.fromkeys(table["stage"]))
    looks = rule_looks(stages)
    drawn = table.assign(times_n=table["n"] / table.groupby("stage")["n"].transform("min"))
    for cost in COSTS:
        first = drawn[drawn["times_n"] == 1].groupby("stage")[cost].apply(lambda each: np.exp(np.log(each).mean()))
        drawn[f"times_{cost}"] = drawn[cost] / drawn["stage"].map(first)
    with house_style():
        figure = Drawing(drawn, (8.0, 3.6))
        for axes, cost in zip(figure.subplots(1, len(COSTS)), COSTS, strict=True):
            multiples = sorted({float(each) for each in drawn["times_n"]})
            axes.plot(multiples, multiples, color=GREY, linewidth=5, alpha=0.3, label="as n")
            for stage in stages:
                part = drawn[drawn["stage"] == stage]
                means = np.exp(np.log(part[f"times_{cost}"]).groupby(part["times_n"]).mean())
                look = looks[stage]
                slope = fitted.loc[(cost, stage)]
                label = f"{stage}: {slope['exponent']:.2f} [{slope['low']:.2f}, {slope['high']:.2f}]"
                axes.plot(means.index, means, label=label, **look)
                axes.plot(part["times_n"], part[f"times_{cost}"], **look | {"linestyle": "none", "alpha": 0.4})
            axes.set_xscale("log")
            axes.set_yscale("log")
            for axis in (axes.xaxis, axes.yaxis):
                axis.set_major_locator(FixedLocator(multiples))
                axis.set_major_formatter(FuncFormatter(lambda value, _: f"× {value:g}"))
                axis.set_minor_locator(NullLocator())
            axes.set_xlabel("examples (of collect: rows)")
            axes.set_ylabel(COSTS[cost])
            axes.legend(title="exponent, 95%", title_fontsize=8, alignment="left")
    return figure
