"""The house style of the figures: settings, the look of each rule, tick labels, saving."""

import zlib
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal, TypeVar

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from winnow.core.errors import OptionError
from winnow.core.types import Floats
from winnow.store.writing import replaced_at_once, writing

T = TypeVar("T")

SETTINGS: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "0.9",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.2,
    "lines.markersize": 5,
    "lines.markeredgewidth": 1.1,
}
GREY = "0.45"
DISTINCT = 6  # looks before hues come again with another marker

# Okabe and Ito's colours, which stay apart for colour-blind readers, without the yellow, too pale for a line on white.
# A metric also has its own marker and a selector its own line and filling, so that lines stay apart in grey; the two
# hues that differ most in grey come first.
_BLUE, _VERMILION, _GREEN, _PURPLE, _ORANGE, _SKY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"
_METRIC_LOOKS = [
    (_BLUE, "o"), (_ORANGE, "s"), (_VERMILION, "^"), (_GREEN, "D"), (_PURPLE, "v"), (_SKY, "p"),
    (_BLUE, "X"), (_ORANGE, "<"), (_VERMILION, "P"), (_GREEN, ">"), (_PURPLE, "h"), (_SKY, "d"),
]  # fmt: skip
_METRICS = {name: _METRIC_LOOKS[i] for i, name in enumerate(("el2n", "forgetting", "grand", "aum", "loss"))}
_LINES: list[Any] = ["-", (0, (5, 1.5)), (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5)), (0, (3, 1, 1, 1, 1, 1)), (0, (9, 3))]
_SELECTORS = {name: _LINES[i] for i, name in enumerate(("hardest", "exact", "easiest", "approximate"))}
_SELECTOR_LOOKS = {
    "hardest": (_BLUE, "o"),
    "exact": (_VERMILION, "^"),
    "easiest": (_GREEN, "D"),
    "approximate": (_ORANGE, "s"),
}
_FILLINGS: list[Any] = ["none", "left", "bottom", "right", "top", "full"]


class Drawing(Figure):
    """A figure that knows its numbers: `table`, one line for each point or cell drawn, for a reader without the code.

    size: inches. scripts/figures.py writes the table beside the figure.
    """

    def __init__(self, table: pd.DataFrame, size: tuple[float, float]) -> None:
        super().__init__(figsize=size, layout="constrained")
        self.table = table


def house_style() -> AbstractContextManager[None]:
    """Settings of every figure, for the extent of a `with` block."""
    return matplotlib.rc_context(SETTINGS)


