"""What the command `dashboard` does: a wandb workspace for a project's sweeps, or a report of a figure."""

import argparse
import json
import sys

from winnow.core.errors import OptionError, WinnowError
from winnow.reports import dashboard as data
from winnow.reports import wandb_dashboard


def dashboard() -> None:
    """Make, in the project that sys.argv names, a workspace, or with --figure a report, and print its address."""
    parser = argparse.ArgumentParser(
        description="Make a workspace of a wandb project's sweeps, or a report of a figure."
    )
    parser.add_argument("project", help="[ENTITY/]PROJECT, as runs have it (logger.project)")
    parser.add_argument("--group", help="of the runs of one sweep alone: the folder that it ran into")
    parser.add_argument(
        "--figure", choices=sorted(data.FIGURES), help="a report of this figure, instead of a workspace"
    )
    parser.add_argument("--dry-run", action="store_true", help="print what it would hold, as JSON; ask no server")
    arguments = parser.parse_args()
    entity, _, project = arguments.project.rpartition("/")
    place = {"entity": entity or None, "group": arguments.group}
    made = data.report(arguments.figure, project, **place) if arguments.figure else data.workspace(project, **place)
    try:
        if arguments.dry_run:
            print(json.dumps(made, indent=1))
            return
        wandb_dashboard.check_installed()
        _check_server()
        made["entity"] = entity or _default_entity()
        built = wandb_dashboard.report(made) if arguments.figure else wandb_dashboard.workspace(made)
        built.save()
        print(built.url)
    except WinnowError as error:
        sys.exit(f"error: {error}")


def _check_server() -> None:
    from winnow.training import wandb_server

    if not (wandb_server.answers() and wandb_server.has_key()):
        raise OptionError("no wandb server answers or no key is set; log in (wandb login), or add --dry-run.")


def _default_entity() -> str:
    import wandb

    return str(wandb.Api().default_entity)
