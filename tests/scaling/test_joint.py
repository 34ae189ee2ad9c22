import io
import json

import numpy as np
import pytest
from rich.console import Console

from helpers.conditional import PLANTED, planted_error
from helpers.rows import make_row
from winnow.core.errors import FitError
from winnow.figures.conditional_law import conditional_law
from winnow.reports.sweep import report
from winnow.scaling import grid
from winnow.scaling.costs import TrainingCost
from winnow.scaling.joint import allocations, budgets_of, family_records, fit_families
from winnow.scaling.joint_table import print_families
from winnow.store import results

WIDTHS = (4, 8, 16)
FRACTIONS = (0.05, 0.1, 0.2, 0.4, 1.0)


def make_rows(widths=WIDTHS, fractions=FRACTIONS, rules=("random", "el2n"), seeds=2, noise=0.02, **fields):
    """Of the planted law, of 2,000 examples; a model has ten times its width squared of multiply-adds."""
    generator = np.random.default_rng(0)
    rows = []
    for width in widths:
        full = noise * generator.standard_normal(seeds)
        for rule in rules:
            for r in fractions:
                for seed in range(seeds):
                    off = full[seed] if r == 1 else noise * generator.standard_normal()
                    curve = "random" if r == 1 else rule
                    rows.append(
                        make_row(
                            rule,
                            r,
                            planted_error(curve, 2000 * r, width) * np.exp(off),
                            seed,
                            **{
                                "n": 2000,
                                "n_test": 10**7,
                                "model": f"conv-w{width}",
                                "family": "conv",
                                "width": width,
                                "multiply_adds": 10 * width**2,
                                "probe_multiply_adds": None if rule == "random" else 7 * width**2,
                            }
                            | fields,
                        )
                    )
    return rows


def test_a_family_of_widths_is_fitted_jointly_and_others_are_not():
    alone = [make_row(r=r, dataset="digits", family="mlp", width=3) for r in FRACTIONS]
    (family,) = fit_families(grid.table([*make_rows(), *alone]))
    assert family.name == ("blobs", "conv", "short")
    fitted = family.fit
    assert fitted.merged == ("depth",)
    assert fitted.n_available == 2000
    assert fitted.distinct == 3 * (2 * 4 + 1)  # trained on everything counts once
    assert fitted.ranges == {"n": (100, 2000), "width": (4, 16)}
    (pruned,) = fit_families(grid.table(make_rows(fractions=FRACTIONS[:-1])))
    for name, (low, high) in pruned.fit.intervals.items():
        assert low < PLANTED[name] < high
    old = grid.table(make_rows()).drop(columns=["family", "width"]).assign(family=None, width=None)
    assert fit_families(old) == []


def test_a_depth_is_a_term_of_its_own():
    rows = [
        row
        for depth in (8, 20, 56)
        for row in make_rows(widths=(8,), fractions=(0.1, 0.2, 0.4), depth=depth, model=f"conv{depth}-w8")
    ]
    (family,) = fit_families(grid.table(rows))
    assert family.fit.merged == ("width",)
    assert family.fit.ranges["depth"] == (8, 56)
    assert {each.depth for each in allocations(family, budgets_of(family), resamples=5)} <= {8, 20, 56}


def test_too_few_sizes_are_refused_with_the_reason():
    (family,) = fit_families(grid.table(make_rows(widths=(4, 8), fractions=(0.1, 0.2))))
    assert family.fit is None
    (record,) = family_records([family])
    assert record["refused"].startswith("the conditional law of 2 rules and width has 7 parameters")


def test_costs_are_training_and_scoring():
    table = grid.table(make_rows())
    cost = TrainingCost.of(table)
    # ten passes over what is kept; the probes of el2n process five times all 2,000
    assert cost(200, 8, None, "random") == pytest.approx(200 * 10 * 640)
    assert cost(200, 8, None, "el2n") == pytest.approx(200 * 10 * 640 + 10_000 * 7 * 64)
    assert cost(150, 11, None, "el2n") == pytest.approx(150 * 10 * 1210 + 10_000 * 7 * 121)
    # the same steps whatever is kept
    steps = TrainingCost.of(table.assign(examples_seen=9000))
    assert steps(150, 8, None, "random") == pytest.approx(9000 * 640)
    with pytest.raises(FitError, match="no cell of random at depth 20"):
        cost(200, 8, 20, "random")
    with pytest.raises(FitError, match="no cell of aum at depth None"):
        cost(200, 8, None, "aum")
    with pytest.raises(FitError, match="do not say their multiply-adds"):
        TrainingCost.of(grid.table(make_rows(multiply_adds=None)))


