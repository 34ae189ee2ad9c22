"""Bad input gets one clear line and exit code 1, and leaves no artifact behind."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.scripts import TINY, finished_artifacts, run_script
from winnow import pipeline
from winnow.core.errors import MismatchError, ShapeError
from winnow.core.types import Scores
from winnow.datasets.synthetic import Synthetic
from winnow.selectors.threshold import Threshold
from winnow.store.artifacts import ArtifactStore

BAD = {
    "r above one": (["compression.r=1.5"], "must be in (0, 1]"),
    "r zero": (["compression.r=0"], "must be in (0, 1]"),
    "budget under one example": (["compression.r=0.001"], "keeps none"),
    "count above n": (["compression=count", "compression.count=500"], "more than the 120"),
    "alpha above one": (["selector=calibrated", "alpha.value=1.2"], "must be in [0, 1]"),
    "exact without exploration": (["selector=calibrated", "alpha.value=1"], "lower alpha"),
    "unknown option of a group": (["metric=el3n"], "aum"),
    "unknown group": (["metrik=el2n"], "metric, model"),
    "unknown value": (["metric.varient=window"], "Known in metric: epoch, variant, window."),
    "value of another option": (["selector.protocol=exact"], "protocol belongs to selector=calibrated"),
    "root of no data set": (["dataset=digits", "dataset.root=here"], "cifar100 or fashion_mnist or imagefolder"),
    "seed that is no number": (["seed=abc"], "whole number"),
    "plan that is neither true nor false": (["plan=maybe"], "choose true or false"),
    "seed that is no integer": (["seed=1.5"], "whole number"),
    "rate that is not finite": (["recipe.lr=nan"], "recipe.lr=nan"),
    "option that would be ignored": (["selector=calibrated", "selector.tau=0.3"], "protocol=tempered"),
    "signal that is no selector": (["selector=calibrated", "selector.signal=cccs"], "cccs is not known; choose"),
    "scores that have seen the test labels": (["metric=influence", "metric.targets=test"], "held_out"),
    "sweep without -m": (["experiment=demo"], "add -m"),
    "unknown choice": (["metric.variant=windows"], "choose one of: ensemble, window"),
    "epoch that is not evaluated": (["metric.epoch=2"], "evaluated after: 1"),
    "window longer than the probes": (["metric.variant=window"], "probe.epochs=2"),
    "missing data folder": (["dataset=imagefolder", "dataset.root=nowhere"], "nowhere"),
    "root not given": (["dataset=imagefolder"], "dataset.root is not given; give dataset.root=..."),
    "fraction of a member": (["probe.members=2.5"], "must be int"),
    "embeddings that are not there": (
        ["metric=ssp", "embedding=npy", "embedding.path=no.npy"],
        "embedding.path=no.npy",
    ),
    "embeddings of no file": (["metric=ssp", "embedding=npy"], "embedding.path"),
    "encoder without weights": (["metric=ssp", "embedding=encoder", "embedding.weights=no.pt"], "no file"),
    "option of an embedding": (["embedding=simclr", "embedding.epochs=few"], "embedding.epochs=few"),
    "name of an embedding's option": (["embedding=simclr", "embedding.epoch=1"], "Known in embedding: batch_size"),
    "labels moved by no file": (["dataset.label_noise=0.1", "dataset.noise_kind=example"], "confusions=FILE.npy"),
    "number that is none": (["compression.r=few"], "few"),
    "function for a class": (["selector._target_=os.system"], "a subclass of winnow.selectors.base.Selector"),
    "class that is nowhere": (["model._target_=nowhere.Model"], "No module named 'nowhere'"),
    "group that is nothing": (["selector=null"], "must be a string or a list"),
    "store that is nothing": (["paths.artifacts=null"], "paths.artifacts=None must be the path of a folder"),
    "launcher that is none": (["-m", "hydra.launcher._target_=os.system"], "os.system"),
    "one value to normalise": (
        ["model=resnet8", "dataset.size=4", "compression=count", "compression.count=1"],
        "a batch of one example",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_one_line_exit_code_one_and_no_artifact(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    overrides, told = BAD[case]
    base = [] if any(o.startswith("dataset=") for o in overrides) else TINY
    options = [each for each in overrides if each == "-m"]
    ended = run_script("run.py", *options, *base, *(each for each in overrides if each != "-m"), capsys=capsys)
    assert ended.code == 1
    (line,) = [line for line in ended.err.splitlines() if line]
    assert line.startswith("error: ")
    assert told in line
    assert "To append" not in line
    assert finished_artifacts(tmp_path / "artifacts") == []
    assert list(tmp_path.rglob("row.json")) == []


def test_a_misspelt_name_in_a_sweep_is_one_line_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = run_script("run.py", "-m", *TINY, "metric=el2n,aum", "modl=resnet8", capsys=capsys)
    assert ended.code == 1
    assert len(ended.err.splitlines()) == 1
    assert "modl" in ended.err


@pytest.mark.parametrize(("option", "name"), [("export", "Export"), ("diagnose", "Shift")])
def test_what_a_selection_asks_for_is_checked_before_it_selects(
    option: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = run_script("select.py", *TINY, "diagnose=shift", f"{option}._target_=os.system", capsys=capsys)
    assert ended.code == 1
    (line,) = ended.err.splitlines()
    assert line.startswith(f"error: {option}._target_=os.system is no class")
    assert line.endswith(f".{name}.")
    assert finished_artifacts(tmp_path / "artifacts") == []


def test_a_figure_that_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = run_script("figures.py", "figure=perceptron_phase", "figure._target_=os.system", capsys=capsys)
    assert ended.code == 1
    (line,) = ended.err.splitlines()
    assert line.startswith("error: figure._target_=os.system is not that; it must be a function that returns")


EXPORTS = {
    "files of data without files": (["export=files", "export.to=kept"], "take export=table"),
    "a folder that is not empty": (["export.to=taken"], "not an empty folder"),
    "unknown export": (["export=zip"], "links"),
    "a misspelt option": (["export.too=kept"], "Known in export: to."),
}


@pytest.mark.parametrize("case", EXPORTS)
def test_an_export_that_cannot_be_is_told_before_anything_is_trained(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine").write_text("precious")
    overrides, told = EXPORTS[case]
    ended = run_script("select.py", *TINY, *overrides, capsys=capsys)
    assert ended.code == 1
    (line,) = [line for line in ended.err.splitlines() if line]
    assert line.startswith("error: ")
    assert told in line
    assert finished_artifacts(tmp_path / "artifacts") == []
    assert not (tmp_path / "kept").exists()
    assert [path.name for path in (tmp_path / "taken").iterdir()] == ["mine"]


def test_an_empty_class_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("train/cat", "train/dog", "test/cat", "test/dog"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        if name != "train/dog":
            Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "pets" / name / "1.png")
    monkeypatch.chdir(tmp_path)
    ended = run_script("run.py", "dataset=imagefolder", "dataset.root=pets", capsys=capsys)
    assert ended.code == 1
    assert len(ended.err.splitlines()) == 1
    assert "train/dog has no images" in ended.err
    assert finished_artifacts(tmp_path / "artifacts") == []


def test_an_earlier_row_in_the_folder_does_not_outlive_a_failed_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_script("run.py", *TINY, "hydra.run.dir=here", capsys=capsys).code == 0
    assert json.loads(Path("here/row.json").read_text())["rule"] == "el2n hardest"
    assert run_script("run.py", *TINY, "hydra.run.dir=here", "compression.r=7", capsys=capsys).code == 1
    assert not Path("here/row.json").exists()


def test_scores_of_another_data_set_are_refused(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    dataset = Synthetic(n=100, n_test=20).load(store)
    other = Synthetic(n=100, n_test=20, seed=1).load(store)
    scores = Scores(np.arange(100.0), metric="mine", dataset=other.fingerprint)
    with pytest.raises(MismatchError, match="score this data set"):
        pipeline.select_subset(dataset, selector=Threshold(), scores=scores, r=0.5, store=store)
    assert finished_artifacts(tmp_path) == []


def test_scores_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ShapeError, match="1 of 3 scores are not finite"):
        Scores(np.array([0.0, np.nan, 1.0]), metric="mine", dataset="digits")
