"""Checkpoints of a training that is not finished: it goes on from one as if it had never been interrupted, bit for bit.

One is taken before a step, or after the last, so it says what has been done and which batch comes next. Order,
augmentation and noise are functions of the seed and of the step, so nothing of them is kept. Checkpoints are unpickled
by nobody (weights_only).
"""

import logging
import os
import time
import uuid
from contextlib import closing, nullcontext, suppress
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, BinaryIO
from zipfile import BadZipFile, ZipFile

import pytorch_lightning
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.plugins.io import TorchCheckpointIO

from winnow.datasets.loader import InMemoryLoader
from winnow.datasets.stream_loader import StreamLoader
from winnow.parallel import interruption, workers
from winnow.store.artifacts import OPTION
from winnow.store.keys import make_key
from winnow.store.writing import writing
from winnow.training.csv_logger import ContinuedCSVLogger

log = logging.getLogger(__name__)
FORMAT = 1  # raised when what the callbacks of a training keep has changed
STEPS_BETWEEN_TALKS = 10  # of several processes about whether to take a checkpoint
DAMAGE = (OSError, RuntimeError, UnpicklingError, BadZipFile, EOFError, KeyError, TypeError, ValueError)


class Checkpoints(Callback):
    """Takes the checkpoints of one training, every `every` seconds and when a signal waits, and resumes from one.

    path: of the file; None takes none. training: names what is trained, with all that it depends on; a checkpoint of
    another training, or of another version of its format, is left aside. After `fit`, `seconds` is the wall-clock of
    the training, those of its earlier parts included.
    steps: of the whole schedule, where the training stops before its end. Where it stops is not what it is, so a longer
    one may go on from a shorter one's last checkpoint: kept: the file for that checkpoint, None keeps none; begun: the
    file that a shorter one kept, which is read where there is nothing at `path`, and stays as it is.
    """

    def __init__(
        self,
        path: Path | None,
        *,
        every: float,
        training: str,
        steps: int | None = None,
        begun: Path | None = None,
        kept: Path | None = None,
    ) -> None:
        self.path, self.every, self.training, self.steps = path, every, training, steps
        self.begun, self.kept = begun, kept
        self.seconds = 0.0

    def fit(self, trainer: Trainer, module: LightningModule, loader: InMemoryLoader | StreamLoader) -> None:
        """trainer.fit(module, loader), from the checkpoint where there is one.

        Raises Interrupted when a signal ends it; then the checkpoint is there.
        """
        shapes = {name: list(value.shape) for name, value in module.state_dict().items()}
        version = (FORMAT, pytorch_lightning.__version__)
        steps = self.steps or trainer.max_steps
        inputs = {"training": self.training, "version": version, "shapes": shapes, "steps": steps}
        self.identity = make_key("training", inputs)
        loaded = workers.result_of_leader(self._load)
        if loaded is not None:
            log.info("going on at step %d of %d", loaded["global_step"], trainer.max_steps)
            for logger in trainer.loggers:
                if isinstance(logger, ContinuedCSVLogger):
                    logger.go_on(loaded["global_step"])
        trainer.strategy.checkpoint_io = _CheckpointFile(loaded)
        self.started = time.perf_counter()
        with interruption.deferred() if self.path else nullcontext(), closing(loader):
            trainer.fit(module, loader, ckpt_path=(self.path or self.begun) if loaded else None, weights_only=True)
            if self.kept:
                trainer.save_checkpoint(self.kept, weights_only=False)
        self.seconds = self._elapsed()

    def _elapsed(self) -> float:
        return self.seconds + time.perf_counter() - self.started

    def state_dict(self) -> dict[str, Any]:
        return {"identity": self.identity, "seconds": self._elapsed()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.seconds = state_dict["seconds"]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        interruption.reclaim()
        self.written = time.monotonic()

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if workers.is_distributed() and trainer.global_step % STEPS_BETWEEN_TALKS:
            return
        due = self.path is not None and time.monotonic() - self.written >= self.every
        stop, due = workers.flags_of_leader(interruption.pending(), due)
        if self.path and (stop or due):
            trainer.save_checkpoint(self.path, weights_only=False)
            self.written = time.monotonic()
        if stop:
            workers.call_in_leader(interruption.act)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # What follows, such as tests and passes, can be interrupted too; short trainings are spared the file.
        (needed,) = workers.flags_of_leader(self.path is not None and (interruption.pending() or self.path.exists()))
        if self.path and needed:
            trainer.save_checkpoint(self.path, weights_only=False)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        # Lightning counts a batch as ready before its step: say that it is not, so that it comes again.
        loops = checkpoint["loops"]["fit_loop"]
        progress = loops["epoch_loop.batch_progress"]
        for part in ("total", "current"):
            progress[part]["ready"] = progress[part]["completed"]
        progress["is_last_batch"] = False
        if progress["current"]["completed"] == trainer.num_training_batches:  # the next is the first of an epoch
            progress["current"] = dict.fromkeys(progress["current"], 0)
            loops["state_dict"]["combined_loader"] = []

    def _load(self) -> dict[str, Any] | None:
        """The checkpoint, or None where there is none that fits; one of our own that does not is moved aside."""
        if self.path is not None and self.path.exists():
            loaded, problem = self._read(self.path)
            if loaded is not None:
                return loaded
            aside = self.path.with_name(f"{self.path.stem}.damaged-{uuid.uuid4().hex[:8]}")
            with writing(aside, option=OPTION):
                self.path.rename(aside)
            log.warning("cannot go on from %s (%s); moved aside to %s, training anew.", self.path, problem, aside)
        if self.begun is not None:
            loaded, problem = self._read(self.begun)
            if loaded is None:
                log.warning("cannot go on from %s (%s); training anew.", self.begun, problem)
            return loaded
        return None

    def _read(self, path: Path) -> tuple[dict[str, Any] | None, str]:
        """The checkpoint in a file, or None and what is wrong with it."""
        try:
            with ZipFile(path) as file:  # torch does not look at the checksums
                broken = file.testzip()
            if broken is not None:
                raise ValueError(f"{broken} does not match its checksum")
            loaded: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            if loaded["callbacks"][self.state_key]["identity"] == self.identity:
                return loaded, ""
            return None, "it is of another training or version"
        except DAMAGE as error:
            return None, f"{type(error).__name__}: {error}"


class _CheckpointFile(TorchCheckpointIO):
    """Replaces the file in one step. Lightning's own way goes through memory and the temporary folder of the machine.

    loaded: what reading it gives, for it has been read and found whole. Raises StoreError where there is no writing it;
    the one before stays then.
    """

    def __init__(self, loaded: dict[str, Any] | None) -> None:
        self.loaded = loaded

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        path = Path(path)
        part = path.with_name(f"{path.name}.part")
        with writing(path, option=OPTION):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with part.open("wb") as file:
                    _save(checkpoint, file)
                    file.flush()
                    os.fsync(file.fileno())
                part.replace(path)
            except OSError:
                with suppress(OSError):
                    part.unlink()
                raise

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        loaded, self.loaded = self.loaded, None
        assert loaded is not None
        return loaded


def _save(checkpoint: dict[str, Any], file: BinaryIO) -> None:
    """torch.save, with the file's own error: torch raises another over it, as it ends a file that has ended early."""
    try:
        torch.save(checkpoint, file)
    except RuntimeError as error:
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise
