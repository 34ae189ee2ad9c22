"""Artifacts on disk: the file that knows the names of their parts (layout.py knows those of what is in a store, and
results.py those in run and sweep folders).

An artifact is a folder `root/<stage>/<key>/` with its parts (arrays as .npy, tables as .parquet, model weights as
.safetensors, the rest as .json), `provenance.json`, which holds the inputs, versions, seconds and a SHA-256 of every
part, and `provenance.sha256`, which is that of the provenance itself, as `sha256sum -c` reads it. Artifacts of older
versions have no such file. It is written under a temporary name, flushed to disk and renamed, so a folder of that name
is a finished artifact; a load verifies the checksums, moves a damaged artifact aside with a warning, and the caller
makes it anew. Nothing is unpickled. A file lock lets one process compute while the others wait. Where the store cannot
be written, StoreError says so, and nothing is left of what was being written.
"""

import errno
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from filelock import FileLock, Timeout

from winnow.core.errors import DivergedError
from winnow.core.machine import device_name
from winnow.store import layout
from winnow.store.checksums import CHECKSUM, PROVENANCE, damage, provenance_checksum, sha256
from winnow.store.keys import SCHEMA, describe
from winnow.store.layout import Stage as Stage
from winnow.store.provenance import provenance
from winnow.store.writing import flush, take_room, writing

if TYPE_CHECKING:
    import torch  # itself only with the weights of a model: what is kept is mostly read without

log = logging.getLogger(__name__)
OPTION = "paths.artifacts=DIR"  # where users choose another store


