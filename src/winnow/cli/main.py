"""The `winnow` command: what scripts/ holds, from any folder once the package is installed, and care of what is kept.

Only the command that is called is imported, and with it what it needs.
"""

import sys
from importlib import import_module

COMMANDS = {
    "run": ("commands", "run one cell, or with -m a grid of them: probes, scores, subset, training, row"),
    "score": ("commands", "score a data set, or with -m by several metrics, and compare them"),
    "select": ("commands", "select a subset, and leave it in a form that other software reads"),
    "select-file": ("commands", "select from a table of scores, Parquet in and Parquet out, without a data set"),
    "grid": ("commands", "collect the rows below a folder, draw their curves, fit laws, compare; or import rows"),
    "report": ("commands", "write one page of a run or sweep: answer, curves, tables, images, costs, provenance"),
    "figures": ("commands", "draw a published figure, from results on disk or from theory"),
    "dashboard": ("dashboard", "make a wandb workspace of sweeps, or a report of a figure"),
    "store": ("store", "list finished artifacts, say what a sweep needs, remove what none needs"),
    "doctor": ("doctor", "say what this machine has and what is installed, to paste into a bug report"),
}
"""name -> (the module of winnow.cli that has it as a function of that name, with _ for -, what it does)"""


def main() -> None:
    """Call the command that the first argument names; exit code 2 where there is no such command."""
    name, *arguments = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help"):
        print(_help())
    elif name == "--version":
        from importlib.metadata import version

        print(f"winnow {version('winnow')}")
    elif name not in COMMANDS:
        print(f"error: there is no command {name}; choose one of: {', '.join(COMMANDS)}.", file=sys.stderr)
        sys.exit(2)
    else:
        sys.argv = [f"winnow {name}", *arguments]
        module, _ = COMMANDS[name]
        getattr(import_module(f"winnow.cli.{module}"), name.replace("-", "_"))()


def _help() -> str:
    lines = [f"  {name:<12}{does}" for name, (_, does) in COMMANDS.items()]
    return "\n".join(
        [
            "usage: winnow COMMAND ...",
            "",
            "Score every training example, keep a fraction by a rule, train on it, see how test error scales.",
            "",
            *lines,
            "",
            "winnow COMMAND --help says more of one; those of yaml options of your own take --config-dir DIR.",
        ]
    )
