"""Progress of one training: a bar where someone watches, a line now and then where nobody does."""

import logging
import sys
import time

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import TQDMProgressBar

log = logging.getLogger(__name__)
SECONDS_BETWEEN_LINES = 10.0
SECONDS_BETWEEN_DRAWINGS = 0.1


class PlainProgress(Callback):
    """Logs the step, the loss and the time left at the end of an epoch, at most once in ten seconds."""

    def __init__(self, title: str) -> None:
        self.title = title

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.started = self.last = time.monotonic()
        self.first = trainer.global_step  # not 0 where an interrupted training goes on

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        now, steps = time.monotonic(), trainer.max_steps
        if now - self.last < SECONDS_BETWEEN_LINES:
            return
        self.last = now
        done = trainer.global_step - self.first
        left = (now - self.started) / done * (steps - trainer.global_step)
        loss = float(trainer.callback_metrics.get("train_loss", float("nan")))
        log.info("%s: step %d of %d, loss %.3f, %.0f s left", self.title, trainer.global_step, steps, loss, left)


class DrawnProgressBar(TQDMProgressBar):
    """Lightning's, drawn ten times a second and at the end of an epoch: each drawing takes longer than a small step."""

    def __init__(self) -> None:
        super().__init__()
        self.drawn = -SECONDS_BETWEEN_DRAWINGS

    def _should_update(self, current: int, total: int) -> bool:
        now = time.monotonic()
        if current != total and now - self.drawn < SECONDS_BETWEEN_DRAWINGS:
            return False
        self.drawn = now
        return super()._should_update(current, total)


def progress_callback(title: str, bar: bool | None) -> Callback:
    """A bar when `bar` is true, or None and standard error is a terminal; plain lines otherwise."""
    return DrawnProgressBar() if (sys.stderr.isatty() if bar is None else bar) else PlainProgress(title)
