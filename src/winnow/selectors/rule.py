"""What every selector is called and what it reads: the options that all rules share, without the selecting."""

from dataclasses import dataclass, fields
from typing import Any, ClassVar

from winnow.core.errors import OptionError, check_choice
from winnow.store.keys import Component


@dataclass(frozen=True, kw_only=True)
class Rule(Component):
    """The options, the name and the needs of a selector; see Selector for what the options do.

    A rule of which there are several versions always names its own in brackets (`_title`), so that none passes for
    another.
    """

    _in_title: ClassVar[frozenset[str]] = frozenset()

    balance: float | str | None = None
    drop_suspect: float = 0.0
    suspect_by: str = "score"

    def __post_init__(self) -> None:
        check_choice("selector.suspect_by", self.suspect_by, ("score", "aum"))
        if not 0 <= self.drop_suspect < 1:
            raise OptionError(f"selector.drop_suspect={self.drop_suspect} must be a fraction of the data, in [0, 1).")
        if isinstance(self.balance, int | float) and not isinstance(self.balance, bool) and 0 < self.balance <= 1:
            return
        if self.balance is not None and self.balance != "exact":
            raise OptionError(
                f"selector.balance={self.balance} is not known; choose null, exact or a fraction in (0, 1]."
            )

    @property
    def name(self) -> str:
        """The name of its file and of its yaml."""
        return type(self).__module__.rpartition(".")[2]

    @property
    def _title(self) -> str:
        """The name in rules; the options in `_in_title` are told by it."""
        return self.name

    @property
    def least_epochs(self) -> int:
        """The shortest probe training, in epochs, whose trajectories it can read."""
        return 1

    @property
    def reads_scores(self) -> bool:
        """False where `scores` may be None."""
        return self._rule_reads_scores or self._drops_by("score")

    @property
    def needs(self) -> frozenset[str]:
        """Names of the Evidence fields that it reads."""
        return self._rule_needs | (frozenset({"trajectories"}) if self._drops_by("aum") else frozenset())

    def _drops_by(self, what: str) -> bool:
        return self.drop_suspect > 0 and self.suspect_by == what

    @property
    def _rule_reads_scores(self) -> bool:
        return True

    @property
    def _rule_needs(self) -> frozenset[str]:
        return frozenset()

    def effective_alpha(self, alpha: float) -> float:
        """The fraction of the kept budget that this selector keeps by its rule when it is asked for alpha."""
        return 1.0

    @property
    def reads_alpha(self) -> bool:
        """False where every alpha keeps the same."""
        return self.effective_alpha(0.0) != self.effective_alpha(1.0)

    @property
    def protocol(self) -> str | None:
        """How kept examples are weighted, where there is a choice."""
        return None

    def _rule(self, metric_name: str | None, alpha: str) -> str:
        """The rule's name, with the options that are not at their default, but without balance and drop_suspect."""
        shared = {field.name for field in fields(Rule)} | self._in_title
        own = [f for f in fields(self) if f.name not in shared]
        changed = {f.name: getattr(self, f.name) for f in own if getattr(self, f.name) != f.default}
        words = [value if isinstance(value, str) else f"{name}={_plain(value)}" for name, value in changed.items()]
        return " ".join([*([str(metric_name)] if self._rule_reads_scores else []), self._title, *words])

    def rule(self, metric_name: str | None, alpha: float | str) -> str:
        """The short name of what is done, for figures and grids, such as "el2n exact 0.5 balance=exact"."""
        name = self._rule(metric_name, alpha if isinstance(alpha, str) else format(alpha, "g"))
        if self.balance is not None:
            name += f" balance={self.balance if isinstance(self.balance, str) else format(self.balance, 'g')}"
        if self.drop_suspect:
            by = metric_name if self.suspect_by == "score" else self.suspect_by
            name += f" drop={self.drop_suspect:g} by {by}"
        return name


def _plain(value: Any) -> str:
    return format(value, "g") if isinstance(value, float) else str(value).lower()
