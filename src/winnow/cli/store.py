"""What the command `store` does: list what is kept, say what sweeps need of it, remove what none needs."""

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from winnow.store.artifacts import ArtifactStore
    from winnow.store.cleaning import Cleaning
    from winnow.store.inventory import Entry, Leftover

ENDING = """\
  winnow store                                      what there is
  winnow store --needs outputs/a                    what the rows in outputs/a come from
  winnow store --keep outputs/a outputs/b           what may go where only these are to stay; with --yes it goes
  winnow store --leftovers                          what killed processes left; with --yes it goes
"""
UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


def store() -> None:
    """Do what sys.argv says. A mistake ends in one line and exit code 1, and so does what a process uses."""
    parser = argparse.ArgumentParser(
        description="List the finished artifacts in a store, say what sweeps need of them, remove what none needs.",
        epilog=ENDING,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("store", nargs="?", default="artifacts", type=Path, help="its folder (paths.artifacts)")
    asked = parser.add_mutually_exclusive_group()
    asked.add_argument("--needs", nargs="+", metavar="FOLDER", help="of a run or sweep: list what its rows come from")
    asked.add_argument("--keep", nargs="+", metavar="FOLDER", help="of a run or sweep: remove what none of them needs")
    asked.add_argument("--leftovers", action="store_true", help="remove what killed processes left")
    parser.add_argument("--yes", action="store_true", help="remove; without it only say what would be")
    given = parser.parse_args()
    if given.yes and not (given.keep or given.leftovers):
        parser.error("--yes goes with --keep or --leftovers")

    from winnow.core.errors import WinnowError
    from winnow.reports.console import standard_output
    from winnow.store import cleaning, inventory, layout
    from winnow.store.artifacts import ArtifactStore

    if not layout.is_store(given.store):
        sys.exit(f"error: {given.store} is no store; give the folder that paths.artifacts names.")
    kept, out = ArtifactStore(given.store), standard_output()
    try:
        if given.needs:
            _print_entries(out, cleaning.needs(kept, given.needs))
        elif given.keep:
            _clean(out, kept, cleaning.cleaning(kept, given.keep), yes=given.yes)
        elif given.leftovers:
            _take_away(out, kept, [], inventory.leftovers(kept), yes=given.yes)
        else:
            _print_entries(out, inventory.entries(kept))
            left = [*inventory.leftovers(kept), *inventory.unfinished(kept)]
            _print_leftovers(out, left)
    except WinnowError as error:
        sys.exit(f"error: {error}")


def _clean(out: "Console", kept: "ArtifactStore", plan: "Cleaning", *, yes: bool) -> None:
    needed = sum(entry.size for entry in plan.needed)
    out.print(f"{len(plan.needed)} artifacts are needed, {_size(needed)}.", highlight=False)
    if plan.failed:
        out.print(f"What {plan.failed} failed cells need is not known, and does not count.", highlight=False)
    _take_away(out, kept, plan.unneeded, plan.leftovers, yes=yes)
    if plan.used:
        sys.exit(
            f"error: processes work in this store ({plan.used[0]}), and what they read is not known before they are "
            "finished, so all that is finished stays. Try again then."
        )


def _take_away(
    out: "Console", kept: "ArtifactStore", unneeded: "Sequence[Entry]", left: "Sequence[Leftover]", *, yes: bool
) -> None:
    """Print what goes, and remove it where the answer is yes."""
    from winnow.store import cleaning

    if unneeded:
        _print_entries(out, unneeded)
    _print_leftovers(out, left)
    room = sum(each.size for each in unneeded) + sum(each.size for each in left)
    things = f"{len(unneeded)} artifacts and {len(left)} leftovers"
    if not yes:
        advice = " Add --yes to remove them." if unneeded or left else ""
        out.print(f"{things} would go, {_size(room)}.{advice}", highlight=False)
        return
    going = [*cleaning.downstream_first(unneeded), *(each.found for each in left)]
    stayed = cleaning.remove(kept, going)
    sizes = {entry.path: entry.size for entry in unneeded} | {each.found.path: each.size for each in left}
    gone = sum(sizes[each.path] for each in going if each not in stayed)
    out.print(f"removed {len(going) - len(stayed)} of {len(going)}: {things}, {_size(gone)}.", highlight=False)
    for each in stayed:
        out.print(f"left, for a process uses it: {each.path}", highlight=False, markup=False, soft_wrap=True)


def _print_entries(out: "Console", shown: "Sequence[Entry]") -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    printed = Table(box=SIMPLE_HEAD)
    for name in ("stage", "key", "size", "age", "owner", "code", "device"):
        printed.add_column(name, justify="right" if name in ("size", "age") else "left", no_wrap=name != "device")
    for each in shown:
        age = "?" if each.made is None else _age((datetime.now(UTC) - each.made).total_seconds())
        columns = (each.stage, each.key, _size(each.size), age, each.owner, each.git or "-", each.device or "-")
        printed.add_row(*columns)
    out.print(printed)
    stages = {stage: [each for each in shown if each.stage == stage] for stage in dict.fromkeys(e.stage for e in shown)}
    for stage, some in stages.items():
        out.print(f"{stage}: {len(some)}, {_size(sum(each.size for each in some))}", highlight=False)
    out.print(f"all: {len(shown)}, {_size(sum(each.size for each in shown))}", highlight=False)


def _print_leftovers(out: "Console", left: "Sequence[Leftover]") -> None:
    for each in left:
        line = f"left over, {_size(each.size)}: {each.found.path} ({each.why})"
        out.print(line, highlight=False, markup=False, soft_wrap=True)


def _size(size: int) -> str:
    from rich.filesize import decimal

    return decimal(size)


def _age(seconds: float) -> str:
    """In the largest unit of which there is at least one: 3 d."""
    unit, length = next((each for each in UNITS if seconds >= each[1]), UNITS[-1])
    return f"{max(0, round(seconds / length))} {unit}"
