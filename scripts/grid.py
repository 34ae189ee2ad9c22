"""Collect the rows below a folder into a grid, draw the scaling curves, and print the table of test errors.

    python scripts/grid.py outputs/sweep
    python scripts/grid.py outputs/sweep --fit
    python scripts/grid.py --import rows.csv

Works on a single run, on a sweep that is finished, has failures or still runs, and on a folder of several sweeps.
Writes grid.csv, scaling_curves.png and summary.json into the folder; with --fit also fits scaling laws, compares the
rules with random on the same seeds, and writes fits.json and scaling_fits.png. With --import the rows of such grid.csv
become finished cells of the store, so that a sweep trains only the rest.
"""

import sys

sys.path.pop(0)  # this folder: its select.py must not hide the standard library's select

from winnow.cli.commands import grid

if __name__ == "__main__":
    grid()
