"""The scripts as a user runs them."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from helpers.photos import make_photos
from helpers.scripts import TINY, finished_artifacts, run_script, start_script


def _modified(root: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}


def test_a_grid_in_a_process_of_its_own_and_again_without_recomputing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = ["-m", *TINY, "selector=random,threshold", "compression.r=0.2,1", "hydra.sweep.dir=grid"]

    log = tmp_path / "printed.txt"
    assert start_script("run.py", *sweep, folder=tmp_path, log=log).wait() == 0, log.read_text()
    assert log.read_text().splitlines()[-3:] == ["grid/grid.csv", "grid/scaling_curves.png", "grid/report.html"]
    grid = pd.read_csv(tmp_path / "grid/grid.csv")
    assert sorted(zip(grid.rule, grid.n_kept, strict=True)) == [
        ("el2n hardest", 24),
        ("el2n hardest", 120),
        ("random", 24),
        ("random", 120),
    ]
    assert (tmp_path / "grid/scaling_curves.png").stat().st_size > 10_000
    assert json.loads((tmp_path / "grid/summary.json").read_text())["cells"]["done"] == 4
    # Everything at r=1 is one subset, so four cells are three trainings.
    assert len(finished_artifacts(tmp_path / "artifacts", "model")) == 3
    assert grid[grid.n_kept == 120].test_error.nunique() == 1

    before = _modified(tmp_path / "artifacts")
    monkeypatch.chdir(tmp_path)
    second = run_script("run.py", *sweep[:-1], "hydra.sweep.dir=again", capsys=capsys)
    assert second.code == 0, second.err
    assert "0 done, 4 cached, 0 failed" in second.out
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "again/grid.csv"), grid)
    assert [path.name for path in (tmp_path / "again/0").iterdir()] == ["row.json"], "no run began"
    after = _modified(tmp_path / "artifacts")
    assert {path: time for path, time in after.items() if "locks" not in path} == {
        path: time for path, time in before.items() if "locks" not in path
    }


def test_one_cell_ends_with_the_path_of_its_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = run_script(
        "run.py", *TINY, "selector=calibrated", "compression=count", "compression.count=30", capsys=capsys
    )
    assert ended.code == 0, ended.err
    row = json.loads(Path(ended.out.splitlines()[-1]).read_text())
    assert (row["rule"], row["n_kept"], row["alpha"]) == ("el2n exact 0.5", 30, 0.5)
    assert row["probe_examples"] == 2 * 120 * (2 + 1)  # two members: two epochs of training, one evaluation
    assert row["steps"] == 2  # one epoch of the full data: ⌈120 / 64⌉ steps
    assert row["examples_seen"] == 30 * row["steps"]
    assert 0 < row["effective_sample_size"] < 30


def test_a_signal_by_name_and_suspects_by_margin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    rule = ["selector=calibrated", "selector.signal=threshold", "selector.drop_suspect=0.1", "selector.suspect_by=aum"]
    ended = run_script("run.py", *TINY, *rule, "compression.r=0.5", capsys=capsys)
    assert ended.code == 0, ended.err
    row = json.loads(Path(ended.out.splitlines()[-1]).read_text())
    assert (row["rule"], row["n_kept"]) == ("el2n hardest exact 0.5 drop=0.1 by aum", 54)


def test_targets_are_listed_in_a_file_or_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("targets.txt").write_text("7\n3\n11\n")
    tables = []
    for listed in ("targets.txt", "[3,7,11]", "[3,7,12]"):
        less = ["metric=less", "metric.projection=16", f"metric.indices={listed}"]
        ended = run_script("score.py", *TINY, *less, capsys=capsys)
        assert ended.code == 0, ended.err
        tables.append(ended.out.splitlines()[-1])
    assert tables[0] == tables[1] != tables[2]  # the content is the key
    assert len(finished_artifacts(tmp_path / "artifacts", "pass")) == 2  # one a probe, whatever the targets
    ended = run_script("score.py", *TINY, "metric=less", "metric.indices=nothing.txt", capsys=capsys)
    assert (ended.code, len(ended.err.splitlines())) == (1, 1)
    assert "one index a line" in ended.err


def test_a_seed_draws_everything_anew_and_the_probes_can_be_pinned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    seen = []
    for overrides in (["seed=3"], ["seed=4"], ["seed=5", "probe.seed=4"]):
        ended = run_script("run.py", *TINY, *overrides, "hydra.run.dir=run", capsys=capsys)
        assert ended.code == 0, ended.err
        row = json.loads(Path("run/row.json").read_text())
        members = len(finished_artifacts(tmp_path / "artifacts", "probe"))
        seen.append((row["probe_seed"], row["selection_seed"], row["train_seed"], members))
    assert seen == [(3, 3, 3, 2), (4, 4, 4, 4), (4, 5, 5, 4)]


def test_one_probe_run_serves_every_metric(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    sweep = ["metric=el2n,forgetting", "selector=random,threshold", "alpha.value=0.1,0.9"]
    ended = run_script("run.py", "-m", *TINY, *sweep, "compression.r=0.3", "hydra.sweep.dir=grid", capsys=capsys)
    assert ended.code == 0, ended.err
    artifacts = tmp_path / "artifacts"
    assert len(finished_artifacts(artifacts, "probe")) == 2  # the members, not metrics times members
    assert len(finished_artifacts(artifacts, "scores")) == 2
    assert len(finished_artifacts(artifacts, "row")) == 3  # random once, and threshold once whatever alpha is
    assert len(pd.read_csv("grid/grid.csv")) == 3
    chosen = run_script(
        "figures.py", "figure.grid=grid/grid.csv", "also=[grid/grid.csv]", "rules=[random]", "out=grid/alone.png",
        capsys=capsys,
    )  # fmt: skip
    assert chosen.code == 0, chosen.err
    assert set(pd.read_csv("grid/alone.csv")["rule"]) == {"random"}


def test_a_failing_cell_leaves_the_others_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = run_script("run.py", "-m", *TINY, "compression.r=0.3,1.5,0.5", "hydra.sweep.dir=grid", capsys=capsys)
    assert ended.code == 1
    assert len(pd.read_csv("grid/grid.csv")) == 2
    assert Path("grid/scaling_curves.png").exists()
    (line,) = [line for line in ended.out.splitlines() if line.startswith("failed: ")]
    assert "compression.r=1.5" in line
    assert "must be in (0, 1]" in line
    assert "Traceback" in Path("grid/1/error.txt").read_text()

    again = run_script("grid.py", "grid", capsys=capsys)
    assert again.code == 0
    assert line in again.out


def test_a_cell_that_cannot_be_composed_fails_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = run_script("run.py", "-m", *TINY, "metric=el3n,el2n", "hydra.sweep.dir=grid", capsys=capsys)
    assert ended.code == 1
    assert len(pd.read_csv("grid/grid.csv")) == 1
    (line,) = [line for line in ended.out.splitlines() if line.startswith("failed: ")]
    assert "metric=el3n" in line
    assert {"el2n", "forgetting"} <= set(line.split())


def test_score_and_select_leave_tables_that_can_be_taken_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    scored = run_script("score.py", *TINY, capsys=capsys)
    scores = pd.read_parquet(scored.out.splitlines()[-1])
    assert list(scores.columns) == ["index", "score", "standard_error", "label"]
    assert list(scores["index"]) == list(range(120))

    run_script("score.py", *TINY, "confusions=seen/rows.npy", capsys=capsys)
    seen = np.load("seen/rows.npy")
    np.testing.assert_allclose(seen.sum(axis=1), np.ones(120), rtol=1e-5)
    noise = [
        "paths.artifacts=noisy",
        "dataset.label_noise=0.1",
        "dataset.noise_kind=example",
        "dataset.confusion=seen/rows.npy",
    ]
    moved = pd.read_parquet(run_script("score.py", *TINY, *noise, capsys=capsys).out.splitlines()[-1])
    assert moved["flipped"].tolist() == (moved["label"] != scores["label"]).tolist()
    assert moved["flipped"].sum() == 12
    for flags, name in (([], "rows.csv"), (["-m", "metric=loss"], "rows.npy")):
        ended = run_script("score.py", *flags, *TINY, f"confusions={name}", capsys=capsys)
        assert ended.code == 1
        assert f"confusions={name}" in ended.out + ended.err

    both = run_script("score.py", "-m", *TINY, "metric=el2n,aum", "hydra.sweep.dir=both", capsys=capsys)
    assert both.code == 0, both.err
    assert len(finished_artifacts(tmp_path / "artifacts", "scores")) == 2
    assert len([line for line in both.out.splitlines() if line.endswith("scores.parquet")]) == 3
    wide = pd.read_parquet("both/scores.parquet")
    assert list(wide.columns) == ["index", "label", "el2n", "aum"]
    assert list(wide["el2n"]) == list(scores["score"])
    assert Path("both/0/image_sheet.png").stat().st_size > 1000
    again = run_script("score.py", "-m", *TINY, "metric=el2n,aum", "hydra.sweep.dir=both", capsys=capsys)
    assert "0 done, 2 cached" in again.out
    drawn = run_script("figures.py", "figure=metric_comparison", "figure.folder=both", capsys=capsys)
    assert drawn.out == "both/metric_comparison.png\n", drawn.err
    assert len(pd.read_csv("both/metric_comparison.csv")) == 3

    refused = run_script("figures.py", "figure=metric_comparison", "figure.folder=both", "rules=[el2n]", capsys=capsys)
    assert "reads none; leave it out" in refused.err

    selected = run_script("select.py", *TINY, "compression.r=0.1", capsys=capsys)
    subset = pd.read_parquet(selected.out.splitlines()[-1])
    assert list(subset.columns) == ["index", "weight", "is_signal", "label"]
    hardest = scores.sort_values("score", ascending=False)["index"][:12]
    assert set(subset["index"]) == set(hardest)


def test_recording_a_cell_leaves_its_trajectory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = run_script("run.py", *TINY, "callbacks=forgetting", "compression.r=0.5", capsys=capsys)
    assert ended.code == 0, ended.err
    (model,) = finished_artifacts(tmp_path / "artifacts", "model")
    assert (model / "correct.npy").exists()
    logged = pd.read_csv(next(Path("outputs").rglob("cell-*/metrics.csv")))
    assert "forgetting/10+" in logged.columns


def test_help_lists_groups_options_and_examples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = run_script("run.py", "--help", capsys=capsys)
    (metrics,) = [line for line in ended.out.splitlines() if line.startswith("metric: ")]
    assert {"aum", "el2n", "forgetting"} <= set(metrics.removeprefix("metric: ").split(", "))
    (selectors,) = [line for line in ended.out.splitlines() if line.startswith("selector: ")]
    assert {"calibrated", "random", "threshold"} <= set(selectors.removeprefix("selector: ").split(", "))
    assert ended.out.count("python scripts/run.py") == 5


def test_an_own_folder_of_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    for part, count in (("train", 12), ("test", 4)):
        for label, name in enumerate(("dark", "light")):
            folder = tmp_path / "photos" / part / name
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(100 * label, 100 * label + 100, (20, 24, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{i}.png")
    monkeypatch.chdir(tmp_path)
    ended = run_script(
        "run.py", "dataset=imagefolder", "dataset.root=photos", "dataset.size=16", "model=resnet8", "model.width=4",
        "recipe.epochs=1", "probe.members=1", "probe.epochs=1", "compression.r=0.5", capsys=capsys,
    )  # fmt: skip
    assert ended.code == 0, ended.err
    row = json.loads(Path(ended.out.splitlines()[-1]).read_text())
    assert (row["dataset"], row["n"], row["n_kept"], row["n_test"]) == ("photos", 24, 12, 8)
    (subset,) = finished_artifacts(tmp_path / "artifacts", "subset")
    assert pd.read_parquet(subset / "subset.parquet")["file"].str.startswith("train/").all()


def test_a_selection_of_own_images_is_exported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_photos(tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    selection = [
        "dataset=imagefolder", "dataset.root=photos", "dataset.limit=24", "selector=random", "compression.r=0.5"
    ]  # fmt: skip
    for kind in ("table", "files", "links"):
        ended = run_script("select.py", *selection, f"export={kind}", f"export.to={kind}", capsys=capsys)
        assert ended.code == 0, ended.err
    table = pd.read_parquet(ended.out.splitlines()[-1])
    assert len(table) == 12
    originals = [str(tmp_path / "photos" / file) for file in table["file"]]
    pd.testing.assert_frame_equal(pd.read_parquet("table/subset.parquet"), table)
    assert Path("files/files.txt").read_text().splitlines() == originals
    assert sorted(str(path.resolve()) for path in Path("links").glob("*/*")) == sorted(originals)
    assert "links: 12 links in 3 class folders, and weights.csv" in ended.out


def test_scores_of_others_come_in_from_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    table = pd.DataFrame({"index": range(119, -1, -1), "quality": range(120)})
    table.to_csv("theirs.csv", index=False)
    table.to_csv("copy.csv", index=False)
    asked = [*TINY, "metric=file", "metric.column=quality", "metric.higher_is=easier"]
    tables = [
        run_script("score.py", *asked, f"metric.path={name}", capsys=capsys) for name in ("theirs.csv", "copy.csv")
    ]
    assert tables[0].code == 0, tables[0].err
    assert tables[0].out.splitlines()[-1] == tables[1].out.splitlines()[-1]  # what is in it counts, not where it lies
    assert list(pd.read_parquet(tables[0].out.splitlines()[-1])["score"]) == [index - 119.0 for index in range(120)]

    ended = run_script("run.py", *asked, "metric.path=theirs.csv", "compression.r=0.1", capsys=capsys)
    row = json.loads(Path(ended.out.splitlines()[-1]).read_text())
    assert (row["rule"], row["probe_examples"], row["probe_seed"]) == ("file hardest", 0, None)
    (subset,) = finished_artifacts(tmp_path / "artifacts", "subset")
    assert list(pd.read_parquet(subset / "subset.parquet")["index"]) == list(range(108, 120))
    assert not finished_artifacts(tmp_path / "artifacts", "probe")

    table[:-2].to_csv("short.csv", index=False)
    for name, message in (("short.csv", "lacks 2 of 120 examples"), ("none.csv", "cannot be read")):
        for script in ("score.py", "run.py"):
            refused = run_script(script, *asked, f"metric.path={name}", capsys=capsys)
            assert refused.code == 1
            assert message in refused.err
            assert refused.err.count("\n") == 1