def rule_looks(rules: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Line arguments (colour, marker, line style, filling) for each rule, such as "random" or "el2n exact 0.5".

    Random is black. The first word is the metric, which keeps its hue and marker in every figure; the second is the
    selector, which keeps its line style; rules that differ in the rest (alpha) differ in the filling of the marker.
    Names without a place of their own get one by a hash, moved on where another rule of the figure has it.
    """
    names = sorted(set(rules) - {"random"})
    words = {rule: [*rule.split(" ", 2), "", ""][:3] for rule in names}
    metrics = _assign((word[0] for word in words.values()), _METRICS, _METRIC_LOOKS)
    selectors = _assign((word[1] for word in words.values()), _SELECTORS, _LINES)
    looks: dict[str, dict[str, Any]] = {
        "random": {"color": "black", "marker": ".", "linestyle": "-", "linewidth": 1.6, "zorder": 2.5}
    }
    for rule, (metric, selector, rest) in words.items():
        colour, marker = metrics[metric]
        variants = [other[2] for other in words.values() if other[:2] == [metric, selector]]
        filling = _FILLINGS[variants.index(rest) % len(_FILLINGS)] if rest else "full"
        looks[rule] = {
            "color": colour,
            "marker": marker,
            "linestyle": selectors[selector],
            "fillstyle": filling,
            "markerfacecoloralt": "none",
            # open markers larger and above the full ones, so that both are seen where lines meet
            "markersize": 4.2 if filling == "full" else 6,
            "zorder": 2.2 if filling == "full" else 2.4,
        }
    return looks


def selector_looks(rules: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Line arguments like those of `rule_looks`; where all rules are of one metric, hues tell the selectors apart."""
    looks = rule_looks(rules)
    if len({rule.split(" ")[0] for rule in looks} - {"random"}) == 1:
        for rule, look in looks.items():
            selector = rule.split(" ")[1] if rule != "random" else ""
            if selector in _SELECTOR_LOOKS:
                look["color"], look["marker"] = _SELECTOR_LOOKS[selector]
    return looks


def _assign(names: Iterable[str], known: dict[str, T], looks: Sequence[T]) -> dict[str, T]:
    wanted = sorted(set(names), key=lambda name: (name not in known, name))
    given: dict[str, T] = {}
    for name in wanted:
        start = zlib.crc32(name.encode()) % DISTINCT
        order = [*looks[start:DISTINCT], *looks[:start], *looks[DISTINCT:]]
        free = [look for look in order if look not in given.values()]
        given[name] = known.get(name) or (free or looks)[0]
    return given


def log_bars(mean: Floats, se: Floats, zero: float) -> Floats:
    """[2, k] lengths of bars of one standard error, down and up, for a logarithmic axis.

    Where mean − se is not above `zero`, the least error that is drawn, the end below is mean · exp(−se / mean), one
    standard error of log(mean) by the delta method, which no axis has to cut off: an error is not negative, however
    wide its interval. NaN, no bar, where the standard error is NaN.
    """
    low = np.where(mean - se > zero, mean - se, mean * np.exp(-se / mean))
    return np.stack([mean - np.where(np.isnan(se), np.nan, low), se])


def plain_log_ticks(axis: Axis, low: float, high: float, *, unit: Literal["", "%"] = "") -> None:
    """Label a logarithmic axis from low to high with a handful of plain numbers (5,000 or 0.5%), and no minor ticks."""
    ticks = _round_numbers(low, high)
    labels = {tick: f"{100 * tick:.6g}%" if unit == "%" else _plain(tick) for tick in ticks}
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda tick, _: labels.get(tick, "")))


def signed(points: float) -> str:
    """A difference with its sign and one decimal, 0.0 without a sign."""
    return f"{points:+.1f}".replace("-", "−") if f"{abs(points):.1f}" != "0.0" else "0.0"


def _plain(number: float) -> str:
    if number < 1e6:
        return f"{number:,.0f}" if number >= 10 else f"{number:.6g}"
    digits, power = f"{number:.6e}".split("e")
    factor = f"{float(digits):g}" + r"\,"
    return "$" + ("" if float(digits) == 1 else factor + r"\times\,") + f"10^{{{int(power)}}}$"


def _round_numbers(low: float, high: float) -> list[float]:
    """Round numbers in [low, high]: evenly spaced by ratio where they are enough, else evenly spaced by difference."""
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    for digits in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7)):
        # by division where the power is negative: 5 / 100 is 0.05, and 5 * 0.01 is not always the nearest number
        ticks = [digit * 10**power if power >= 0 else digit / 10**-power for power in decades for digit in digits]
        inside = [float(tick) for tick in ticks if low <= tick <= high]
        if len(inside) >= 4:
            return inside
    return [float(tick) for tick in MaxNLocator(5, steps=[1, 2, 5, 10]).tick_values(low, high) if low <= tick <= high]


def save(figure: Figure, path: str | Path) -> Path:
    """Write a figure in one step, in the format that the ending of the path names, at 200 dots an inch.

    Raises OptionError when no format has that ending; StoreError where it cannot be written.
    """
    path = Path(path)
    if path.suffix.removeprefix(".") not in figure.canvas.get_supported_filetypes():
        raise OptionError(f"a figure cannot be written as {path.name}; end its name in .png, .pdf or .svg.")
    with writing(path), replaced_at_once(path) as temporary:
        figure.savefig(temporary, dpi=200)
    return path
