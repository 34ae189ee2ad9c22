"""From the plain data of dashboard.py to a workspace or report of wandb-workspaces, which is an extra."""

import importlib.util
from collections.abc import Mapping
from typing import Any

from winnow.core.errors import OptionError

COLUMNS, WIDTH, HEIGHT = 2, 12, 8  # panels abreast, and of each in a report, whose lines are 24 wide


def check_installed() -> None:
    """Raise OptionError where the extra is not installed."""
    if importlib.util.find_spec("wandb_workspaces") is None:
        raise OptionError('wandb-workspaces is not installed; pip install "winnow[dashboard]", or add --dry-run.')


def workspace(data: Mapping[str, Any]) -> Any:
    """A wandb_workspaces.workspaces.Workspace of data from dashboard.workspace, whose entity must be known."""
    import wandb_workspaces.workspaces as ws

    sections = [
        ws.Section(name=each["name"], panels=[_panel(panel) for panel in each["panels"]], is_open=True)
        for each in data["sections"]
    ]
    return ws.Workspace(
        entity=data["entity"],
        project=data["project"],
        name=data["name"],
        sections=sections,
        runset_settings=ws.RunsetSettings(filters=data["filters"], groupby=[ws.Config(_name(data["groupby"]))]),
    )


def report(data: Mapping[str, Any]) -> Any:
    """A wandb_workspaces.reports.v2.Report of data from dashboard.report, whose entity must be known."""
    import wandb_workspaces.reports.v2 as wr

    runs = wr.Runset(
        entity=data["entity"],
        project=data["project"],
        filters=data["filters"],
        groupby=[f"config.{_name(data['groupby'])}"],
    )
    panels = [_panel(panel) for panel in data["panels"]]
    for place, panel in enumerate(panels):
        row, column = divmod(place, COLUMNS)
        panel.layout = wr.Layout(x=column * WIDTH, y=row * HEIGHT, w=WIDTH, h=HEIGHT)
    blocks: list[Any] = [wr.P(data["text"]), wr.PanelGrid(runsets=[runs], panels=panels)]
    return wr.Report(entity=data["entity"], project=data["project"], title=data["title"], blocks=blocks)


def _panel(data: Mapping[str, Any]) -> Any:
    import wandb_workspaces.reports.v2 as wr

    kind, title = data["kind"], data.get("title")
    if kind == "scatter":
        log = data.get("log", ())
        axes = {"x": _value(data["x"]), "y": _value(data["y"])}
        return wr.ScatterPlot(title=title, **axes, log_x="x" in log, log_y="y" in log)
    if kind == "parallel":
        columns = [
            wr.ParallelCoordinatesPlotColumn(metric=_value(value), display_name=name)
            for name, value in data["columns"].items()
        ]
        return wr.ParallelCoordinatesPlot(title=title, columns=columns)
    if kind == "lines":
        return wr.LinePlot(title=title, x=_name(data["x"]), y=[_name(value) for value in data["y"]])
    if kind == "bars":
        return wr.BarPlot(title=title, metrics=[_name(value) for value in data["values"]], orientation="v")
    if kind == "media":
        return wr.MediaBrowser(title=title, media_keys=data["keys"])
    assert kind == "table", kind
    return wr.WeavePanelSummaryTable(table_name=data["table"])


def _name(value: str) -> str:
    return value.partition(":")[2]


def _value(value: str) -> Any:
    import wandb_workspaces.reports.v2 as wr

    return {"config": wr.Config, "summary": wr.SummaryMetric}[value.partition(":")[0]](_name(value))
