"""What there is in a store: each finished artifact with what its provenance says, and what killed processes left."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from winnow.core.errors import WinnowError
from winnow.store import layout
from winnow.store.artifacts import Artifact, ArtifactStore
from winnow.store.layout import Found, Stage


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A finished artifact. size: bytes; owner: of its folder, by name.

    made, git, device: as its provenance has them. dataset: the fingerprint of its data, where it names one. names:
    every text in what it was made from, the keys of other artifacts among them. All None where the provenance, or what
    a row came from, cannot be read.
    """

    stage: Stage
    key: str
    path: Path
    size: int
    owner: str
    made: datetime | None = None
    git: str | None = None
    device: str | None = None
    dataset: str | None = None
    names: frozenset[str] | None = None


class Leftover(NamedTuple):
    """What nobody asks for any more, and why."""

    found: Found
    size: int
    why: str


def entries(store: ArtifactStore) -> list[Entry]:
    """The finished artifacts of a store, by stage and key. Raises WinnowError where there is no such folder."""
    check_store(store)
    return [_entry(each) for each in layout.folders(store.root) if each.kind == "artifact"]


def check_store(store: ArtifactStore) -> None:
    if not store.root.is_dir():
        raise WinnowError(f"there is no store {store.root}; give the folder that is paths.artifacts to commands.")


def leftovers(store: ArtifactStore) -> list[Leftover]:
    """What killed processes left, what was moved aside, and locks of what is not there.

    Whether one of them is in use, its lock tells. The checkpoint of a training that is not finished is none of them:
    the same command goes on from there.
    """
    check_store(store)
    found = []
    for each in layout.folders(store.root):
        if each.kind == "draft":
            found.append(Leftover(each, size_of(each.path), "a process was killed while it wrote or removed it"))
        elif each.kind == "damaged":
            found.append(Leftover(each, size_of(each.path), "damaged, and moved aside"))
    for each in layout.loose(store.root):
        finished = store.exists(each.stage, each.key)
        if each.kind == "damaged":
            found.append(Leftover(each, size_of(each.path), "a damaged checkpoint, moved aside"))
        elif each.kind == "checkpoint" and finished:
            found.append(Leftover(each, size_of(each.path), "a checkpoint of what is finished"))
        elif each.kind == "lock" and not finished:
            found.append(Leftover(each, 0, "a lock of what is not there"))
    return found


def unfinished(store: ArtifactStore) -> list[Leftover]:
    """The checkpoints of trainings that are not finished."""
    return [
        Leftover(each, size_of(each.path), "a training that was interrupted")
        for each in layout.loose(store.root)
        if each.kind == "checkpoint" and not store.exists(each.stage, each.key)
    ]


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder. What is removed meanwhile does not count."""
    size = 0
    for each in (path, *path.rglob("*")):
        with suppress(OSError):
            size += each.stat().st_size if each.is_file() else 0
    return size


def _entry(found: Found) -> Entry:
    about: dict[str, Any] = {"stage": found.stage, "key": found.key, "path": found.path}
    about |= {"size": size_of(found.path), "owner": _owner(found.path)}
    try:
        artifact = Artifact(found.path)
        made = artifact.json("provenance")
        read = [made["inputs"], *([artifact.json("upstream")] if found.stage == "row" else [])]
        inputs = made["inputs"]
        return Entry(
            **about,
            made=datetime.fromisoformat(made["made"]),
            git=made["git"],
            device=made["device"],
            dataset=inputs.get("dataset"),
            names=frozenset(_texts(read)),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Entry(**about)


def _owner(path: Path) -> str:
    try:
        return path.owner()
    except KeyError:  # a user of another machine
        return str(path.stat().st_uid)


def _texts(value: Any) -> Iterator[str]:
    """The texts in a JSON value, at any depth."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _texts(each)
