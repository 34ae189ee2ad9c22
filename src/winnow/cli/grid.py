"""What the command `grid` does."""

import argparse
import sys
from pathlib import Path

from winnow.core.errors import WinnowError


def main() -> None:
    """Collect the rows below the folder that sys.argv names, draw the curves, print the test errors."""
    parser = argparse.ArgumentParser(description="Collect rows into a grid, draw the curves, print the test errors.")
    parser.add_argument("folder", type=Path, help="folder of a run or a sweep")
    parser.add_argument("--fit", action="store_true", help="fit scaling laws, crossovers and paired differences too")
    arguments = parser.parse_args()
    from winnow.reports.sweep import report  # not for --help: pandas and matplotlib take a second

    try:
        report(arguments.folder, fit=arguments.fit)
    except WinnowError as error:
        sys.exit(f"error: {error}")
