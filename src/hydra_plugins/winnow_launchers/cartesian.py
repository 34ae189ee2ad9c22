"""hydra/sweeper=cartesian: Hydra's own basic sweeper, without composing every cell a second time.

The basic sweeper composes each cell to see that it can be, and the launcher composes it again to run it. Composing
takes longer than loading a finished row, so this doubles the time in which a finished sweep is seen to be finished; and
a cell that cannot be composed should fail alone, like any other failing cell, instead of stopping the sweep.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore


@dataclass
class CartesianConf:
    _target_: str = "hydra_plugins.winnow_launchers.cartesian.CartesianSweeper"
    max_batch_size: int | None = None
    params: dict[str, str] | None = field(default=None)


ConfigStore.instance().store(group="hydra/sweeper", name="cartesian", node=CartesianConf, provider="winnow")


class CartesianSweeper(BasicSweeper):
    """Every combination of the values given for each option."""

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Left to the launcher."""
