"""Numbers as the page writes them: errors in percent, differences in points, and what is not known about them."""

import numpy as np
import pandas as pd

from winnow.scaling.replicates import MEND

MINUS = "−"
UNKNOWN = "?"
_UNITS = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def percent(error: float) -> str:
    """A test error in [0, 1] as "8.2"."""
    return f"{100 * error:.1f}"


def with_se(mean: float, se: float) -> str:
    """Mean and standard error in percent; "8.2 ± ?" where the latter is not known."""
    return f"{percent(mean)} ± {UNKNOWN if np.isnan(se) else percent(se)}"


def signed(difference: float) -> str:
    """A difference of test errors in points of percent, with its sign."""
    shown = percent(abs(difference))
    return shown if float(shown) == 0 else f"{MINUS if difference < 0 else '+'}{shown}"


def interval(low: float, high: float) -> str:
    """The ends of an interval of a difference, in points of percent."""
    return " to ".join(f"{MINUS if float(percent(end)) < 0 else ''}{percent(abs(end))}" for end in (low, high))


def chance(p: float) -> str:
    """A p-value as "p = 0.031"."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def counted(number: int, name: str) -> str:
    """ "1 cell", "1,200 cells"."""
    return f"{number:,} {name}{'' if number == 1 else 's'}"


def large(value: float) -> str:
    """Multiply-adds with a unit, as "12.3 G"; a dash where they are not known."""
    if np.isnan(value):
        return "–"
    size, unit = next((each for each in _UNITS if value >= each[0]), (1.0, ""))
    return f"{value / size:.3g} {unit}".strip()


def clock(seconds: float) -> str:
    """Seconds as "3.2 s", "4 min 10 s" or "2 h 5 min"."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole // 60 % 60} min"


def listed(words: list[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def why_unknown(lines: pd.DataFrame) -> str:
    """Why lines without an interval or standard error have none, and what to do about it.

    lines: of `paired.differences`, with how many pairs of selection and training seeds each has, or `grid.summarise`.
    """
    if (lines["one_ensemble"] & (lines["seeds"] > 1)).any():
        return f"all runs share one probe ensemble ({MEND})"
    if (lines["seeds"] == 1).any():
        return f"there is one replicate ({MEND})"
    if (lines["pairs"] == 1).any():
        return f"all runs share their selection and training seeds ({MEND})"
    return "all replicates differ by the same"
