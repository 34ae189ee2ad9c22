"""The scaling laws of a whole grid: every law for every rule, crossovers and paired differences, as plain records."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from winnow.core.errors import FitError
from winnow.core.types import Floats
from winnow.scaling.crossover import Crossover, crossover
from winnow.scaling.grid import GROUP, RANDOM, Group, rule_order, runs
from winnow.scaling.laws import LAWS, LawFit, aicc_weights, fit
from winnow.scaling.paired import differences
from winnow.scaling.panel import panel
from winnow.scaling.points import positive
from winnow.scaling.replicates import ONE_ENSEMBLE, design
from winnow.scaling.savings import equal_cost, frontier


@dataclass(frozen=True, kw_only=True, eq=False)
class RuleFits:
    """The laws of one rule. fits: law -> fit; refusals: law -> why there is none; weights: law -> AICc weight.

    weights is empty where no law has a finite AICc.
    """

    group: Group
    rule: str
    fits: Mapping[str, LawFit]
    refusals: Mapping[str, str]
    weights: Mapping[str, float]

    @property
    def best(self) -> LawFit | None:
        """The law of lowest AICc; the first one where none is finite; None where all were refused."""
        return min(self.fits.values(), key=lambda fitted: fitted.aicc) if self.fits else None


def fit_rules(table: pd.DataFrame, laws: Sequence[str] = tuple(LAWS)) -> list[RuleFits]:
    """Fit every law to every rule of a grid, weighted by `seed_spread`, for each (dataset, model, recipe).

    A size's error is the mean of its clusters' means, and intervals hold what other replicates would change
    (`LawFit.over`).

    Raises OptionError for an unknown law; a law that is refused for a rule is in its refusals.
    """
    found = []
    each = runs(table).rename(columns={"test_error": "error"})
    for (dataset, model, recipe), part in each.groupby(GROUP):
        for rule in rule_order(part["rule"]):
            rows = part[part["rule"] == rule]
            n_test = int(rows["n_test"].max())
            sizes = sorted(set(rows["n_kept"]))
            places = [rows[rows["n_kept"] == n] for n in sizes]
            errors = panel(places)
            clusters = np.array([design(place).clusters for place in places])
            each_seed = dict(zip(rows["n_kept"], seed_spread(rows["n_kept"], rows["error"], n_test), strict=True))
            spread = np.array([each_seed[n] for n in sizes]) / np.sqrt(clusters)
            fits, refusals = {}, {}
            for law in laws:
                try:
                    fits[law] = fit(sizes, errors.means, law, n_test, spread=spread).over(errors)
                except FitError as refusal:
                    refusals[law] = str(refusal)
            try:
                weights = aicc_weights({law: fitted.aicc for law, fitted in fits.items()})
            except FitError:
                weights = {}
            group = (str(dataset), str(model), str(recipe))
            found.append(RuleFits(group=group, rule=rule, fits=fits, refusals=refusals, weights=weights))
    return found


def seed_spread(n: pd.Series, error: pd.Series, n_test: int) -> Floats:
    """The expected standard deviation of the test error of one seed, an entry for each entry of n and error.

    Of the error ε̄ of a size its relative variance is that of counting errors, (1 − ε̄)/(ε̄ n_test), and an excess that
    all sizes of the rule share: the mean of what their seeds show beyond counting, not below zero. The variance of
    each size by itself would be too noisy a weight with the usual handful of seeds.
    """
    by_size = pd.DataFrame({"n": np.asarray(n), "error": np.asarray(error, dtype=np.float64)}).groupby("n")["error"]
    mean = positive(by_size.mean().to_numpy(), n_test)
    counting = (1 - np.minimum(mean, 1 - 0.5 / (n_test + 1))) / (mean * n_test)
    seen = by_size.var().to_numpy() / mean**2
    several = np.isfinite(seen)
    excess = max(float(np.mean((seen - counting)[several])), 0.0) if several.any() else 0.0
    spread = pd.Series(mean * np.sqrt(counting + excess), index=by_size.mean().index)
    return np.asarray(spread.loc[np.asarray(n)], dtype=np.float64)


def crossovers(table: pd.DataFrame, baseline: str = RANDOM) -> list[tuple[Group, str, Crossover | str]]:
    """The crossover of every other rule of every group, or the sentence that says why there is none."""
    found: list[tuple[Group, str, Crossover | str]] = []
    for (dataset, model, recipe), part in table.groupby(GROUP):
        group = (str(dataset), str(model), str(recipe))
        for rule in rule_order(part["rule"]):
            if rule == baseline:
                continue
            try:
                found.append((group, rule, crossover(part, rule, baseline)))
            except FitError as refusal:
                found.append((group, rule, str(refusal)))
    return found


def fit_records(
    table: pd.DataFrame, fits: Sequence[RuleFits], crossed: Sequence[tuple[Group, str, Crossover | str]]
) -> dict[str, Any]:
    """What fits.json holds, as plain numbers, strings and None (for what is not known, unbounded or infinite).

    fits: a record for each rule and law, with its parameters, intervals, AICc and weight, or why it was refused.
    crossovers: a record for each rule. paired: the table of `paired.differences`. frontier, equal_cost: of `savings`.
    A note says why there is no interval.
    """
    has_baseline = bool((table["rule"] == RANDOM).any())
    return {
        "fits": [record for rule_fits in fits for record in _law_records(rule_fits)],
        "crossovers": [_named(group, rule) | _crossover_record(found) for group, rule, found in crossed],
        "paired": _noted(differences(table)) if has_baseline else [],
        "frontier": _noted(frontier(table)),
        "equal_cost": plain(equal_cost(table).to_dict("records")) if has_baseline else [],
    }


def _noted(found: pd.DataFrame) -> list[dict[str, Any]]:
    notes = found["one_ensemble"].map({True: ONE_ENSEMBLE, False: None})
    return plain(found.assign(note=notes).to_dict("records"))


def _law_records(rule_fits: RuleFits) -> list[dict[str, Any]]:
    records = []
    for law in [*rule_fits.fits, *rule_fits.refusals]:
        record = _named(rule_fits.group, rule_fits.rule) | {"law": law}
        if fitted := rule_fits.fits.get(law):
            record |= {
                "parameters": plain(dict(fitted.parameters)),
                "intervals": plain({name: list(ends) for name, ends in fitted.intervals.items()}) or None,
                "note": None if fitted.intervals else ONE_ENSEMBLE,
                "level": fitted.level,
                "aicc": plain(fitted.aicc),
                "weight": rule_fits.weights.get(law),
                "sigma": fitted.sigma,
                "sizes": fitted.points.n.size,
            }
        else:
            record["refused"] = rule_fits.refusals[law]
        records.append(record)
    return records


def _crossover_record(found: Crossover | str) -> dict[str, Any]:
    if isinstance(found, str):
        return {"refused": found}
    note = ONE_ENSEMBLE if found.one_ensemble else None
    return plain(found._asdict() | {"interval": found.interval and list(found.interval), "note": note})


def _named(group: Group, rule: str) -> dict[str, Any]:
    return dict(zip(GROUP, group, strict=True)) | {"rule": rule}


def plain(value: Any) -> Any:
    """JSON knows neither NaN nor inf: both become None."""
    if isinstance(value, dict):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [plain(entry) for entry in value]
    if isinstance(value, np.generic):
        value = value.item()
    if value is pd.NA or (isinstance(value, float) and not math.isfinite(value)):
        return None
    return value
