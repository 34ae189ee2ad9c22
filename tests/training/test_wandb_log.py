"""What wandb is told, by a stand-in for it; test_loggers.py reads real offline runs."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import wandb

from helpers.rows import make_row
from helpers.wandb_stand_in import StandIn, names
from winnow.cli.sweep_log import fits_table
from winnow.core.errors import OptionError
from winnow.pipeline import row_columns
from winnow.training import wandb_sweep
from winnow.training.logger_spec import Made, SweepRecord
from winnow.training.loggers import WandbLog

PLACES = ("WANDB_CACHE_DIR", "WANDB_DATA_DIR")
ROW = make_row("el2n hardest", r=0.1, seed=3)


@pytest.fixture
def told(monkeypatch, tmp_path):
    for name in (*wandb_sweep.VARIABLES, "WANDB_PROJECT", "WANDB_ENTITY", *PLACES):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    for name in PLACES:
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setattr(wandb_sweep, "_asked", None)
    stand_in = StandIn()
    monkeypatch.setattr(wandb, "init", stand_in.init)
    return stand_in


def spec(folder: Path, **options: object) -> WandbLog:
    return WandbLog(folder=str(folder), mode="online", **options)


def test_a_cell_is_named_and_tagged_by_its_columns(told, tmp_path):
    log = spec(tmp_path, group="g" * 200)
    log.close(log.open("key", kind="cell", config=row_columns(ROW) | {"dataset": "d" * 100}), ROW)
    (run,) = told.runs
    assert (run.name, run.job_type) == ("el2n hardest r=0.1 seed 3", "train")
    assert run.tags == ["d" * 64, ROW.model, "el2n hardest"]
    assert run.group == "g" * 128
    assert (run.config["seed"], run.config["alpha"], run.summary["test_error"]) == (3, ROW.alpha, ROW.test_error)
    assert run.exit_code == 0


def test_what_has_no_such_columns_is_called_by_its_key(told, tmp_path):
    log = spec(tmp_path)
    log.close(log.open("key", kind="cell", config={}), failed=True)
    assert (told.runs[0].name, told.runs[0].tags, told.runs[0].exit_code) == ("key", [], 1)


def test_an_artifact_is_the_same_to_who_makes_and_who_uses_it(told, tmp_path):
    (tmp_path / "subset.parquet").write_text("kept")
    probe, model = Made("probe", "p1"), Made("model", "m1", tmp_path)
    scores, subset = (
        Made("scores", "s1", tmp_path / "subset.parquet"),
        Made("subset", "k1", tmp_path / "subset.parquet"),
    )
    for number, (kind, made, uses) in enumerate(
        [("probe", probe, []), ("score", scores, [probe]), ("select", subset, [scores]), ("cell", model, [subset])]
    ):
        log = spec(tmp_path / str(number))
        if kind in ("score", "select"):
            log.stage(kind, made, uses=uses, config={})
        else:
            opened = log.open(made.key, kind=kind, config={})
            log.artifact(opened, made, uses=uses)
            log.close(opened)
    runs = told.runs
    assert [run.job_type for run in runs] == ["probe", "score", "select", "train"]
    assert [names(run.used) for run in runs] == [[], *(names(run.made) for run in runs[:3])]
    assert [list(run.made[0].manifest.entries) for run in runs] == [
        ["key.json"], ["subset.parquet"], ["subset.parquet"], ["key.json"]
    ]  # fmt: skip
    assert runs[2].summary == {"artifact/subset": "subset-k1"}


def test_what_is_uploaded_is_chosen(told, tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "weights.safetensors").write_text("w")
    log = spec(tmp_path / "out", upload=("model",))
    log.stage("select", Made("subset", "k", tmp_path / "store" / "weights.safetensors"), config={})
    log.stage("select", Made("model", "m", tmp_path / "store"), config={})
    assert [list(run.made[0].manifest.entries) for run in told.runs] == [["key.json"], ["weights.safetensors"]]
    with pytest.raises(OptionError, match=r"logger\.upload=probe.*scores, subset, model"):
        spec(tmp_path, upload=("probe",))


def test_images_stand_beside_the_lines_of_a_table(told, tmp_path):
    log = spec(tmp_path)
    opened = log.open("key", kind="cell", config={})
    for channels in (1, 3):
        images = np.zeros((2, 8, 8, channels), np.uint8)
        log.images(opened, f"of {channels}", pd.DataFrame({"index": [4, 7], "events": [2, 1]}), images)
        shown = told.runs[0].table(f"of {channels}")
        assert list(shown.columns) == ["image", "index", "events"]
        assert shown["index"].tolist() == [4, 7]
        assert all(isinstance(image, wandb.Image) for image in shown["image"])


def test_a_stage_and_a_cell_have_one_run_in_a_folder(told, tmp_path):
    log, other = spec(tmp_path / "sweep"), spec(tmp_path / "other")
    for each in (log, log, other):
        each.stage("select", Made("subset", "k"), config={})
    assert [run.options["dir"] for run in told.runs] == [log.folder, other.folder]
    log.close(log.open(ROW.key, kind="cell", config=row_columns(ROW)), ROW)
    for each in (log, other, other):
        each.cached(ROW, config=row_columns(ROW))
    own, cached = told.of("train")
    assert (own.name, "cached" in own.tags, "cached" in cached.tags) == (cached.name, False, True)
    assert (cached.summary["test_error"], cached.config) == (ROW.test_error, own.config)


def test_a_training_that_failed_is_no_run_of_a_finished_cell(told, tmp_path):
    log = spec(tmp_path)
    log.close(log.open(ROW.key, kind="cell", config={}), failed=True)
    log.cached(ROW, config=row_columns(ROW))
    assert [run.tags[-1:] for run in told.runs] == [[], ["cached"]]
    assert told.runs[1].id == told.runs[0].id, "it goes on"


def test_a_sweep_takes_the_place_of_its_former_self(told, tmp_path):
    (tmp_path / "grid.csv").write_text("rule")
    (tmp_path / "report.html").write_text("<p>")
    grid = pd.DataFrame({"rule": ["random", None], "r": [0.1, np.nan]})
    record = SweepRecord(
        config={"dataset": "digits"},
        grid=grid,
        counts={"done": 2, "failed": 1},
        tables={"failures": pd.DataFrame({"message": ["out of memory"]})},
        page=tmp_path / "report.html",
        files=[tmp_path / "grid.csv"],
    )
    for _ in range(2):
        spec(tmp_path).sweep("demo", record)
    first, second = told.runs
    assert (first.job_type, first.name, first.tags, second.id) == ("sweep", "demo", ["digits"], first.id)
    assert (first.options["resume"], second.options["resume"]) == (None, "allow")
    assert first.summary["cells/failed"] == 1
    assert [list(line) for line in first.summary["grid"].data] == [["random", 0.1], [None, None]]
    assert first.table("failures")["message"].tolist() == ["out of memory"]
    assert isinstance(first.summary["report"], wandb.Html)
    assert list(first.made[0].manifest.entries) == ["grid.csv"]


def test_fits_are_a_table_whose_columns_have_one_type_each(told, tmp_path):
    named = {"rule": "random", "law": "power"}
    fitted = {"parameters": {"a": 0.5}, "intervals": {"a": [0.1, None]}, "aicc": -3.0, "note": None}
    records = [
        named | fitted,
        named | {"refused": "too few sizes"},
        named | fitted | {"intervals": None, "note": "why"},
    ]
    record = SweepRecord(config={}, grid=pd.DataFrame({"r": [1]}), counts={}, tables={"fits": fits_table(records)})
    spec(tmp_path).sweep("demo", record)
    shown = told.runs[0].table("fits")
    assert {"a", "a low", "a high", "aicc", "refused"} < set(shown.columns)
    assert shown["a low"].tolist()[0] == 0.1
    assert [shown["refused"][1], shown["note"][2]] == ["too few sizes", "why"]


def test_of_what_an_agent_asks_for_only_the_cell_is_its_run(told, tmp_path, monkeypatch):
    (tmp_path / "asked.yaml").write_text("wandb_version: 1\ncompression.r: {value: 0.35}\n")
    for name, value in zip(wandb_sweep.VARIABLES, ("sweepid", "runid", str(tmp_path / "asked.yaml")), strict=True):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("WANDB_PROJECT", "theirs")
    log = spec(tmp_path / "out", project="mine", group="folder")
    for kind in ("probe", "cell"):
        log.close(log.open("key", kind=kind, config={"r": 0.35}))
    probe, cell = told.runs
    assert [(run.id, run.options["settings"].sweep_id) for run in told.runs] == [("id0", None), ("runid", "sweepid")]
    assert {(run.options["project"], run.group) for run in told.runs} == {("theirs", "sweepid")}
    assert (probe.config, cell.config) == ({"r": 0.35}, {"r": 0.35, "compression.r": 0.35})
