"""Which processes work together at this moment, as this one knows it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from winnow.parallel import interruption
from winnow.parallel.processes import Child
from winnow.parallel.workers.place import Place


@dataclass
class Group:
    """The processes of this run, once they have met. inside: they are calling the same function now; apart: in it,
    but each for itself. sharers: how many of them share this one's processors. one_device: all compute on the device
    of the first."""

    place: Place
    followers: list[Child] = field(default_factory=list)
    inside: bool = False
    independent: bool = False
    over: bool = False
    sharers: int = 1
    one_device: bool = False


current: Group | None = None  # set where the processes meet


def is_distributed() -> bool:
    """Whether several processes call the same function at this moment."""
    return current is not None and current.inside


def rank() -> int:
    """0 in the leader, and in a process that works alone."""
    return current.place.rank if is_distributed() and current else 0


def world_size() -> int:
    """How many processes work together at this moment."""
    return current.place.world if is_distributed() and current else 1


def local_rank() -> int:
    """Which of its machine's GPUs is this process's own: also of one that, among others, works alone for a while."""
    return current.place.local if current else 0


def processes_sharing_cpu() -> int:
    """How many processes of this run use this one's processors at this moment."""
    return current.sharers if current and (current.inside or current.independent) else 1


def node_rank() -> int:
    """The number of this process's machine; each has as many processes."""
    return current.place.node if current else 0


@contextmanager
def independently() -> Iterator[None]:
    """Each process works alone in here, though all are in a common call; followers hear signals themselves."""
    group = current
    if group is None or not group.inside:
        yield
        return
    group.inside, group.independent = False, True
    with interruption.listening():
        yield
    group.inside, group.independent = True, False  # after an error there is no common call to go back to


@contextmanager
def inside(group: Group) -> Iterator[None]:
    group.inside = True
    try:
        yield
    finally:
        group.inside = False
