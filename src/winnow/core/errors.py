"""The errors that users meet. Each message says what was wrong and what to do about it."""

REQUEUE = 75  # EX_TEMPFAIL of sysexits.h: a scheduler may start the same command again
STOPPED = 130  # of a shell's command that Ctrl-C ended


class Interrupted(SystemExit):
    """A signal ended the work; the same command goes on from there. code: REQUEUE, or STOPPED after Ctrl-C."""

    code: int

    def __init__(self, code: int = REQUEUE) -> None:
        super().__init__(code)


class WinnowError(ValueError):
    """Something the user gave cannot work; scripts print the message on one line and exit with 1."""


class ShapeError(WinnowError):
    """An array has the wrong shape, type or values."""


class BudgetError(WinnowError):
    """No subset of the asked size or weighting exists (r, count, alpha, balance)."""


class DatasetError(WinnowError):
    """The data are missing, unreadable or malformed."""


class StoreError(WinnowError):
    """A file or folder cannot be written: no room, read-only, or something else in its place."""


class MismatchError(WinnowError):
    """Two things that belong to different data sets were put together."""


class MissingEvidenceError(WinnowError):
    """A metric or selector asks for evidence that was not recorded."""


class DivergedError(WinnowError):
    """A training ended with numbers that are not finite."""


class TheoryError(WinnowError):
    """A theory's equations, or the simulation of it, have no solution that could be found to the promised accuracy."""


class FitError(WinnowError):
    """These points do not allow the asked fit or comparison: too few sizes or seeds, or values outside the range."""


class OptionError(WinnowError):
    """An option has a value outside its set or range."""


def check_choice(name: str, value: object, choices: tuple[object, ...]) -> None:
    """Raise OptionError, naming the choices, unless value is one of them."""
    if value not in choices:
        listed = ", ".join(str(choice) for choice in choices)
        raise OptionError(f"{name}={value} is not known; choose one of: {listed}.")