def test_budgets_span_the_grid_and_errors_fall_along_them():
    (family,) = fit_families(grid.table(make_rows()))
    budgets = budgets_of(family, 4)
    assert budgets[0] == pytest.approx(100 * 10 * 160)
    assert budgets[-1] == pytest.approx(2000 * 10 * 2560 + 10_000 * 7 * 256)
    chosen = allocations(family, budgets, resamples=10)
    errors = [each.error for each in chosen]
    assert errors == sorted(errors, reverse=True)
    assert all(each.cost <= each.budget for each in chosen)
    assert chosen[-1].width == 16


def printed(records):
    console = Console(file=io.StringIO(), width=250, color_system=None)
    print_families(console, records)
    return " ".join(console.file.getvalue().split())


def test_the_report_of_several_widths_has_the_conditional_law(tmp_path):
    for number, row in enumerate(make_rows(seeds=2)):
        results.save_row(tmp_path / str(number), row)
    console = Console(file=io.StringIO(), width=250, color_system=None)
    report(tmp_path, console, fit=True)
    (record,) = json.loads((tmp_path / results.FITS).read_text())["conditional"]
    assert record["law"] == "A_rule n^-b_rule + B width^-c + E"
    assert set(record["parameters"]) == set(record["intervals"]) == set(PLANTED) - {"D", "e"}
    assert [each["budget"] for each in record["allocations"]] == sorted(e["budget"] for e in record["allocations"])
    text = printed([record])
    assert "conditional law, test error = A_rule n^-b_rule + B width^-c + E, 95% intervals: blobs, conv, short" in text
    assert "27 configurations, off by" in text
    assert "the best for a budget in multiply-adds" in text
    assert text in " ".join(console.file.getvalue().split())


def test_intervals_hold_what_ensembles_and_seeds_share_between_sizes_and_widths():
    """Each replicate is off by a factor of its own, at every size and width alike: residuals do not see it."""
    table = grid.table(make_rows(fractions=FRACTIONS[:-1], seeds=4, noise=0.002))
    (family,) = fit_families(table)
    shared = np.array([0.8, 0.95, 1.05, 1.2])
    (wide,) = fit_families(table.assign(test_error=table["test_error"] * shared[table["train_seed"]]))
    for name in ("A random", "B"):
        (low, high), (first, last) = family.fit.intervals[name], wide.fit.intervals[name]
        assert np.log(last / first) > 2 * np.log(high / low)
        assert first < wide.fit.parameters[name] < last
    spreads = [
        np.std([np.log(each.fit.error_of(theta, 400, "el2n", 8)) for theta in each.fit.draws(100)])
        for each in (family, wide)
    ]
    # the factors have a standard deviation of 0.17, their mean half of that; of four, the variance is drawn wider
    assert spreads[0] < 0.01 < 0.08 < spreads[1] < 0.25


def test_one_ensemble_leaves_the_law_without_intervals():
    table = grid.table(make_rows())
    pinned = table.assign(probe_seed=table["probe_seed"].where(table["rule"] == "random", 0))
    (family,) = fit_families(pinned)
    assert (family.fit.intervals, family.fit.one_ensemble) == ({}, True)
    (record,) = family_records([family])
    assert (record["intervals"], record["note"]) == (None, "one probe ensemble")
    assert {each["error_interval"] for each in record["allocations"]} == {None}
    text = printed([record])
    assert "test error = A_rule n^-b_rule + B width^-c + E, one probe ensemble: blobs" in text
    assert " to " not in text.partition("parameter")[2]
    (chosen,) = allocations(family, [1e8])
    assert chosen.describe().endswith("(one probe ensemble); at the edge of the search: " + ", ".join(chosen.edges))
    figure = conditional_law(pinned, family)
    assert "one probe ensemble" in figure.subfigs[1].legends[0].get_title().get_text()
    assert figure.table["law_low"].isna().all()


def test_what_is_missing_is_printed_with_its_reason():
    few = fit_families(grid.table(make_rows(widths=(4, 8), fractions=(0.1, 0.2))))
    costless = fit_families(grid.table(make_rows(multiply_adds=None)))
    text = printed(family_records([*few, *costless]))
    assert "no conditional law of blobs, conv, short: the conditional law of 2 rules" in text
    assert "none: the rows do not say their multiply-adds" in text
    assert printed(family_records(fit_families(grid.table(make_rows(widths=(8,)))))) == ""
