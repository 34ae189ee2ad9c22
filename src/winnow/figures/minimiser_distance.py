"""How far pruning moves the minimiser, as the data grow: what is a bias stays, what is variance goes."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from winnow.core.types import Floats
from winnow.figures.style import GREY, Drawing, house_style, plain_log_ticks
from winnow.theory.logistic import Linear, Logistic, distances

SIZES = (200, 500, 1000, 3000, 10_000, 30_000)
LOOKS: dict[str, dict] = {
    "hardest": {"color": "#0072B2", "marker": "o", "linestyle": "-"},
    "approximate": {"color": "#E69F00", "marker": "s", "linestyle": (0, (6, 1.5, 1, 1.5))},
    "random": {"color": "black", "marker": ".", "linestyle": "-"},
    "exact": {"color": "#D55E00", "marker": "^", "linestyle": (0, (5, 1.5))},
}
TOYS = {
    "logistic regression": Logistic(),
    "linear regression, skewed noise": Linear(noise="skewed"),
    "linear regression, symmetric noise": Linear(noise="normal"),
}


def minimiser_distance(r: float = 0.2, alpha: float = 0.5, seeds: int = 20, sizes: Sequence[int] = SIZES) -> Drawing:
    """`draw` of the three toys at fraction kept r and signal fraction alpha; seeds: how many data sets at each size.

    The distance is to the minimiser on all examples of the same data set. Raises what winnow.theory.logistic raises.
    """
    found = {
        name: distances(toy, sizes, rules=tuple(LOOKS), r=r, alpha=alpha, seeds=range(seeds))
        for name, toy in TOYS.items()
    }
    return draw(found, sizes=sizes, rules=tuple(LOOKS), r=r, alpha=alpha)


def draw(found: Mapping[str, Floats], *, sizes: Sequence[int], rules: Sequence[str], r: float, alpha: float) -> Drawing:
    """Mean distance over seeds against n, both axes logarithmic, with one standard error either way; a panel a toy.

    found: name -> distances [rules, sizes, seeds]. The table has mean and standard error of each, toy for toy.
    """
    lines = [
        {"toy": name, "rule": rule, "n": n, "data_sets": each.size, "distance": each.mean(), "distance_se": _se(each)}
        for name, values in found.items()
        for rule, by_size in zip(rules, values, strict=True)
        for n, each in zip(sizes, by_size, strict=True)
    ]
    with house_style():
        figure = Drawing(pd.DataFrame(lines), (3.1 * len(found) + 1.5, 3.3))
        panels = figure.subplots(1, len(found), sharey=True, squeeze=False)[0]
        for (name, values), axes in zip(found.items(), panels, strict=True):
            _panel(axes, values, sizes, rules)
            axes.set_title(name, loc="left")
        low, high = min(v.mean(axis=2).min() for v in found.values()), max(v.mean(axis=2).max() for v in found.values())
        plain_log_ticks(panels[0].yaxis, low / 3, high * 1.6)
        panels[0].set_ylim(low / 3, high * 1.6)
        panels[0].set_ylabel("distance to the minimiser on all n")
        names = {"exact": f"exact, α = {alpha:g}", "approximate": f"approximate, α = {alpha:g}"}
        handles, labels = panels[0].get_legend_handles_labels()
        handles, labels = [*handles[1:], handles[0]], [*labels[1:], labels[0]]  # the guide comes after the rules
        figure.legend(
            handles,
            [names.get(label, label) for label in labels],
            loc="outside right upper",
            title=f"r = {r:g}, mean over {next(iter(found.values())).shape[2]}\ndata sets, ± 1 s.e.",
            title_fontsize=8,
            alignment="left",
            handlelength=3.2,
        )
    return figure


def _se(values: Floats) -> float:
    """Standard error of the mean, NaN for a single value."""
    return float(values.std(ddof=1) / np.sqrt(values.size)) if values.size > 1 else np.nan


def _panel(axes: Axes, values: Floats, sizes: Sequence[int], rules: Sequence[str]) -> None:
    n = np.array(sizes, dtype=float)
    for rule, distance in zip(rules, values, strict=True):
        mean = distance.mean(axis=1)
        axes.errorbar(
            n, mean, yerr=[_se(each) for each in distance], label=rule, capsize=2, elinewidth=0.9, **LOOKS.get(rule, {})
        )
    slope = 0.5 * values.mean(axis=2)[:, 0].min() * np.sqrt(n[0] / n)
    axes.plot(n, slope, color=GREY, linestyle=(0, (1, 2)), linewidth=1, label="slope of n$^{-1/2}$")
    axes.set_xscale("log")
    axes.set_yscale("log")
    plain_log_ticks(axes.xaxis, n[0] / 1.2, n[-1] * 1.2)
    axes.set_xlim(n[0] / 1.2, n[-1] * 1.2)
    axes.set_xlabel("examples n, of which r n are kept")
