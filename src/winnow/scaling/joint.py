"""The conditional scaling law of a whole grid: a fit for each family of models, and allocations, as plain records."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from winnow.errors import FitError
from winnow.scaling.allocation import Allocation, allocate
from winnow.scaling.conditional import ConditionalFit, fit_conditional
from winnow.scaling.costs import TrainingCost
from winnow.scaling.fits import plain, seed_spread
from winnow.scaling.grid import GROUP, runs
from winnow.types import Floats

FAMILY = ["dataset", "family", "recipe"]
TERMS = {"width": "B width^-c", "depth": "D depth^-e"}
BUDGETS = 7
RESAMPLES = 400


class FamilyName(NamedTuple):
    """What the rows of one conditional law share."""

    dataset: str
    family: str
    recipe: str


@dataclass(frozen=True, kw_only=True, eq=False)
class FamilyFit:
    """The conditional law of one family. rows: of the grid. fit: None where it is refused, which `refusal` explains."""

    name: FamilyName
    rows: pd.DataFrame
    fit: ConditionalFit | None
    refusal: str | None = None


def fit_families(table: pd.DataFrame) -> list[FamilyFit]:
    """The conditional law of every (dataset, family, recipe) of a grid that has more than one width or depth.

    Configurations are weighted by `seed_spread`, of all rules together.
    """
    found = []
    for place, rows in table.groupby(FAMILY):
        if max(rows["width"].nunique(), rows["depth"].nunique()) < 2:
            continue
        name = FamilyName(*map(str, place))
        try:
            found.append(FamilyFit(name=name, rows=rows, fit=_fit(rows)))
        except FitError as refusal:
            found.append(FamilyFit(name=name, rows=rows, fit=None, refusal=str(refusal)))
    return found


def _fit(rows: pd.DataFrame) -> ConditionalFit:
    sizes = rows[[*GROUP, "width", "depth"]].drop_duplicates(GROUP)
    each = runs(rows).merge(sizes, on=GROUP)
    full = each["n_kept"] == each["n"]
    each = each[~(full & each.duplicated([*GROUP, "n_kept", "train_seed"]))].assign(
        # trained on everything, a model is the same under every rule
        compared=lambda lines: lines["rule"].where(lines["n_kept"] < lines["n"], "")
    )
    n_test = int(each["n_test"].max())
    cells = each.groupby(["model", "compared", "n_kept"]).ngroup()
    width, depth = (each[name].astype("float64") if each[name].notna().all() else None for name in ("width", "depth"))
    return fit_conditional(
        each["n_kept"],
        each["test_error"],
        each["rule"].tolist(),
        width=width,
        depth=depth,
        n_test=n_test,
        n_available=int(each["n"].max()),
        spread=seed_spread(cells, each["test_error"], n_test),
    )


def allocations(
    family: FamilyFit, budgets: Sequence[float] | Floats, *, resamples: int = RESAMPLES
) -> list[Allocation]:
    """The allocation for each of several budgets, in multiply-adds, at the cost of `TrainingCost`.

    Raises FitError where the rows do not say their cost, or a budget affords nothing.
    """
    assert family.fit is not None
    cost, draws = TrainingCost.of(family.rows), family.fit.draws(resamples)
    return [allocate(family.fit, float(budget), cost=cost, draws=draws) for budget in budgets]


def budgets_of(family: FamilyFit, count: int = BUDGETS) -> Floats:
    """Budgets from that of the cheapest cell of the grid to that of the most expensive one, evenly spaced by ratio."""
    rows, cost = family.rows, TrainingCost.of(family.rows)
    cells = rows[["n_kept", "width", "depth", "rule"]].drop_duplicates().astype(object)
    cells = cells.where(cells.notna(), None)
    each = [cost(n, width, depth, rule) for n, width, depth, rule in cells.itertuples(index=False)]
    # the ends are those of floating point, too: a budget must afford the cell that it was taken from
    return np.geomspace(min(each), max(each), count) * (1 + 1e-9)


def family_records(families: Sequence[FamilyFit]) -> list[dict[str, Any]]:
    """What fits.json holds of each family: parameters, intervals and allocations, or why the fit was refused."""
    return [_record(family) for family in families]


def _record(family: FamilyFit) -> dict[str, Any]:
    record: dict[str, Any] = dict(family.name._asdict())
    if family.fit is None:
        return record | {"refused": family.refusal}
    fitted = family.fit
    terms = ["A_rule n^-b_rule", *(TERMS[name] for name in TERMS if name not in fitted.merged), "E"]
    record |= {
        "law": " + ".join(terms),
        "merged_into_E": list(fitted.merged),
        "parameters": dict(fitted.parameters),
        "intervals": {name: list(ends) for name, ends in fitted.intervals.items()},
        "level": fitted.level,
        "sigma": fitted.sigma,
        "configurations": fitted.distinct,
    }
    try:
        chosen = allocations(family, budgets_of(family))
    except FitError as refusal:
        return plain(record | {"allocations": [], "no_allocation": str(refusal)})
    return plain(record | {"allocations": [_listed(vars(each)) for each in chosen]})


def _listed(values: dict[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
