import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from winnow.comparison.tables import gather, metrics_of, properties, read, save_scored
from winnow.core.errors import MismatchError, WinnowError
from winnow.core.types import Scores
from winnow.diagnostics.metric_properties import spearman_brown
from winnow.reports.scores import report
from winnow.store import results

LABELS = np.array([0, 0, 1, 1, 2, 2])
FLIPPED = np.array([False, True, False, False, False, False])
SCORES = {"hard": [1.0, 6, 2, 3, 4, 5], "counts": [0.0, 1, 1, 0, 0, 1], "random": [3.0, 1, 2, 6, 5, 4]}
HALVES = pd.DataFrame({"probes": [1, 2], "members": [4, 4], "correlation": [0.4, 0.6]})


def scored(folder: Path, metric: str, fingerprint: str = "six-1", agreement: pd.DataFrame = HALVES) -> None:
    folder.mkdir(parents=True)
    scores = Scores(np.array(SCORES[metric]), metric=metric, dataset=fingerprint)
    columns = {"label": LABELS, "flipped": FLIPPED}
    save_scored(folder, scores=scores, agreement=agreement, dataset="six", columns=columns)


def make_sweep(folder: Path) -> Path:
    for number, metric in enumerate(SCORES):
        scored(folder / str(number), metric, agreement=HALVES[:0] if metric == "random" else HALVES)
    results.save_sweep(folder, [results.SweepCell(str(i), [f"metric={name}", "n=6"]) for i, name in enumerate(SCORES)])
    return folder


def test_a_line_an_example_and_a_column_a_metric(tmp_path):
    gathered, _ = gather(make_sweep(tmp_path))
    table, agreement = read(tmp_path)
    pd.testing.assert_frame_equal(gathered, table)
    assert list(table.columns) == ["index", "label", "flipped", *SCORES]
    assert metrics_of(table) == list(SCORES)
    assert table["hard"].tolist() == SCORES["hard"]
    assert agreement.groupby("metric").size().to_dict() == {"hard": 2, "counts": 2}


def test_properties_by_hand(tmp_path):
    found = properties(*gather(make_sweep(tmp_path))).set_index("metric")
    assert found["tied_pairs"].to_dict() == pytest.approx({"counts": 6 / 15, "hard": 0, "random": 0})
    assert found["flip_auc"].to_dict() == pytest.approx({"counts": 4 / 5, "hard": 1, "random": 0})
    assert found.loc["hard", "half_correlation"] == 0.6
    assert found.loc["hard", "reliability"] == pytest.approx(spearman_brown(0.6, 2))
    assert found.loc["hard", "probes_for_95"] == pytest.approx(2 * 0.95 * 0.4 / (0.05 * 0.6))
    assert np.isnan(found.loc["random", "reliability"])
    ranks = pd.DataFrame(SCORES).rank()
    related = (abs(ranks.corr().loc["hard", "counts"]) + abs(ranks.corr().loc["hard", "random"])) / 2
    assert found.loc["hard", "mean_abs_spearman"] == pytest.approx(related)


def test_the_same_metric_with_other_probes_is_another_column(tmp_path):
    for number in (0, 1):
        scored(tmp_path / str(number), "hard")
    cells = [results.SweepCell(str(s), ["metric=hard", f"probe.seed={s}"]) for s in (0, 1)]
    results.save_sweep(tmp_path, cells)
    assert metrics_of(gather(tmp_path)[0]) == ["hard", "hard probe.seed=1"]


def test_several_data_sets_are_not_mixed_and_nothing_is_said(tmp_path):
    scored(tmp_path / "0", "hard")
    scored(tmp_path / "1", "random", fingerprint="six-2")
    results.save_sweep(tmp_path, [results.SweepCell("0", []), results.SweepCell("1", [])])
    with pytest.raises(MismatchError, match="one data set at a time"):
        gather(tmp_path)
    results.save_sweep(tmp_path, [results.SweepCell("2", [])])
    with pytest.raises(WinnowError, match="nothing was scored"):
        gather(tmp_path)
    with pytest.raises(WinnowError, match="no comparison"):
        read(tmp_path / "2")


def test_the_report_leaves_tables_and_figures_and_names_what_failed(tmp_path, capsys):
    make_sweep(tmp_path)
    cells = results.sweep_cells(tmp_path)
    results.save_sweep(tmp_path, [*cells, results.SweepCell("3", ["metric=dual", "n=6"])])
    results.save_failure(tmp_path / "3", "Traceback\nMissingEvidenceError: dual reads 10 epochs")
    found = report(tmp_path)
    assert list(found["metric"]) == sorted(SCORES)
    assert json.loads((tmp_path / results.PROVENANCE).read_text())["metrics"] == sorted(SCORES)
    out = capsys.readouterr().out
    assert "failed: metric=dual: MissingEvidenceError: dual reads 10 epochs\n" in out
    for name in (results.SCORES, results.PROPERTIES, results.COMPARISON, results.PROBES):
        assert str(tmp_path / name) in out.splitlines()
        assert (tmp_path / name).stat().st_size > 0
