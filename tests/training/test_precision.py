"""precision=auto on a device, and what is said of a bfloat16 that is slower."""

import os
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch

from helpers.scripts import TINY as TINY_CELL
from helpers.scripts import run_script
from helpers.training import CPU, TINY, tiny_dataset, tiny_fit, tiny_probe, tiny_recipe
from winnow.core.errors import OptionError
from winnow.core.machine import device_name
from winnow.datasets.synthetic import Synthetic
from winnow.metrics.el2n import EL2N
from winnow.pipeline import CellSpec, cell_key, score_dataset, train_cell
from winnow.selectors.alpha import Fixed
from winnow.selectors.compression import Fraction
from winnow.selectors.random import Random
from winnow.selectors.threshold import Threshold
from winnow.store.artifacts import ArtifactStore
from winnow.store.keys import make_key
from winnow.training import precision
from winnow.training.precision import settled, slow_choice, slowdown, warn_of_slow_choice

AUTO = tiny_recipe(precision="auto")
CELL = CellSpec(
    dataset=Synthetic(n=60, n_test=50, n_classes=3),
    model=TINY,
    recipe=AUTO,
    probe=tiny_probe(recipe=AUTO),
    metric=EL2N(),
    selector=Threshold(),
    alpha=Fixed(value=1.0),
    compression=Fraction(r=0.5),
)


@pytest.fixture(params=[True, False], ids=["faster", "slower"])
def fast(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the device is one that trains faster in bfloat16."""
    monkeypatch.setattr(precision, "trains_faster_in_bfloat16", lambda kind: request.param)
    return request.param


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device on which bfloat16 takes 7.4 times as long, and of which nothing was said yet."""
    monkeypatch.setattr(precision, "trains_faster_in_bfloat16", lambda kind: False)
    monkeypatch.setattr(precision, "slowdown", lambda kind: 7.4)
    monkeypatch.delenv(precision.WARNED, raising=False)


def test_auto_is_the_faster_of_the_two_and_what_is_named_stays(fast: bool) -> None:
    wanted = "bfloat16" if fast else "float32"
    assert settled(AUTO, CPU) == tiny_recipe(precision=wanted)
    for named in ("float32", "bfloat16"):
        assert settled(tiny_recipe(precision=named), CPU).precision == named
    cell = CELL.settled(CPU)
    assert cell == replace(CELL, recipe=settled(AUTO), probe=replace(CELL.probe, recipe=settled(AUTO)))
    assert (
        cell_key(cell, tiny_dataset())[0]
        == cell_key(
            replace(CELL, recipe=tiny_recipe(precision=wanted), probe=tiny_probe(recipe=tiny_recipe(precision=wanted))),
            tiny_dataset(),
        )[0]
    )


def test_devices_of_different_precision_have_different_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = set()
    for fast in (True, False):
        monkeypatch.setattr(precision, "trains_faster_in_bfloat16", lambda kind, fast=fast: fast)
        keys |= {make_key("x", {"recipe": settled(AUTO)}), make_key("x", {"probe": CELL.probe.settled()})}
    assert len(keys) == 4


def test_what_is_not_settled_has_no_key_and_is_not_trained(tmp_path: Path) -> None:
    store, dataset = ArtifactStore(tmp_path), tiny_dataset()
    message = r"precision=auto is float32 on one device.*settled\(recipe, trainer\)"
    with pytest.raises(OptionError, match=message):
        train_cell(CELL, store=store, trainer=CPU, dataset=dataset)
    with pytest.raises(OptionError, match=message):
        score_dataset(dataset, metric=EL2N(), probe=CELL.probe, store=store, trainer=CPU)
    with pytest.raises(OptionError, match=message):
        tiny_fit(dataset, AUTO)
    assert list(tmp_path.iterdir()) == []


def test_a_row_says_what_was_computed_in(tmp_path: Path, fast: bool) -> None:
    cell = replace(CELL, selector=Random()).settled(CPU)
    row = train_cell(cell, store=ArtifactStore(tmp_path), trainer=CPU, dataset=tiny_dataset())
    assert row.precision == ("bfloat16" if fast else "float32")


def test_a_slow_choice_is_told_with_its_factor(slow: None) -> None:
    said = slow_choice(["float32", "bfloat16"], CPU)
    assert said is not None
    assert said.startswith(f"recipe.precision=bfloat16 takes 7.4 times as long as float32 on {device_name('cpu')}")
    assert said.endswith("use recipe.precision=auto, which is the faster of the two on each device.")


def test_nothing_is_said_of_a_choice_that_is_right(monkeypatch: pytest.MonkeyPatch, slow: None) -> None:
    assert slow_choice(["float32"], CPU) is None
    assert slow_choice([], CPU) is None
    monkeypatch.setattr(precision, "slowdown", lambda kind: 1.05)  # no instructions that are known, and no harm
    assert slow_choice(["bfloat16"], CPU) is None
    monkeypatch.setattr(precision, "trains_faster_in_bfloat16", lambda kind: True)
    monkeypatch.setattr(precision, "slowdown", lambda kind: pytest.fail("it was measured for nothing"))
    assert slow_choice(["bfloat16"], CPU) is None


def test_it_is_said_once_also_for_the_processes_that_this_one_starts(
    slow: None, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        warn_of_slow_choice(["bfloat16"], CPU)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert precision.WARNED in os.environ


def test_the_factor_is_measured_and_touches_nothing() -> None:
    before, threads = torch.random.get_rng_state(), torch.get_num_threads()
    assert slowdown.__wrapped__("cpu") > 0
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.get_num_threads() == threads


def test_a_sweep_and_its_plan_say_it_once_and_before_training(
    slow: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    sweep = ["-m", *TINY_CELL, "selector=random", "seed=0,1", "recipe.precision=bfloat16", "trainer=cpu", "logger=none"]
    planned = run_script("run.py", *sweep, "plan=true", capsys=capsys)
    assert "trainings: 2 to run, 0 finished, in bfloat16" in planned.out
    assert planned.out.count("WARNING: recipe.precision=bfloat16 takes 7.4 times") == 1
    trained = run_script("run.py", *sweep, "hydra.sweep.dir=grid", capsys=capsys)
    assert trained.code == 0, trained.err
    assert (trained.out + trained.err).count("recipe.precision=bfloat16 takes 7.4 times") == 1
    assert set(pd.read_csv("grid/grid.csv")["precision"]) == {"bfloat16"}
