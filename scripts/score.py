"""Score a data set and print the path of the table: python scripts/score.py dataset=digits metric=el2n"""

import sys

sys.path.pop(0)  # this folder: its select.py must not hide the standard library's select

from winnow.cli.commands import score

if __name__ == "__main__":
    score()
