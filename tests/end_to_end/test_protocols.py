"""The papers' protocols as a user asks for them: what they cost, and a run of each at a tiny size."""

import json
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from helpers.config import options
from helpers.scripts import run_script
from winnow.cli.cells import cell_from
from winnow.cli.entry import CONF

N, M = 120, 12  # examples, and a tenth of them
DATA = ["dataset=synthetic", "dataset.n=120", "dataset.n_test=40", "model=resnet8", "model.width=2", "logger=none"]
METRICS = {
    "paul2021": ["metric=el2n", "metric.epoch=20"],
    "ccs2023": ["metric=aum", "selector=ccs"],
    "deepcore": ["metric=forgetting"],
    "dual2025": ["metric=dual", "selector=beta"],
    "tdds2024": ["metric=tdds_official"],
}
COSTS = {  # probes: members x (epochs trained + passes); the training on a tenth: steps x batch, or epochs x kept
    "paul2021": (10 * (20 + 1), 200 * 128),
    "ccs2023": (1 * (200 + 1), 40_000 * 256),
    "deepcore": (1 * (40 + 1), 200 * M),
    "dual2025": (1 * (30 + 1), 200 * M),
    "tdds2024": (1 * (90 + 1), 200 * M),
}
STOPPED, FIXED_STEPS = {"paul2021", "dual2025", "tdds2024"}, {"paul2021", "ccs2023"}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def protocol(name: str) -> list[str]:
    return [*DATA, "selector=threshold", "compression.r=0.1", f"recipe={name}", f"probe={name}", *METRICS[name]]


def test_each_protocol_has_a_recipe_and_probes() -> None:
    recipes, probes = ({path.stem for path in options(group)} for group in ("recipe", "probe"))
    assert recipes - {"images", "digits", "fast"} == probes - {"default", "digits", "simclr"} == METRICS.keys()


def test_scores_after_epoch_20_of_200_are_planned_at_twenty_epochs(capsys: pytest.CaptureFixture[str]) -> None:
    """And steps that are fixed, with batches that are, at the same examples whatever is kept."""
    ended = run_script("run.py", *protocol("paul2021"), "plan=true", capsys=capsys)
    assert ended.code == 0, ended.err
    passes, training = N * COSTS["paul2021"][0], COSTS["paul2021"][1]
    told = f"{passes + training:,}: {training:,} in trainings of cells, {passes:,} in the probes"
    assert f"examples to process: {told}" in ended.out


@pytest.mark.parametrize("name", METRICS)
def test_what_a_protocol_costs(name: str) -> None:
    with initialize_config_dir(CONF, version_base="1.3"):
        cell = cell_from(compose("config", overrides=protocol(name)))
    assert (cell.probe.cost(N, cell.needs), cell.recipe.examples(M, N)) == (N * COSTS[name][0], COSTS[name][1])
    assert cell.probe.recipe.lr == cell.recipe.lr == 0.1
    assert cell.recipe.decay_all


@pytest.mark.parametrize("name", METRICS)
def test_a_protocol_runs_at_a_tiny_size(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    small = ["recipe.batch_size=16", "recipe.epochs=2", "recipe.lr=0.02"]
    small += ["recipe.total_steps=5"] if name == "ccs2023" else []
    small += [f"probe.{each}" for each in ("members=1", "epochs=14", "recipe.batch_size=60", "recipe.lr=0.02")]
    stops = name in STOPPED
    small += ["probe.stop_after=12"] if stops else []
    small += ["metric.epoch=12"] if name == "paul2021" else []
    ended = run_script("run.py", *protocol(name), *small, "hydra.run.dir=run", capsys=capsys)
    assert ended.code == 0, ended.err
    row = json.loads(Path("run/row.json").read_text())
    steps = {"paul2021": 2 * 8, "ccs2023": 5}.get(name, 2)  # 8: batches of the whole training set
    assert (row["n_kept"], row["steps"]) == (M, steps)
    assert row["examples_seen"] == (16 * steps if name in FIXED_STEPS else 2 * M)
    assert row["probe_examples"] == N * (13 if stops else 15)
