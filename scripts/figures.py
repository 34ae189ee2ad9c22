"""Draw a published figure, from results on disk or from theory.

    python scripts/figures.py figure=scaling_curves figure.grid=outputs/sweep/grid.csv out=curves.png
    python scripts/figures.py figure=perceptron_curves

`out` may end in .png, .pdf or .svg; without it the figure is written beside the file that it was drawn from, or, if it
reads none, to outputs/figures, named after the figure and the error that it draws (scaling_curves_worst_class.png).
Beside it go the numbers drawn, curves.csv, and how it was made, curves.provenance.json.
"""

import sys

sys.path.pop(0)  # this folder: its select.py must not hide the standard library's select

from winnow.cli.commands import figures

if __name__ == "__main__":
    figures()
