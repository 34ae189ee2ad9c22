"""The rounding of every count in this package."""

from math import floor

TOLERANCE = 1e-9
"""A product such as 0.285 * 100 is a hair below its exact value 28.5 and must be rounded as if it were exact."""


def round_half_up(x: float) -> int:
    """⌊x + ½⌋ (`round` would send a half to the even neighbour)."""
    return floor(x + 0.5 + TOLERANCE)
