"""The names of folders and files in a store, given and read back: the file that knows them.

root/<stage>/<key>/ is a finished artifact, root/<stage>/.<key>.<8 digits>/ one that is being written or removed, and
root/<stage>/<key>.damaged-<8 digits>/ one that was moved aside. root/unfinished/ holds the checkpoints of trainings
that are not finished, under the stage and key of what they make, and root/locks/ the locks.
"""

import re
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, get_args

Stage = Literal[
    "images", "probe", "pass", "subset_run", "scores", "agreement", "alpha", "subset", "shift", "model", "row"
]
Kind = Literal["artifact", "draft", "damaged", "checkpoint", "lock"]

STAGES: tuple[Stage, ...] = get_args(Stage)
"""In the order in which data flow."""

_DIGITS = "[0-9a-f]{8}"
_STAGE_AND_KEY = f"(?P<stage>{'|'.join(STAGES)})-(?P<key>.+?)"
_DRAFT = re.compile(rf"\.(?P<key>.+)\.{_DIGITS}")
_DAMAGED = re.compile(rf"(?P<key>.+)\.damaged-{_DIGITS}")
_CHECKPOINT = re.compile(rf"{_STAGE_AND_KEY}(?P<ending>\.ckpt|\.ckpt\.part|\.damaged-{_DIGITS})")
_LOCK = re.compile(rf"{_STAGE_AND_KEY}\.lock")


class Found(NamedTuple):
    """Something in a store, and the artifact that it is, was, or may become."""

    kind: Kind
    stage: Stage
    key: str
    path: Path


def is_store(root: Path) -> bool:
    """Whether a folder is one, or could become one: it is not there, empty, or holds what stores hold."""
    return not root.exists() or (
        root.is_dir()
        and (not any(root.iterdir()) or any((root / name).is_dir() for name in (*STAGES, "locks", "unfinished")))
    )


def artifact(root: Path, stage: Stage, key: str) -> Path:
    return root / stage / key


def draft(root: Path, stage: Stage, key: str) -> Path:
    """A new name with each call."""
    return root / stage / f".{key}.{uuid.uuid4().hex[:8]}"


def aside(root: Path, stage: Stage, key: str) -> Path:
    """A new name with each call, for what is damaged."""
    return root / stage / f"{key}.damaged-{uuid.uuid4().hex[:8]}"


def checkpoint(root: Path, stage: Stage, key: str) -> Path:
    return root / "unfinished" / f"{stage}-{key}.ckpt"


def lock(root: Path, stage: Stage, key: str) -> Path:
    return root / "locks" / f"{stage}-{key}.lock"


def work(root: Path) -> Path:
    """A new name with each call, for the lock of one who works in the store for long."""
    return root / "locks" / f"work-{uuid.uuid4().hex[:8]}.lock"


def works(root: Path) -> list[Path]:
    return sorted((root / "locks").glob("work-*.lock"))


def folders(root: Path, stages: Sequence[Stage] = STAGES) -> Iterator[Found]:
    """The folders of these stages, by stage and name; what others put there is passed over."""
    for stage in stages:
        for path in sorted(each for each in (root / stage).glob("*") if each.is_dir()):
            if match := _DRAFT.fullmatch(path.name):
                yield Found("draft", stage, match["key"], path)
            elif match := _DAMAGED.fullmatch(path.name):
                yield Found("damaged", stage, match["key"], path)
            elif not path.name.startswith("."):
                yield Found("artifact", stage, path.name, path)


def loose(root: Path) -> Iterator[Found]:
    """The checkpoints and locks in a store, by name."""
    for path in sorted((root / "unfinished").glob("*")):
        if match := _CHECKPOINT.fullmatch(path.name):
            kind: Kind = "damaged" if "damaged" in match["ending"] else "checkpoint"
            yield Found(kind, match["stage"], match["key"], path)  # type: ignore[arg-type]
    for path in sorted((root / "locks").glob("*")):
        if match := _LOCK.fullmatch(path.name):
            yield Found("lock", match["stage"], match["key"], path)  # type: ignore[arg-type]
