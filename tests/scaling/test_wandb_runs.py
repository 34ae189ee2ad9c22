"""Grids from wandb: what is asked of a server, and what of its runs is a row. test_loggers.py reads offline runs."""

from dataclasses import asdict
from types import SimpleNamespace

import pandas as pd
import pytest
import wandb

from helpers.rows import make_row
from helpers.scripts import run_script
from winnow.core.errors import WinnowError
from winnow.scaling import grid
from winnow.scaling.wandb_runs import read_grid

ROWS = [make_row(rule, r, error) for rule in ("random", "el2n hardest") for r, error in ((0.1, 0.5), (0.5, 0.25))]


class Server:
    """What wandb.Api gives: the runs of one project."""

    def __init__(self, summaries):
        self.summaries, self.asked = summaries, []

    def runs(self, path, filters):
        self.asked.append((path, filters))
        if path != "me/pruning":
            raise ValueError(f"could not find project\n{path}")
        return [SimpleNamespace(summary=summary) for summary in self.summaries]


@pytest.fixture
def server(monkeypatch):
    told = [{name: value for name, value in asdict(row).items() if value is not None} for row in ROWS]
    others = [{"train_loss": 0.5}, {"rule": "random", "test_error": "a string"}]
    found = Server([*told, told[0], *others])
    monkeypatch.setattr(wandb, "Api", lambda: found)
    return found


def test_the_runs_of_a_server_give_the_grid_of_their_rows(server):
    pd.testing.assert_frame_equal(read_grid("me/pruning"), grid.table(ROWS), check_exact=True)
    read_grid("me/pruning/outputs/sweep/demo")
    cells = {"jobType": "train"}
    assert server.asked == [("me/pruning", cells), ("me/pruning", cells | {"group": "outputs/sweep/demo"})]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("nothing", r"wandb:nothing is neither ENTITY/PROJECT\[/GROUP\] nor a folder"),
        (
            "me/other",
            "wandb:me/other is no folder, and as ENTITY/PROJECT cannot be read .could not find",
        ),
    ],
)
def test_what_is_not_there_is_said(server, source, said):
    with pytest.raises(WinnowError, match=said):
        read_grid(source)


def test_a_folder_without_runs_is_said(tmp_path):
    with pytest.raises(WinnowError, match=r"no run in .* is a finished cell"):
        read_grid(str(tmp_path))


def test_a_figure_of_a_grid_in_wandb_keeps_its_rows_beside_it(server, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    ended = run_script("figures.py", "figure=scaling_curves", "figure.grid=wandb:me/pruning", capsys=capsys)
    assert (ended.code, ended.out) == (0, "outputs/figures/scaling_curves.png\n"), ended.err
    kept = grid.read(tmp_path / "outputs/figures/scaling_curves_grid.csv")
    pd.testing.assert_frame_equal(kept, grid.table(ROWS))
    assert "figure.grid=wandb:me/pruning" in (tmp_path / "outputs/figures/scaling_curves.provenance.json").read_text()
