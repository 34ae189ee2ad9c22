"""How alpha, the fraction of the kept budget that follows the scores, is set."""

from dataclasses import dataclass

from winnow.errors import OptionError
from winnow.keys import Component


@dataclass(frozen=True, kw_only=True)
class Fixed(Component):
    """The alpha that the user gives. Raises OptionError outside [0, 1]."""

    value: float

    def __post_init__(self) -> None:
        if not 0 <= self.value <= 1:
            raise OptionError(
                f"alpha.value={self.value} must be in [0, 1]: the share of the kept budget that is signal."
            )
