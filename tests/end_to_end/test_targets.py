"""LESS towards a validation folder, as a user runs it."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from helpers.photos import make_photos
from helpers.scripts import finished_artifacts, run_script

LESS = ["metric=less", "metric.projection=64", "probe.members=2", "probe.epochs=2", "probe.evaluate_at=[1]"]
PHOTOS = ["dataset=imagefolder", "dataset.root=photos", "dataset.size=8", "model=smallconv", "model.width=4", *LESS]


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    root = make_photos(tmp_path / "photos")
    rng = np.random.default_rng(0)
    for path in sorted((root / "train").glob("*/*.png")):  # texture, so that examples differ in more than brightness
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(path)
    return root


def scored(*overrides: str, capsys: pytest.CaptureFixture[str]) -> tuple[str, pd.DataFrame]:
    ended = run_script("score.py", *overrides, capsys=capsys)
    assert ended.code == 0, ended.err
    path = ended.out.splitlines()[-1]
    return path, pd.read_parquet(path)


def test_copies_of_training_images_are_the_targets_that_their_indices_are(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    similarity = "metric.similarity=inner_product"
    chosen = {0: "cat/img1.png", 5: "cat/img6.png", 25: "emu/img2.png"}
    for name in chosen.values():
        (tmp_path / "mine" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(photos / "train" / name, tmp_path / "mine" / name)
    path, outside = scored(*PHOTOS, similarity, "metric.folder=mine", capsys=capsys)
    _, inside = scored(*PHOTOS, similarity, f"metric.indices={list(chosen)}", capsys=capsys)
    assert [outside.file[i] for i in chosen] == [f"train/{name}" for name in chosen.values()]
    is_target = np.isin(np.arange(len(outside)), list(chosen))
    np.testing.assert_allclose(outside.score[~is_target], inside.score[~is_target], rtol=1e-4, atol=1e-6)
    # A target counts itself here: t · mean over all targets is (t − 1) · that over the others, and its own square.
    own = 3 * outside.score[is_target] - 2 * inside.score[is_target]
    alone = []
    for i, name in chosen.items():
        shutil.rmtree(tmp_path / "mine")
        (tmp_path / "mine" / name).parent.mkdir(parents=True)
        shutil.copy(photos / "train" / name, tmp_path / "mine" / name)
        alone.append(scored(*PHOTOS, similarity, "metric.folder=mine", capsys=capsys)[1].score[i])
    np.testing.assert_allclose(own, alone, rtol=1e-3)
    assert min(alone) > 0
    assert len(finished_artifacts(tmp_path / "artifacts", "probe")) == 2  # never trained again

    for name in chosen.values():
        (tmp_path / "moved" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(photos / "train" / name, tmp_path / "moved" / name)
    assert scored(*PHOTOS, similarity, "metric.folder=moved", capsys=capsys)[0] == path  # the content is the key


def test_a_cell_is_selected_by_it_and_what_it_cost_is_in_the_row(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(photos / "train" / "emu", tmp_path / "mine" / "emu")
    cell = [*PHOTOS, "recipe.epochs=1", "compression.r=0.5", "metric.folder=mine", "metric.title=emus"]
    ended = run_script("run.py", *cell, capsys=capsys)
    assert ended.code == 0, ended.err
    row = pd.read_json(ended.out.splitlines()[-1], typ="series")
    assert row.rule == "less to emus[projection=64] hardest"
    assert row.probe_examples == 2 * (28 * (2 + 1 + 1) + 4)


REFUSED = {
    "the test folder": ("metric.folder=photos/test", "nothing may be selected by test images"),
    "an unknown class": ("metric.folder=others", "has a class that photos lacks: yak"),
    "no folder": ("metric.folder=nowhere", "there is no folder metric.folder=nowhere"),
    "two target sets": ("metric.folder=others metric.indices=[1,2]", "give one of them"),
}


@pytest.mark.parametrize(("script", "case"), [*(("run.py", case) for case in REFUSED), ("score.py", "the test folder")])
def test_refused_in_one_line_and_nothing_is_trained(
    script: str, case: str, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(photos / "train" / "emu", tmp_path / "others" / "yak")
    overrides, told = REFUSED[case]
    ended = run_script(script, *PHOTOS, *overrides.split(), capsys=capsys)
    assert ended.code == 1
    (line,) = [line for line in ended.err.splitlines() if line]
    assert line.startswith("error: ")
    assert told in line
    assert finished_artifacts(tmp_path / "artifacts", "probe") == []


def test_the_digits_take_a_folder_of_photographs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("3", "8"):
        (tmp_path / "mine" / name).mkdir(parents=True)
        pixels = np.random.default_rng(int(name)).integers(0, 256, (20, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "mine" / name / "a.jpg")
    digits = ["dataset=digits", "dataset.limit=100", "model.width=4", *LESS, "metric.folder=mine"]
    _, table = scored(*digits, capsys=capsys)
    assert table.score.between(-1, 1).all()
    assert table.score.nunique() > 90
