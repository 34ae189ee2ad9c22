"""The console that tables are printed on."""

from rich.console import Console

UNBROKEN = 10_000  # columns of a console without a terminal: a line of a table is never folded or cut


def standard_output() -> Console:
    """Standard output: as wide as the terminal, or without one so wide that no line is broken."""
    out = Console()
    return out if out.is_terminal else Console(width=UNBROKEN)
