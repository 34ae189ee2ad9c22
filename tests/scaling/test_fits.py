import io
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from helpers.rows import make_row
from winnow.reports.sweep import report
from winnow.scaling import grid
from winnow.scaling.fits import crossovers, fit_records, fit_rules, seed_spread
from winnow.scaling.fits_table import print_fits
from winnow.store import results

FRACTIONS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
RULE = "el2n hardest"


def make_rows(fractions=FRACTIONS, seeds=3, rules=(("random", 0.5), (RULE, 0.9))):
    rows = []
    for rule, b in rules:
        for r in fractions:
            for seed in range(seeds):
                noise = 1 + 0.03 * np.sin(100 * r + 10 * seed + 5 * b)
                level = 0.5 if rule == "random" else 0.65
                rows.append(make_row(rule, r, level * (20 * r) ** -b * noise, seed))
    return rows


def printed(folder, rows, *, fit=True, width=250):
    for number, row in enumerate(rows):
        results.save_row(folder / str(number), row)
    console = Console(file=io.StringIO(), width=width, color_system=None)
    return report(folder, console, fit=fit), " ".join(console.file.getvalue().split())


def test_each_rule_has_its_laws_and_the_planted_exponent():
    table = grid.table(make_rows())
    for rule_fits, b in zip(fit_rules(table), (0.5, 0.9), strict=True):
        low, high = rule_fits.fits["power"].intervals["b"]
        assert low < b < high
        assert rule_fits.best.law == "power"
        assert sum(rule_fits.weights.values()) == pytest.approx(1)
    refused = fit_rules(grid.table(make_rows(fractions=(0.1, 0.2, 0.3))))
    assert all(each.best is None and each.weights == {} for each in refused)
    assert "needs at least 4 distinct sizes; there are 3" in refused[0].refusals["power"]


def test_spreads_are_counting_and_what_seeds_show_beyond_it():
    # no spread over seeds beyond counting: relative variance (1 - p) / (p n_test)
    n, error = pd.Series([100, 100, 400, 400]), pd.Series([0.2, 0.2, 0.05, 0.05])
    expected = np.sqrt(error * (1 - error) / 1000)
    np.testing.assert_allclose(seed_spread(n, error, 1000), expected)
    # with a huge test set counting is nothing, and the mean relative variance over sizes is left
    error = pd.Series([0.18, 0.22, 0.05, 0.05])
    relative = np.sqrt((2 * 0.02**2 / 0.2**2) / 2)
    np.testing.assert_allclose(seed_spread(n, error, 10**12), relative * np.array([0.2, 0.2, 0.05, 0.05]), rtol=1e-4)
    assert np.isfinite(seed_spread(pd.Series([5, 9]), pd.Series([1.0, 0.0]), 99)).all()


def test_the_records_are_json():
    rows = [*make_rows(), make_row("aum hardest", 0.1), *(make_row(RULE, 0.1, dataset="digits") for _ in range(2))]
    table = grid.table(rows)
    records = fit_records(table, fit_rules(table), crossovers(table))
    assert json.loads(json.dumps(records, allow_nan=False)) == records
    power = next(record for record in records["fits"] if record["rule"] == "random" and record["law"] == "power")
    assert power["sizes"] == 7
    assert power["intervals"]["b"][0] < power["parameters"]["b"] < power["intervals"]["b"][1]
    assert any("needs at least" in record.get("refused", "") for record in records["fits"])
    found = {(record["dataset"], record["rule"]): record for record in records["crossovers"]}
    assert found["blobs", RULE]["beats"] == "above"
    assert "no rows of the rule 'random'" in found["digits", RULE]["refused"]
    assert {line["rule"] for line in records["paired"]} == {RULE, "aum hardest"}
    assert len(records["equal_cost"]) == 8  # 0.05 to 0.7 of one rule, one of another, and the other data set
    alone = grid.table([make_row(RULE)])
    assert fit_records(alone, fit_rules(alone), crossovers(alone))["paired"] == []


def test_the_report_prints_and_writes_the_fits(tmp_path):
    summary, text = printed(tmp_path, [*make_rows(), make_row("aum hardest", 0.1)])
    assert "scaling laws, 95% intervals: blobs, mlp, short" in text
    assert "beats random above r =" in text
    assert "no fit of aum hardest: power has 2 parameters and needs at least 4 distinct sizes; there are 1." in text
    assert "test error minus that of random on the same seeds" in text
    assert json.loads((tmp_path / results.FITS).read_text()) == summary["scaling"]
    assert (tmp_path / results.FITS_FIGURE).read_bytes().startswith(b"\x89PNG")
    assert text.endswith(str(tmp_path / results.FITS_FIGURE))


def test_one_ensemble_is_said_wherever_an_interval_would_be(tmp_path):
    rows = [replace(row, probe_seed=None if row.rule == "random" else 7) for row in make_rows()]
    _, text = printed(tmp_path, rows)
    found = json.loads((tmp_path / results.FITS).read_text())
    power = {line["rule"]: line for line in found["fits"] if line["law"] == "power"}
    assert (power[RULE]["intervals"], power[RULE]["note"]) == (None, "one probe ensemble")
    assert power["random"]["intervals"]["b"]
    assert power["random"]["note"] is None
    (crossed,) = found["crossovers"]
    assert (crossed["interval"], crossed["note"]) == (None, "one probe ensemble")
    for line in found["paired"]:
        assert (line["low"], line["p"], line["p_holm"], line["note"]) == (None, None, None, "one probe ensemble")
    best = [line for line in found["frontier"] if line["rule"] == RULE and line["n_kept"] < 1000]
    assert best
    assert {(line["test_error_se"], line["low"], line["note"]) for line in best} == {(None, None, "one probe ensemble")}
    assert f"beats random above r = {crossed['r']:.3g} (one probe ensemble)" in text
    assert f"{power[RULE]['parameters']['b']:.3g} (one probe ensemble)" in text
    assert "one probe ensemble, so no interval: el2n hardest" in text


def test_differences_printed_are_one_family():
    table = grid.table([*make_rows(), *(replace(row, dataset="digits", key=f"d{row.key}") for row in make_rows())])
    console = Console(file=io.StringIO(), width=250, color_system=None)
    print_fits(console, table, fit_rules(table, laws=("power",)), [])
    text = " ".join(console.file.getvalue().split())
    assert text.count("after Holm's correction over all 12 comparisons of the grid") == 2


def test_without_fit_the_summary_has_them_where_there_are_enough_sizes(tmp_path):
    summary, text = printed(tmp_path / "enough", make_rows(), fit=False)
    assert summary["scaling"]["fits"]
    assert "scaling laws" not in text
    assert not (tmp_path / "enough" / results.FITS).exists()
    summary, _ = printed(tmp_path / "few", make_rows(fractions=(0.1, 0.5)), fit=False)
    assert summary["scaling"] is None
