"""Make a wandb workspace of a project's sweeps, or a report of a figure: python scripts/dashboard.py ENTITY/PROJECT"""

import sys

sys.path.pop(0)  # this folder: its select.py must not hide the standard library's select

from winnow.cli.dashboard import dashboard

if __name__ == "__main__":
    dashboard()
