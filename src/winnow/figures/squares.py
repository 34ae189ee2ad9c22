"""What maps of differences share: the colours about zero, and the number in a square with a dot where it is sure."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm

from winnow.figures.style import signed

COLOURS = "RdBu_r"  # blue below zero, where a rule is better
SURE = 0.05


def scale(points: float, limit: float = np.inf) -> TwoSlopeNorm:
    """Colours of differences up to so many points either way, or up to the limit."""
    reach = min(limit, points) or min(limit, 1.0)
    return TwoSlopeNorm(0, -reach, reach)


def write(
    axes: Axes, place: tuple[int, int], points: float, p: float, norm: TwoSlopeNorm, *, below: str = "", size: float = 7
) -> None:
    """A difference in the square of a row and a column. p: of its test, corrected. below: a second line."""
    text = signed(points) + ("•" if p < SURE else "") + below
    colour = "white" if abs(points) > 0.6 * float(norm.vmax or 1) else "black"
    written = axes.text(place[1], place[0], text, ha="center", va="center", fontsize=size, color=colour)
    if below:
        written.set_linespacing(0.9)
