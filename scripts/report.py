"""Write report.html, one page of a run or sweep, into its folder: answer, curves, tables, images, costs, provenance.

    python scripts/report.py outputs/sweep
    python scripts/report.py outputs/sweep --artifacts artifacts

A sweep writes it at its end; called again it is up to date, also while the sweep runs. The page needs nothing beside
it. The store adds errors by class, the hardest and easiest images, and the curves of alpha=auto.
"""

import sys

sys.path.pop(0)  # this folder: its select.py must not hide the standard library's select

from winnow.cli.commands import report

if __name__ == "__main__":
    report()
