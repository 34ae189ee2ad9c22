"""Run one cell, or with -m a grid of them: python scripts/run.py metric=el2n selector=threshold compression.r=0.3

The last line printed is the path of row.json; a grid ends with a table, grid.csv, scaling_curves.png and report.html.
"""

import sys

sys.path.pop(0)  # this folder: its select.py must not hide the standard library's select

from winnow.cli.commands import run

if __name__ == "__main__":
    run()
