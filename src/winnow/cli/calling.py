"""How the command at work was called: to record it, and to call it again in a process of its own.

The `winnow` command puts itself as one word, "winnow run", where a script has its path, in sys.argv[0].
"""

import os
import sys

INSTALLED = "winnow "


def called() -> list[str]:
    """The words that begin the command as a user would type it again: "winnow run", or "python scripts/run.py"."""
    program = sys.argv[0]
    return program.split() if program.startswith(INSTALLED) else ["python", os.path.relpath(program)]


def begins(name: str) -> str:
    """How any command of this name begins where this one is at work: "winnow run", or "python scripts/run.py"."""
    return f"{INSTALLED}{name}" if sys.argv[0].startswith(INSTALLED) else f"python scripts/{name}.py"


def program() -> str:
    """What `call_again` takes to call the command at work from any folder."""
    return sys.argv[0] if sys.argv[0].startswith(INSTALLED) else os.path.abspath(sys.argv[0])


def call_again(program: str, *arguments: str) -> None:
    """Call a command in this process, as a user would."""
    if program.startswith(INSTALLED):
        from winnow.cli.main import main

        sys.argv = [*program.split(), *arguments]
        main()
    else:
        from winnow.parallel.processes import run_script

        run_script(program, *arguments)