class Artifact:
    """The parts of one finished artifact, each by its name without an ending."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def array(self, name: str) -> np.ndarray:
        """A read-only memory map."""
        return np.load(self.folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)

    def table(self, name: str) -> pd.DataFrame:
        return pd.read_parquet(self.folder / f"{name}.parquet")

    def tensors(self, name: str) -> "dict[str, torch.Tensor]":
        from safetensors.torch import load_file

        return load_file(self.folder / f"{name}.safetensors")

    def json(self, name: str) -> Any:
        return json.loads((self.folder / f"{name}.json").read_text())

    @property
    def continuation(self) -> Path:
        """The file from which a longer training goes on, where this is one that was stopped (see Checkpoints)."""
        return self.folder / "continuation.ckpt"

    def parts(self) -> set[str]:
        return {path.stem for path in self.folder.iterdir()} - {Path(PROVENANCE).stem}


class Draft(Artifact):
    """An artifact being written, in a temporary folder that nobody else sees.

    facts: what its provenance says beside the inputs, such as the device that it was computed on. checkpoint: the file
    from which its training goes on if it is interrupted; the store removes it when the artifact is finished. final: the
    folder that it will be.

    Each method raises StoreError where the store cannot be written.
    """

    def __init__(self, folder: Path, checkpoint: Path, final: Path) -> None:
        super().__init__(folder)
        self.checkpoint, self.final = checkpoint, final
        self.facts: dict[str, Any] = {"device": device_name("cpu")}

    @contextmanager
    def _part(self, name: str) -> Iterator[Path]:
        with writing(self.final / name, option=OPTION):
            yield self.folder / name

    def put_array(self, name: str, array: np.ndarray) -> None:
        with self._part(f"{name}.npy") as path:
            np.save(path, array, allow_pickle=False)

    def new_array(self, name: str, shape: tuple[int, ...], dtype: Any) -> np.memmap:
        """A zero-filled memory map to fill in place, for what is too large to hold. Its room on the disk is taken."""
        with self._part(f"{name}.npy") as path:
            array = np.lib.format.open_memmap(path, mode="w+", dtype=np.dtype(dtype), shape=shape)
            take_room(path, array.offset)
        return array

    def put_table(self, name: str, table: pd.DataFrame) -> None:
        with self._part(f"{name}.parquet") as path:
            table.to_parquet(path, index=False)

    def put_tensors(self, name: str, tensors: "dict[str, torch.Tensor]") -> None:
        from safetensors.torch import save as serialised

        with self._part(f"{name}.safetensors") as path:
            path.write_bytes(serialised({k: v.detach().cpu().contiguous() for k, v in tensors.items()}))

    def put_json(self, name: str, value: Any) -> None:
        with self._part(f"{name}.json") as path:
            path.write_text(json.dumps(value, indent=1, allow_nan=False))


@dataclass(frozen=True)
class ArtifactStore:
    """All artifacts below one root folder.

    `fetch` is the one way in: it loads what exists and makes what does not, once, however many processes ask.
    """

    root: Path = Path("artifacts")

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", Path(self.root))

    def path(self, stage: Stage, key: str) -> Path:
        return layout.artifact(self.root, stage, key)

    def table_path(self, stage: Stage, key: str) -> Path:
        """The table of scores or of a subset, for users who take it away."""
        return self.path(stage, key) / f"{stage}.parquet"

    def exists(self, stage: Stage, key: str) -> bool:
        return self.path(stage, key).is_dir()

    def keys(self, stage: Stage) -> list[str]:
        """The keys of the finished artifacts of a stage, sorted; not of those moved aside."""
        return [each.key for each in layout.folders(self.root, (stage,)) if each.kind == "artifact"]

    def load(self, stage: Stage, key: str) -> Artifact | None:
        """The verified artifact, or None where there is none or it was damaged (then it is moved aside)."""
        folder = self.path(stage, key)
        if not folder.is_dir():
            return None
        problem = damage(folder)
        if problem is None:
            return Artifact(folder)
        aside = layout.aside(self.root, stage, key)
        with writing(aside, option=OPTION):
            folder.rename(aside)
        log.warning("%s %s is damaged (%s); moved aside to %s and made anew.", stage, key, problem, aside)
        return None

    def fetch(self, stage: Stage, key: str, *, write: Callable[[Draft], None], inputs: Any) -> Artifact:
        """The artifact of this key, made by `write` if it does not exist yet.

        inputs: what the key was made from, for the provenance. An error in `write` leaves nothing behind but the
        checkpoint of a training from which it can go on.

        Raises StoreError where the store cannot be written and the artifact is not there.
        """
        folder = self.path(stage, key)
        if folder.is_dir() and damage(folder) is None:
            return Artifact(folder)
        with self._lock(stage, key):  # moving aside too: of two that see a damage, the slower would move the new one
            artifact = self.load(stage, key)  # another process may have made it while this one waited
            if artifact is None:
                self._make(stage, key, write, inputs)
                artifact = Artifact(self.path(stage, key))
        return artifact

    def _make(self, stage: Stage, key: str, write: Callable[[Draft], None], inputs: Any) -> None:
        final = self.path(stage, key)
        temporary = layout.draft(self.root, stage, key)
        started = time.perf_counter()
        try:
            with writing(final, option=OPTION):
                if final.is_file():  # said before the work is done, not when its result is to be put there
                    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
                temporary.mkdir(parents=True)
            draft = Draft(temporary, layout.checkpoint(self.root, stage, key), final)
            try:
                write(draft)
            except DivergedError:
                _forget(draft.checkpoint)
                raise
            parts = sorted(path for path in temporary.iterdir())
            facts = (
                provenance() | draft.facts | {"stage": stage, "key": key, "schema": SCHEMA, "inputs": describe(inputs)}
            )
            facts |= {
                "seconds": round(time.perf_counter() - started, 3),
                "checksum": CHECKSUM,  # so that one that is gone is told from one that never was
                "sha256": {p.name: sha256(p) for p in parts},
            }
            with writing(final, option=OPTION):
                (temporary / PROVENANCE).write_text(json.dumps(facts, indent=1))
                (temporary / CHECKSUM).write_text(provenance_checksum(temporary))
                for path in [*parts, temporary / PROVENANCE, temporary / CHECKSUM, temporary]:
                    flush(path)
                temporary.rename(final)
                flush(final.parent)
            _forget(draft.checkpoint)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    @contextmanager
    def _lock(self, stage: Stage, key: str) -> Iterator[None]:
        path = layout.lock(self.root, stage, key)
        lock = FileLock(path)
        with writing(path, option=OPTION):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire(timeout=2)
            except Timeout:
                log.info("waiting: another process makes %s %s", stage, key)
                lock.acquire()
        try:
            yield
        finally:
            lock.release()


def _forget(checkpoint: Path) -> None:
    """Remove the checkpoint, and what a killed process may have left of the next one."""
    for path in (checkpoint, checkpoint.with_name(f"{checkpoint.name}.part")):
        path.unlink(missing_ok=True)
