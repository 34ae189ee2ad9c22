"""Which test error of a grid a figure is of: that of all test images, or that of the worst class."""

import pandas as pd

from winnow.core.errors import WinnowError, check_choice

ERRORS = {"mean": ("test_error", "test error"), "worst_class": ("worst_class_error", "test error of the worst class")}
"""What can be drawn: the column of the grid, and how it is called."""


def with_error(table: pd.DataFrame, error: str) -> tuple[pd.DataFrame, str, str]:
    """The rows of a grid that have an error of `ERRORS`, its column, and how it is called.

    Raises OptionError for another error; WinnowError where no row has it.
    """
    check_choice("figure.error", error, tuple(ERRORS))
    column, label = ERRORS[error]
    table = table[table[column].notna()]
    if table.empty:
        raise WinnowError(
            f"no row of the grid has {column}: an older version made them. Run the cells into a new store."
        )
    return table, column, label
