"""The conditional scaling law of a whole grid: a fit for each family of models, and allocations, as plain records."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from winnow.core.errors import FitError
from winnow.core.types import Floats
from winnow.scaling.costs import TrainingCost
from winnow.scaling.fits import plain, seed_spread
from winnow.scaling.grid import GROUP, runs
from winnow.scaling.laws.allocation import Allocation, allocate
from winnow.scaling.laws.conditional import ConditionalFit, fit_conditional
from winnow.scaling.panel import panel
from winnow.scaling.replicates import ONE_ENSEMBLE, design, share_ensemble

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
    each = runs(rows).rename(columns={"test_error": "error"}).merge(sizes, on=GROUP)
    full = each["n_kept"] == each["n"]
    each = each[~(full & each.duplicated([*GROUP, "n_kept", "train_seed"]))].assign(
        # trained on everything, a model is the same under every rule
        compared=lambda lines: lines["rule"].where(lines["n_kept"] < lines["n"], "")
    )
    n_test = int(each["n_test"].max())
    cells = each.groupby(["model", "compared", "n_kept"])
    each = each.assign(spread=seed_spread(cells.ngroup(), each["error"], n_test))
    places = [part for _, part in each.groupby(["model", "compared", "n_kept"])]
    designs = [design(place) for place in places]
    means = pd.concat([place.head(1) for place in places])
    width, depth = (means[name].astype("float64") if means[name].notna().all() else None for name in ("width", "depth"))
    fitted = fit_conditional(
        means["n_kept"],
        [found.weights @ place["error"] for found, place in zip(designs, places, strict=True)],
        means["rule"].tolist(),
        width=width,
        depth=depth,
        n_test=n_test,
        n_available=int(each["n"].max()),
        spread=means["spread"] / np.sqrt([found.clusters for found in designs]),
    )
    errors = panel([pd.concat([places[i] for i in entries]) for entries in fitted.points.entries])
    return fitted.over(errors, one_ensemble=any(share_ensemble(part) for _, part in each.groupby(["model", "rule"])))


def allocations(
    family: FamilyFit, budgets: Sequence[float] | Floats, *, resamples: int = RESAMPLES
) -> list[Allocation]:
    """The allocation for each of several budgets, in multiply-adds, at the cost of `TrainingCost`.

    Raises FitError where the rows do not say their cost, or a budget affords nothing.
    """
    assert family.fit is not None
    cost = TrainingCost.of(family.rows)
    draws = None if family.fit.one_ensemble else family.fit.draws(resamples)
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
        "intervals": {name: list(ends) for name, ends in fitted.intervals.items()} or None,
        "note": ONE_ENSEMBLE if fitted.one_ensemble else None,
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
