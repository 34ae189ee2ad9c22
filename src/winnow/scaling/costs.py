"""What a cell of a grid costs in multiply-adds, between the sizes that were run, too."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from winnow.core.errors import FitError
from winnow.core.types import Floats


class ModelCosts(NamedTuple):
    """Of the models of one depth. widths: [W], rising; multiply_adds: [W]; scoring: rule -> [W], 0 without scores."""

    widths: Floats
    multiply_adds: Floats
    scoring: Mapping[str, Floats]


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingCost:
    """Training examples seen × multiply-adds of an example, and where the rule reads scores the cost of scoring.

    Scoring costs the examples that the probes process × the multiply-adds of the probes' model, in full whatever n is.
    Multiply-adds are those of a forward pass; the backward one, about twice as many, is left out of training and
    scoring alike. sizes, passes: [S] n, rising, and how often training sees a kept example at it: constant where the
    recipe's budget is epochs; nearly in proportion to 1 / n where it is steps, as more examples then cost no more.
    models: by depth, 0 where the architecture has none. Between sizes and widths costs are straight in logarithms;
    beyond the sizes passes stay what they are at the last.
    """

    sizes: Floats
    passes: Floats
    models: Mapping[float, ModelCosts]

    @classmethod
    def of(cls, table: pd.DataFrame) -> "TrainingCost":
        """The cost of the cells of a grid of one data set, family and recipe.

        Raises FitError where its rows do not say multiply-adds.
        """
        if table["multiply_adds"].isna().any():
            raise FitError("the rows do not say their multiply-adds; train them with this version, or give a cost.")
        per_example = table[["width", "depth", "multiply_adds", "probe_multiply_adds"]].astype("float64").fillna(0.0)
        lines = per_example.assign(
            rule=table["rule"],
            n=table["n_kept"],
            passes=table["examples_seen"] / table["n_kept"],
            scoring=table["probe_examples"] * per_example["probe_multiply_adds"],
        )
        models = {}
        for depth, part in lines.groupby("depth"):
            own = part.groupby("width")["multiply_adds"].mean()
            scoring = part.pivot_table(index="width", columns="rule", values="scoring").fillna(0.0)
            by_rule = {str(rule): scoring[rule].to_numpy() for rule in scoring}
            models[float(depth)] = ModelCosts(own.index.to_numpy(), own.to_numpy(), by_rule)  # type: ignore[arg-type]
        passes = lines.groupby("n")["passes"].mean()
        return cls(sizes=passes.index.to_numpy(dtype=np.float64), passes=passes.to_numpy(), models=models)

    def __call__(self, n: float, width: float | None, depth: float | None, rule: str) -> float:
        """The cost of n examples kept by a rule, in multiply-adds.

        Raises FitError for a depth or a rule that the grid does not have.
        """
        models = self.models.get(depth or 0.0)
        if models is None or rule not in models.scoring:
            raise FitError(f"the grid has no cell of {rule} at depth {depth} to take its cost from.")
        passes = _between(n, self.sizes, self.passes)
        return n * passes * _between(width, models.widths, models.multiply_adds) + _between(
            width, models.widths, models.scoring[rule]
        )


def _between(at: float | None, sizes: Floats, costs: Floats) -> float:
    """The cost at a size, straight in logarithms; a width of None is the only one."""
    if at is None or sizes.size == 1:
        return float(costs[0])
    if not costs.all():
        return 0.0
    return float(np.exp(np.interp(np.log(at), np.log(sizes), np.log(costs))))


def total(table: pd.DataFrame) -> pd.Series:
    """Multiply-adds of each row of a grid: of its training, and in full of the scores that it read.

    As in `TrainingCost` those of a forward pass for every example processed, in training and scoring alike. NaN where a
    row does not say them.
    """
    per_example = table[["multiply_adds", "probe_multiply_adds"]].astype("float64")
    scoring = table["probe_examples"] * per_example["probe_multiply_adds"]
    return table["examples_seen"] * per_example["multiply_adds"] + scoring.where(table["probe_examples"] > 0, 0.0)
