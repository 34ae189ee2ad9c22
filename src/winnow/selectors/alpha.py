"""How alpha, the fraction of the kept budget that follows the scores, is set."""

from dataclasses import dataclass

from winnow.errors import OptionError, check_choice
from winnow.keys import Component

CRITERIA = {"gradient": frozenset({"logits", "features"}), "validation": frozenset({"features"})}
"""What Auto may choose by, and the fields of Evidence that each reads."""
POINTS = {"gradient": 101, "validation": 11}


@dataclass(frozen=True, kw_only=True)
class Fixed(Component):
    """The alpha that the user gives. Raises OptionError outside [0, 1]."""

    value: float

    def __post_init__(self) -> None:
        if not 0 <= self.value <= 1:
            raise OptionError(
                f"alpha.value={self.value} must be in [0, 1]: the share of the kept budget that is signal."
            )


@dataclass(frozen=True, kw_only=True)
class Auto(Component):
    """The alpha of an even grid over [0, 1] that a criterion says is best for the data, the rule and r; the smallest
    of equals. Nothing but the training set and its probes is read.

    criterion:
      "gradient":   expected squared error of the subset's weighted mean gradient, bias² + variance, of the probes' last
                    layers (winnow.diagnostics.gradient_error). Not in a paper.
      "validation": error of the probes' last layers, fitted anew on the kept examples outside a fold, in the fold
                    (winnow.diagnostics.refit). Fold j is passed by probe j mod K.
    points: size of the grid; None: 101 for gradient, 11 for validation. folds, draws: of validation, the number of
    folds, and of subsets, each drawn by a seed of its own, that the error is averaged over.

    Raises OptionError for an unknown criterion, fewer than two points or folds, or no draws.
    """

    criterion: str = "gradient"
    points: int | None = None
    folds: int = 5
    draws: int = 1

    def __post_init__(self) -> None:
        check_choice("alpha.criterion", self.criterion, tuple(CRITERIA))
        for name, value, least in (("points", self.size, 2), ("folds", self.folds, 2), ("draws", self.draws, 1)):
            if value < least:
                raise OptionError(f"alpha.{name}={value} must be at least {least}.")

    @property
    def size(self) -> int:
        """Number of points of the grid."""
        return POINTS[self.criterion] if self.points is None else self.points

    @property
    def needs(self) -> frozenset[str]:
        """Names of the Evidence fields that it reads."""
        return CRITERIA[self.criterion]

    @property
    def label(self) -> str:
        """What a rule's name says in place of the number."""
        return "auto" if self.criterion == "gradient" else f"auto by {self.criterion}"
