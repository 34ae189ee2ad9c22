"""A place that cannot be written: one sentence that names it, says why, and what to do about it."""

import errno
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from winnow.core.errors import StoreError

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, None}  # numpy tells of a write that was cut short without a number
_READ_ONLY = {errno.EROFS, errno.EACCES, errno.EPERM}
_IN_THE_WAY = {errno.EEXIST, errno.ENOTDIR, errno.EISDIR}
_BLOCK = 2**24  # bytes


@contextmanager
def writing(path: str | Path, *, option: str | None = None) -> Iterator[None]:
    """Within this, an OSError is one of writing `path`, and comes out as StoreError.

    option: what chooses another place, such as "paths.artifacts=DIR".
    """
    try:
        yield
    except OSError as error:
        raise unwritable(path, error, option=option) from error


def unwritable(path: str | Path, error: OSError, *, option: str | None = None) -> StoreError:
    """The error that says that `path` cannot be written."""
    reason, remedy = _reason(Path(path), error)
    elsewhere = f"choose another place ({option})" if option else "choose another place"
    return StoreError(f"{path} cannot be written: {reason}; {remedy}, or {elsewhere}. The same command then goes on.")


def _reason(path: Path, error: OSError) -> tuple[str, str]:
    """Why a path cannot be written, and what could be done there."""
    if error.errno in _NO_ROOM:
        return "there is no room left for it", "make room"
    if error.errno in _READ_ONLY:
        return "it is read-only", "allow writing there"
    if error.errno in _IN_THE_WAY:
        files = [each for each in (path, *path.parents) if each.exists() and not each.is_dir()]
        if files:
            return f"{files[0]} is a file where a folder is needed", "move it away"
        return "a folder is where a file is needed", "move it away"
    return error.strerror or str(error), "mend that"


@contextmanager
def replaced_at_once(path: Path) -> Iterator[Path]:
    """A file to write, of the same ending, that takes the place of `path` at the end; of an error nothing is left."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{uuid.uuid4().hex[:8]}{path.suffix}")
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def write_atomically(path: Path, text: str) -> None:
    """Replace a file in one step: a reader sees the old text or the new, never half of it.

    Raises StoreError where it cannot be written; the old text stays then.
    """
    with writing(path), replaced_at_once(path) as temporary:
        temporary.write_text(text)
        flush(temporary)


def flush(path: Path) -> None:
    """Have the disk hold what a file or folder holds."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def take_room(path: Path, start: int) -> None:
    """Take a file's room on the disk, from `start` on, where it holds nothing but holes.

    Where a hole is filled through a memory map and there is no room left, the process is killed (SIGBUS), and nobody
    is told why.
    """
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        if hasattr(os, "posix_fallocate"):
            if size > start:
                os.posix_fallocate(file.fileno(), start, size - start)
            return
        file.seek(start)  # macOS
        for begin in range(start, size, _BLOCK):
            file.write(bytes(min(_BLOCK, size - begin)))
