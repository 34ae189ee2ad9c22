import json
from dataclasses import fields

import pytest
import yaml

from helpers.config import CONF
from helpers.scripts import run_script
from winnow.core.types import Row
from winnow.pipeline.logged import COLUMNS
from winnow.reports import dashboard, wandb_dashboard
from winnow.training.callbacks.trajectory_recorder import MOST_EVENTS

SUMMARY = {each.name for each in fields(Row)} | {f"cells/{name}" for name in ("done", "failed", "missing")}
SUMMARY |= {f"forgetting/{name}" for name in (*range(MOST_EVENTS), f"{MOST_EVENTS}+")}
LOGGED = {"config": {*COLUMNS, "seed"}, "summary": SUMMARY, "history": {"epoch", "train_loss"}}
MEDIA, TABLES = {"scaling curves"}, {"grid", "failures", "fits", "forgetting/most"}


def all_panels():
    whole = [panel for section in dashboard.workspace("p")["sections"] for panel in section["panels"]]
    return whole + [panel for name in dashboard.FIGURES for panel in dashboard.report(name, "p")["panels"]]


def test_every_value_that_a_panel_shows_is_one_that_runs_have():
    for panel in all_panels():
        values = [panel.get("x"), *panel.get("values", []), *panel.get("columns", {}).values()]
        y = panel.get("y")
        values += y if isinstance(y, list) else [y]
        for value in filter(None, values):
            source, _, name = value.partition(":")
            assert name in LOGGED[source], value
        assert set(panel.get("keys", [])) <= MEDIA
        assert panel["kind"] != "table" or panel["table"] in TABLES
    assert {panel["kind"] for panel in all_panels()} == {"scatter", "parallel", "lines", "bars", "media", "table"}


def test_the_figures_are_those_of_the_command_figures():
    for name in dashboard.FIGURES:
        target = yaml.safe_load((CONF / "figure" / f"{name}.yaml").read_text())["_target_"]
        assert target.startswith("winnow.figures.")


def test_a_sweep_alone():
    whole, one = dashboard.workspace("p"), dashboard.workspace("p", group="outputs/demo")
    assert (whole["filters"], one["filters"]) == ("", "Group = 'outputs/demo'")
    curves = dashboard.report("scaling_curves", "p", group="outputs/demo")
    assert curves["filters"] == "Group = 'outputs/demo' and JobType in ['train', 'sweep']"
    assert dashboard.report("error_against_alpha", "p")["filters"] == "JobType = 'train'"


def test_a_dry_run_prints_it(capsys):
    ended = run_script("dashboard.py", "me/p", "--group", "demo", "--dry-run", capsys=capsys)
    assert json.loads(ended.out) == dashboard.workspace("p", entity="me", group="demo")
    ended = run_script("dashboard.py", "p", "--figure", "scaling_curves", "--dry-run", capsys=capsys)
    assert json.loads(ended.out) == dashboard.report("scaling_curves", "p")


def test_an_extra_that_is_not_installed_is_said(monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    ended = run_script("dashboard.py", "me/p", capsys=capsys)
    assert (ended.code, ended.out) == (1, "")
    assert 'pip install "winnow[dashboard]", or add --dry-run' in ended.err


def test_what_a_server_would_be_sent(monkeypatch):
    interface = pytest.importorskip("wandb_workspaces.reports.v2.interface", reason="the extra is not installed")
    monkeypatch.setattr(interface, "_get_api", lambda: None)
    monkeypatch.setattr(interface.Runset, "_to_model", lambda self: interface.internal.Runset(project=None))
    made = wandb_dashboard.workspace(dashboard.workspace("p", entity="me", group="demo"))
    sent = json.loads(made._to_model().spec.model_dump_json(by_alias=True, exclude_none=True))["section"]
    sections = sent["panelBankConfig"]["sections"]
    assert [len(each["panels"]) for each in sections] == [len(each["panels"]) for each in dashboard.sections()]
    assert sections[0]["panels"][0]["config"]["yAxis"] == "summary:test_error"
    assert sections[1]["panels"][0]["config"]["columns"][0]["accessor"] == "config:r.value"
    assert "demo" in json.dumps(sent["runSets"][0]["filters"])
    for name, (_, _, panels) in dashboard.FIGURES.items():
        report = wandb_dashboard.report(dashboard.report(name, "p", entity="me"))
        blocks = json.loads(report._to_model().spec.model_dump_json(by_alias=True, exclude_none=True))["blocks"]
        (grid,) = (block for block in blocks if block["type"] == "panel-grid")
        assert len(grid["metadata"]["panelBankSectionConfig"]["panels"]) == len(panels)
