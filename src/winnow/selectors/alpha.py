"""How alpha, the fraction of the kept budget that follows the scores, is set."""

from dataclasses import dataclass, field

from winnow.core.errors import OptionError, check_choice
from winnow.store.keys import LATER, NOT_IN_KEY, Component

CRITERIA = {"gradient": frozenset({"logits", "features"}), "validation": frozenset({"features"})}
"""What Auto may choose by, and the fields of Evidence that each reads."""
HELD_OUT = frozenset({"features", "fold_features"})
"""The fields that validation reads where the folds are held out of the probes too."""
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
                    layers (winnow.diagnostics.gradient_error). Not in a paper. It takes labels for what they are: a
                    wrong one has a large gradient, so where many are wrong it asks for many of them.
      "validation": error of the probes' last layers, fitted anew on the kept examples outside a fold, in the fold
                    (winnow.diagnostics.refit). Fold j is passed by probe j mod K. Only the last layer has not seen the
                    fold: the features below it are of probes that were trained on all examples, the fold included, so
                    where they have learned labels by heart its errors are too low. It takes labels for what they are
                    too: to get the wrong ones in the fold right is worth as much.
    held_out: hold the fold out of the probes too. Validation then reads features of probe.members more models, model
    j trained on all but fold j of probe.members, as the probes are, up to the epoch that they are evaluated after. The
    scores that the rule selects by are still those of probes that saw everything.
    points: size of the grid; None: 101 for gradient, 11 for validation. folds, draws: of validation, the number of
    folds (of held_out there are probe.members), and of subsets, each drawn by a seed of its own, that the error is
    averaged over.
    compare: try the criterion that does not choose too, where it is affordable, and say where the two disagree. It
    cannot change the choice.

    Raises OptionError for an unknown criterion, fewer than two points or folds, no draws, or held_out where validation
    is not tried.
    """

    criterion: str = "gradient"
    points: int | None = None
    folds: int = 5
    draws: int = 1
    held_out: bool = field(default=False, metadata=LATER)
    compare: bool = field(default=True, metadata=NOT_IN_KEY)

    def __post_init__(self) -> None:
        check_choice("alpha.criterion", self.criterion, tuple(CRITERIA))
        for name, value, least in (("points", self.size, 2), ("folds", self.folds, 2), ("draws", self.draws, 1)):
            if value < least:
                raise OptionError(f"alpha.{name}={value} must be at least {least}.")
        if self.held_out and "validation" not in self.criteria:
            raise OptionError(
                "alpha.held_out=true is of validation, which is not tried; choose alpha.criterion=validation or "
                "alpha.compare=true."
            )

    @property
    def size(self) -> int:
        """Number of points of the grid."""
        return POINTS[self.criterion] if self.points is None else self.points

    @property
    def criteria(self) -> tuple[str, ...]:
        """The criterion that chooses, and the one that is tried beside it."""
        return tuple(CRITERIA) if self.compare else (self.criterion,)

    @property
    def needs(self) -> frozenset[str]:
        """Names of the Evidence fields that it reads."""
        fields = CRITERIA | ({"validation": HELD_OUT} if self.held_out else {})
        return frozenset().union(*(fields[criterion] for criterion in self.criteria))

    @property
    def label(self) -> str:
        """What a rule's name says in place of the number."""
        held_out = "held-out " if self.held_out else ""
        return "auto" if self.criterion == "gradient" else f"auto by {held_out}{self.criterion}"
