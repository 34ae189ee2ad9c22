"""What `wandb agent` hands over in variables, which is meant for the run of the cell alone.

wandb would give it to every run of a process; so it is taken from the variables before wandb reads them.
"""

import os
from pathlib import Path
from typing import Any, NamedTuple

VARIABLES = ("WANDB_SWEEP_ID", "WANDB_RUN_ID", "WANDB_SWEEP_PARAM_PATH")


class Asked(NamedTuple):
    """The run that an agent asks for. project, entity: where its sweep is. parameters: by their names in the sweep."""

    sweep: str
    run: str
    project: str | None
    entity: str | None
    parameters: dict[str, Any]


_asked: Asked | None = None


def asked() -> Asked | None:
    """The run that an agent asked this process for; None where there is no agent."""
    global _asked
    sweep, run, path = (os.environ.pop(name, None) for name in VARIABLES)
    if sweep and run:
        project, entity = os.environ.get("WANDB_PROJECT"), os.environ.get("WANDB_ENTITY")
        _asked = Asked(sweep, run, project, entity, _parameters(path))
    return _asked


def _parameters(path: str | None) -> dict[str, Any]:
    import yaml

    if path is None or not Path(path).exists():
        return {}
    read = yaml.safe_load(Path(path).read_text())
    return {name: each["value"] for name, each in read.items() if isinstance(each, dict) and "value" in each}
