"""What a wandb project shows of sweeps, as plain data: sections of panels, and reports of figures.

A panel names the values of runs as "summary:NAME", "config:NAME" or, where a training logs them as it goes,
"history:NAME". wandb_dashboard.py makes it into what a server takes.
"""

from typing import Any

from winnow.core.errors import check_choice

Panel = dict[str, Any]

ERROR = "summary:test_error"
TRAINED = "JobType = 'train'"
MOST_EVENTS = 10  # of the histogram that a recorder logs

CURVES: Panel = {
    "kind": "scatter", "title": "Test error against examples kept",
    "x": "summary:n_kept", "y": ERROR, "log": ["x", "y"],
}  # fmt: skip
CURVES_DRAWN: Panel = {"kind": "media", "title": "Scaling curves", "keys": ["scaling curves"]}
GRID: Panel = {"kind": "table", "table": "grid"}
ALPHA: Panel = {"kind": "scatter", "title": "Test error against alpha", "x": "config:alpha", "y": ERROR, "log": ["y"]}
PARALLEL: Panel = {
    "kind": "parallel", "title": "r, alpha, error",
    "columns": {"r": "config:r", "alpha": "config:alpha", "rule": "config:rule", "test error": ERROR},
}  # fmt: skip

FIGURES: dict[str, tuple[str, str, list[Panel]]] = {
    "scaling_curves": (
        "Scaling curves",
        "Test error against the number of examples kept, both logarithmic, for each rule; random is the one to beat "
        "(Ayed and Hayou 2023, Data pruning and neural scaling laws, arXiv:2302.06960).",
        [CURVES, CURVES_DRAWN, GRID],
    ),
    "error_against_alpha": (
        "Error against alpha",
        "Test error against the fraction of the kept budget that follows the scores; the rest is drawn at random "
        "(Ayed and Hayou 2023, Data pruning and neural scaling laws, arXiv:2302.06960).",
        [ALPHA, PARALLEL],
    ),
}
"""name -> (title, what it shows, panels); the names are those of the figures of scripts/figures.py"""


def sections() -> list[dict[str, Any]]:
    """The sections of a workspace, each with a name and its panels."""
    events = [*map(str, range(MOST_EVENTS)), f"{MOST_EVENTS}+"]
    return [
        {"name": "Scaling curves", "panels": [CURVES, CURVES_DRAWN]},
        {"name": "r, alpha, error", "panels": [PARALLEL, ALPHA]},
        {
            "name": "Training",
            "panels": [
                {"kind": "lines", "title": "Training loss", "x": "history:epoch", "y": ["history:train_loss"]},
                {"kind": "bars", "title": "Error of the worst class", "values": ["summary:worst_class_error"]},
            ],
        },
        {
            "name": "Forgetting",
            "panels": [
                {
                    "kind": "bars",
                    "title": "Examples by forgetting events",
                    "values": [f"summary:forgetting/{name}" for name in events],
                },
                {"kind": "table", "table": "forgetting/most"},
            ],
        },
        {
            "name": "Cost",
            "panels": [
                {"kind": "scatter", "title": "Error against seconds", "x": "summary:seconds", "y": ERROR, "log": ["x"]},
                {"kind": "bars", "title": "Examples seen", "values": ["summary:examples_seen"]},
                {"kind": "bars", "title": "Examples seen for the scores", "values": ["summary:probe_examples"]},
            ],
        },
        {
            "name": "Failures",
            "panels": [
                {"kind": "bars", "title": "Cells", "values": [f"summary:cells/{it}" for it in ("failed", "missing")]},
                {"kind": "table", "table": "failures"},
            ],
        },
    ]


def workspace(project: str, *, entity: str | None = None, group: str | None = None) -> dict[str, Any]:
    """A workspace of a project's runs, grouped by rule. group: of one sweep alone."""
    return {
        "entity": entity,
        "project": project,
        "name": "Winnow" if group is None else f"Winnow: {group}",
        "filters": "" if group is None else f"Group = '{group}'",
        "groupby": "config:rule",
        "sections": sections(),
    }


def report(figure: str, project: str, *, entity: str | None = None, group: str | None = None) -> dict[str, Any]:
    """A report of one figure of a paper, from the trained cells of a project, or of one sweep of it.

    Raises OptionError where there is no such figure.
    """
    check_choice("figure", figure, tuple(FIGURES))
    title, text, panels = FIGURES[figure]
    of_group = f"Group = '{group}' and " if group else ""
    # A sweep's own pictures and tables are in a run of another type.
    types = (
        TRAINED
        if all(panel["kind"] in ("scatter", "parallel") for panel in panels)
        else "JobType in ['train', 'sweep']"
    )
    return {
        "entity": entity,
        "project": project,
        "title": title if group is None else f"{title}: {group}",
        "text": text,
        "filters": of_group + types,
        "groupby": "config:rule",
        "panels": panels,
    }
