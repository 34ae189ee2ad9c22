"""Artifacts on disk: the file that knows their names (results.py knows those in run and sweep folders).

An artifact is a folder `root/<stage>/<key>/` with its parts (arrays as .npy, tables as .parquet, model weights as
.safetensors, the rest as .json) and `provenance.json`, which holds the inputs, versions, seconds and a SHA-256 of every
part. It is written under a temporary name, flushed to disk and renamed, so a folder of that name is a finished
artifact; a load verifies the checksums, moves a damaged artifact aside with a warning, and the caller makes it anew.
Nothing is unpickled. A file lock lets one process compute while the others wait.
"""

import functools
import hashlib
import json
import logging
import os
import platform
import shutil
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import pandas as pd
import torch
from filelock import FileLock, Timeout
from safetensors.torch import load_file, save_file

from winnow.errors import DivergedError
from winnow.keys import SCHEMA, describe

log = logging.getLogger(__name__)
T = TypeVar("T")
Stage = Literal[
    "images", "probe", "pass", "subset_run", "scores", "agreement", "alpha", "subset", "shift", "model", "row"
]

PROVENANCE = "provenance.json"


class Artifact:
    """The parts of one finished artifact, each by its name without an ending."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def array(self, name: str) -> np.ndarray:
        """A read-only memory map."""
        return np.load(self.folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)

    def table(self, name: str) -> pd.DataFrame:
        return pd.read_parquet(self.folder / f"{name}.parquet")

    def tensors(self, name: str) -> dict[str, torch.Tensor]:
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
    from which its training goes on if it is interrupted; the store removes it when the artifact is finished.
    """

    def __init__(self, folder: Path, checkpoint: Path) -> None:
        super().__init__(folder)
        self.checkpoint = checkpoint
        self.facts = {"device": device_name("cpu")}

    def put_array(self, name: str, array: np.ndarray) -> None:
        np.save(self.folder / f"{name}.npy", array, allow_pickle=False)

    def new_array(self, name: str, shape: tuple[int, ...], dtype: Any) -> np.memmap:
        """A zero-filled memory map to fill in place, for what is too large to hold."""
        return np.lib.format.open_memmap(self.folder / f"{name}.npy", mode="w+", dtype=np.dtype(dtype), shape=shape)

    def put_table(self, name: str, table: pd.DataFrame) -> None:
        table.to_parquet(self.folder / f"{name}.parquet", index=False)

    def put_tensors(self, name: str, tensors: dict[str, torch.Tensor]) -> None:
        save_file({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, self.folder / f"{name}.safetensors")

    def put_json(self, name: str, value: Any) -> None:
        (self.folder / f"{name}.json").write_text(json.dumps(value, indent=1, allow_nan=False))


@dataclass(frozen=True)
class ArtifactStore:
    """All artifacts below one root folder.

    `fetch` is the one way in: it loads what exists and makes what does not, once, however many processes ask.
    """

    root: Path = Path("artifacts")

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", Path(self.root))

    def path(self, stage: Stage, key: str) -> Path:
        return self.root / stage / key

    def table_path(self, stage: Stage, key: str) -> Path:
        """The table of scores or of a subset, for users who take it away."""
        return self.path(stage, key) / f"{stage}.parquet"

    def exists(self, stage: Stage, key: str) -> bool:
        return self.path(stage, key).is_dir()

    def keys(self, stage: Stage) -> list[str]:
        """The keys of the finished artifacts of a stage, sorted; not of those moved aside."""
        names = [path.name for path in (self.root / stage).glob("*") if path.is_dir()]
        return sorted(name for name in names if not name.startswith(".") and ".damaged-" not in name)

    def load(self, stage: Stage, key: str) -> Artifact | None:
        """The verified artifact, or None where there is none or it was damaged (then it is moved aside)."""
        folder = self.path(stage, key)
        if not folder.is_dir():
            return None
        problem = _verify(folder)
        if problem is None:
            return Artifact(folder)
        aside = folder.with_name(f"{key}.damaged-{uuid.uuid4().hex[:8]}")
        folder.rename(aside)
        log.warning("%s %s is damaged (%s); moved aside to %s and made anew.", stage, key, problem, aside)
        return None

    def fetch(self, stage: Stage, key: str, *, write: Callable[[Draft], None], inputs: Any) -> Artifact:
        """The artifact of this key, made by `write` if it does not exist yet.

        inputs: what the key was made from, for the provenance. An error in `write` leaves nothing behind but the
        checkpoint of a training from which it can go on.
        """
        folder = self.path(stage, key)
        if folder.is_dir() and _verify(folder) is None:
            return Artifact(folder)
        with self._lock(stage, key):  # moving aside too: of two that see a damage, the slower would move the new one
            artifact = self.load(stage, key)  # another process may have made it while this one waited
            if artifact is None:
                self._make(stage, key, write, inputs)
                artifact = Artifact(self.path(stage, key))
        return artifact

    def _make(self, stage: Stage, key: str, write: Callable[[Draft], None], inputs: Any) -> None:
        final = self.path(stage, key)
        temporary = final.with_name(f".{key}.{uuid.uuid4().hex[:8]}")
        started = time.perf_counter()
        try:
            temporary.mkdir(parents=True)
            draft = Draft(temporary, self.root / "unfinished" / f"{stage}-{key}.ckpt")
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
                "sha256": {p.name: _sha256(p) for p in parts},
            }
            (temporary / PROVENANCE).write_text(json.dumps(facts, indent=1))
            for path in [*parts, temporary / PROVENANCE, temporary]:
                _flush(path)
            temporary.rename(final)
            _flush(final.parent)
            _forget(draft.checkpoint)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    @contextmanager
    def _lock(self, stage: Stage, key: str) -> Iterator[None]:
        folder = self.root / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / f"{stage}-{key}.lock")
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


