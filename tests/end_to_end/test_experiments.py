"""The experiments by paper: at every scale they compose, and at the smallest they run and end with their figure."""

import re
from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from helpers.config import CONF, composed_cell, options
from helpers.scripts import run_script
from winnow.cli.cells import cell_from
from winnow.scaling import grid

SCALES = [path.stem for path in options("scale")]
HEADS = {path.stem: path.read_text() for path in options("experiment") if "override /scale" in path.read_text()}
SCRIPTS = {
    name: re.findall(r"^# python scripts/(\w+\.py) ", head, flags=re.MULTILINE)[0] for name, head in HEADS.items()
}
QUICK = ("paul_offset", "toneva_seeds")  # its grids differ in options; another script
TOLD = {name: dict(re.findall(r"^# +(\w+): (.*)$", head, flags=re.MULTILINE)) for name, head in HEADS.items()}


def cells_of(experiment: str, scale: str) -> list[list[str]]:
    """The first and the last cell of each grid of an experiment."""
    sweeper = composed_cell(f"experiment={experiment}", f"scale={scale}").hydra.sweeper
    cells = []
    for changes in ({}, *sweeper.get("also", ())):
        params = {name: value for name, value in {**sweeper.params, **changes}.items() if value is not None}
        parsed = OverridesParser.create().parse_overrides([f"{name}={value}" for name, value in params.items()])
        values: list[Any] = [
            list(each.sweep_string_iterator()) if each.is_sweep_override() else [each.get_value_element_as_str()]
            for each in parsed
        ]
        for place in (0, -1):
            cells.append([f"{each.get_key_element()}={own[place]}" for each, own in zip(parsed, values, strict=True)])
    return cells


def check_composes(experiment: str, scale: str) -> None:
    for overrides in cells_of(experiment, scale):
        cfg = composed_cell(f"experiment={experiment}", f"scale={scale}", *overrides)
        assert cfg.hydra.sweep.dir == f"outputs/{experiment}/{scale}"
        assert cell_from(cfg).rule


def test_there_is_one_for_each_published_figure() -> None:
    papers = {name.partition("_")[0] for name in HEADS}
    assert papers >= {"ayed", "paul", "sorscher", "toneva", "ccs", "dual"}
    assert set(SCALES) >= {"smoke", "cpu", "gpu", "paper"}
    for name in ("ayed_logistic", "sorscher_theory", "learning_law"):
        assert (CONF / "figure" / f"{name}.yaml").exists(), "a figure of theory is drawn, not trained"


@pytest.mark.parametrize("experiment", HEADS)
def test_an_experiment_says_what_it_takes_and_what_came_out(experiment: str) -> None:
    assert set(TOLD[experiment]) == {"hardware", "time", "result"}


@pytest.mark.parametrize(
    ("experiment", "scale"),
    [
        pytest.param(name, scale, marks=() if i % len(SCALES) == j and i % 3 == 0 else pytest.mark.slow)
        for i, name in enumerate(HEADS)
        for j, scale in enumerate(SCALES)
    ],
)
def test_every_experiment_composes_at_every_scale(experiment: str, scale: str) -> None:
    check_composes(experiment, scale)


@pytest.mark.parametrize(
    ("scale", "recipe"), [("paper", "paul2021"), ("paper_ccs2023", "ccs2023"), ("paper_dual2025", "dual2025")]
)
def test_the_scale_of_a_paper_is_its_protocol(scale: str, recipe: str) -> None:
    cell = cell_from(composed_cell("experiment=ccs_table", f"scale={scale}"))
    own = cell_from(composed_cell("dataset=cifar10", f"recipe={recipe}", f"probe={recipe}"))
    assert (cell.dataset, cell.model, cell.recipe, cell.probe) == (own.dataset, own.model, own.recipe, own.probe)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of one store for all of them."""
    return tmp_path_factory.mktemp("experiments")


@pytest.mark.parametrize("experiment", HEADS)
def test_every_experiment_runs_at_the_smallest_scale_and_ends_with_its_figure(
    experiment: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    script = SCRIPTS[experiment]
    more = ["diagnose=shift"] if script == "select.py" else []
    if experiment not in QUICK:  # one replicate, and no page: what they share is tried by those
        more.append("scale.seeds=0")
        monkeypatch.setattr("winnow.cli.report.write", lambda folder, artifacts: folder)
    ended = run_script(script, "-m", f"experiment={experiment}", "scale=smoke", *more, capsys=capsys)
    assert ended.code == 0, ended.err
    drawn = folder / "outputs" / experiment / "smoke"
    assert (drawn / f"{experiment}.png").read_bytes().startswith(b"\x89PNG")
    assert (drawn / f"{experiment}.pdf").read_bytes().startswith(b"%PDF")
    assert (drawn / f"{experiment}.csv").stat().st_size > 100
    assert ended.out.splitlines()[-2:] == [f"outputs/{experiment}/smoke/{experiment}.{kind}" for kind in ("png", "pdf")]
    if script == "run.py":
        rules = set(grid.read(drawn / "grid.csv")["rule"])
        assert "random" in rules
        assert len(rules) > 1 or experiment == "data_limited"


def test_a_further_grid_leaves_out_what_its_cells_do_not_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where the command line gives it; what else the command line gives holds in all grids."""
    monkeypatch.chdir(tmp_path)
    given = ["selector.skip=0.05,0.1", "seed=0", "compression.r=0.2", "dataset.label_noise=0"]
    ended = run_script("run.py", "-m", "experiment=paul_offset", "scale=smoke", *given, "plan=true", capsys=capsys)
    assert ended.code == 0, ended.err
    assert "3 cells" in ended.out
    assert not list(tmp_path.rglob("*.png")), "a plan draws nothing"


@pytest.mark.parametrize(
    ("script", "experiment", "says"),
    [
        ("run.py", "toneva_seeds", "score.py -m experiment=toneva_seeds`"),
        ("select.py", "ayed_shift", "select.py -m experiment=ayed_shift diagnose=shift`"),
        ("score.py", "paul_offset", "run.py -m experiment=paul_offset`"),
    ],
)
def test_a_command_that_does_not_leave_what_the_figure_reads_is_refused_before_it_starts(
    script: str,
    experiment: str,
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = run_script(script, "-m", f"experiment={experiment}", "scale=smoke", capsys=capsys)
    assert ended.code == 1
    assert says in ended.err
    assert not (tmp_path / "artifacts").exists()
