"""Log lines of processes that work each for itself: where the leader's go, whole lines, in its format and level."""

import logging
import sys
from typing import NamedTuple


class LogLines(NamedTuple):
    """Where this process's root logger writes, as another process can be told.

    level: of the root. places: of each handler its level, its formatter, and "stdout", "stderr" or the path of a file.
    """

    level: int
    places: tuple[tuple[int, logging.Formatter | None, str], ...]


def of_this_process() -> LogLines:
    """What the root logger does here; handlers of other kinds, such as those of tests, are left out."""
    root, places = logging.getLogger(), []
    for handler in root.handlers:
        if isinstance(handler, logging.FileHandler):
            places.append((handler.level, handler.formatter, handler.baseFilename))
        elif isinstance(handler, logging.StreamHandler) and handler.stream in (sys.stdout, sys.stderr):
            name = "stdout" if handler.stream is sys.stdout else "stderr"
            places.append((handler.level, handler.formatter, name))
    return LogLines(root.level, tuple(places))


def follow(lines: LogLines) -> None:
    """Write this process's lines there too, from now on; files are appended to, a line at a time."""
    root = logging.getLogger()
    root.setLevel(lines.level)
    for level, formatter, place in lines.places:
        streams = {"stdout": sys.stdout, "stderr": sys.stderr}
        own = logging.StreamHandler(streams[place]) if place in streams else logging.FileHandler(place)
        own.setLevel(level)
        own.setFormatter(formatter)
        root.addHandler(own)