def foreign_array(path: Path) -> np.ndarray:
    """A user's .npy as a read-only memory map; OSError or ValueError where it is none. Nothing is unpickled."""
    return np.load(path, mmap_mode="r", allow_pickle=False)


def foreign_tensors(path: Path) -> dict[str, torch.Tensor]:
    """The weights in a user's file, .safetensors or what torch.save wrote, by name. Nothing is unpickled but tensors.

    Training programs wrap them: what is below "state_dict" or "model" counts, and a leading "module." does not.
    Raises OSError, ValueError, RuntimeError, UnpicklingError or SafetensorError where it holds none.
    """
    if path.suffix == ".safetensors":
        return load_file(path)
    loaded = torch.load(path, map_location="cpu", weights_only=True)
    for wrapper in ("state_dict", "model"):
        loaded = loaded[wrapper] if isinstance(loaded, dict) and wrapper in loaded else loaded
    if not isinstance(loaded, dict):
        raise ValueError(f"it holds a {type(loaded).__name__}, not weights by name")
    return {name.removeprefix("module."): value for name, value in loaded.items()}


def foreign_digest(path: Path) -> str:
    """SHA-256 of a user's file, read again only when its size or time of modification changes."""
    status = path.stat()
    return _digest_of_status(path.resolve(), status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=16)
def _digest_of_status(path: Path, size: int, modified: int) -> str:
    return _sha256(path)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _verify(folder: Path) -> str | None:
    """What is wrong with the artifact in this folder, or None."""
    try:
        expected = json.loads((folder / PROVENANCE).read_text())["sha256"]
        for name, digest in expected.items():
            if _sha256(folder / name) != digest:
                return f"{name} does not match its checksum"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"{type(error).__name__}: {error}"
    return None


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomically(path: Path, text: str) -> None:
    """Replace a file in one step: a reader sees the old text or the new, never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    temporary.write_text(text)
    _flush(temporary)
    temporary.replace(path)


def provenance() -> dict[str, Any]:
    """With what code a result is made, and when."""
    packages = ("torch", "torchvision", "pytorch-lightning", "numpy", "scikit-learn")
    versions = {name: metadata.version(name) for name in packages}
    return {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "git": git_commit(),
        "python": platform.python_version(),
        "packages": versions,
    }


@functools.cache
def git_commit() -> str | None:
    """The commit of the code, `-dirty` where files were changed; None outside a checkout."""

    def git(*arguments: str) -> str:
        folder = Path(__file__).parent
        done = subprocess.run(("git", *arguments), cwd=folder, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        commit = git("rev-parse", "--short=12", "HEAD")
        return commit + ("-dirty" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def device_name(kind: str) -> str:
    """The public name of this machine's device of a kind, "cuda", "mps" or "cpu"."""
    if kind == "cuda":
        return torch.cuda.get_device_name()
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads" if kind == "cpu" else kind
