"""What the command `grid` does."""

import argparse
import sys
from pathlib import Path

from winnow.core.errors import WinnowError

ENDING = """\
  winnow grid outputs/a                          what outputs/a has by now, also while it runs
  winnow grid --import rows.csv                  its rows are finished cells from now on: a sweep trains only the rest
  winnow grid outputs/a --import rows.csv        both, the import first
"""


def main() -> None:
    """Do what sys.argv says: import rows, and report the folder that it names. A mistake ends in one line."""
    parser = argparse.ArgumentParser(
        description="Collect rows into a grid, draw the curves, print the test errors; or take rows into the store.",
        epilog=ENDING,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, nargs="?", help="folder of a run or a sweep, which may still run")
    parser.add_argument("--fit", action="store_true", help="fit scaling laws, crossovers and paired differences too")
    parser.add_argument(
        "--import",
        dest="files",
        type=Path,
        nargs="+",
        action="extend",
        metavar="CSV",
        help="grid.csv of sweeps, whose rows become finished cells of the store; what is finished there stays",
    )
    parser.add_argument(
        "--artifacts", type=Path, metavar="STORE", help="the store that --import takes rows into (default: artifacts)"
    )
    arguments = parser.parse_args()
    if arguments.folder is None and not arguments.files:
        parser.error("give the folder of a run or a sweep, or --import and files")
    if arguments.folder is None and arguments.fit:
        parser.error("--fit goes with a folder")
    if arguments.artifacts is not None and not arguments.files:
        parser.error("--artifacts goes with --import")
    try:
        if arguments.files:
            from winnow.cli.importing import import_rows

            print("\n".join(import_rows(arguments.files, arguments.artifacts or Path("artifacts"))))
        if arguments.folder is not None:
            from winnow.reports.sweep import report  # not for --help: pandas and matplotlib take a second

            report(arguments.folder, fit=arguments.fit)
    except WinnowError as error:
        sys.exit(f"error: {error}")
