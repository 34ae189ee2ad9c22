"""Select a subset and print the path of its table: python scripts/select.py selector=calibrated compression.r=0.1

With diagnose=shift it also reports what the subset does to the distribution of the data, and prints the table's path.
"""

import sys

sys.path.pop(0)  # this folder: its select.py must not hide the standard library's select

from winnow.cli.commands import select

if __name__ == "__main__":
    select()
