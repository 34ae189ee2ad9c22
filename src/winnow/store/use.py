"""Whether processes work in a store at this moment, by the locks that they hold.

Who makes an artifact holds its lock. A sweep on a launcher of this project holds one of its own besides: between two
cells it holds no other, and has read, or is about to read, what no row of its names yet. Jobs that SLURM or Ray starts
hold those of what they make.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from winnow.core.errors import StoreError
from winnow.store import layout
from winnow.store.artifacts import OPTION, ArtifactStore
from winnow.store.layout import Stage
from winnow.store.writing import writing


@contextmanager
def working(store: ArtifactStore) -> Iterator[None]:
    """Within this the store is in use. One that cannot be written is not said to be: nothing can be removed there."""
    path = layout.work(store.root)
    lock = FileLock(path)
    with suppress(StoreError), writing(path, option=OPTION):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    try:
        yield
    finally:
        if lock.is_locked:
            path.unlink(missing_ok=True)
        lock.release()


@contextmanager
def unused(store: ArtifactStore, stage: Stage, key: str) -> Iterator[bool]:
    """Whether no process makes this artifact, asked without waiting; within this, if so, none begins to."""
    with _free(layout.lock(store.root, stage, key)) as free:
        yield free


def in_use(store: ArtifactStore) -> list[str]:
    """What processes do in the store now: "row KEY" for one that makes that row, "a sweep" for a sweep.

    The lock of a sweep that was killed goes.
    """
    locks = [each for each in layout.loose(store.root) if each.kind == "lock"]
    doing = [f"{each.stage} {each.key}" for each in locks if _held(each.path)]
    for path in layout.works(store.root):
        with _free(path) as free:
            if free:
                path.unlink(missing_ok=True)
            else:
                doing.append("a sweep")
    return doing


def _held(path: Path) -> bool:
    with _free(path) as free:
        return not free


@contextmanager
def _free(path: Path) -> Iterator[bool]:
    lock = FileLock(path)
    with writing(path, option=OPTION):
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(Timeout):
            lock.acquire(blocking=False)
    try:
        yield lock.is_locked
    finally:
        lock.release()
