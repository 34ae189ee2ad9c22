"""Records what training computes of each example anyway: trajectories, and the forgetting events in them."""

from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.loggers import WandbLogger
from torch import Tensor

from winnow.core.types import Ints, Trajectory
from winnow.datasets.loader import Batch
from winnow.parallel import workers
from winnow.store.artifacts import Draft
from winnow.store.records import save_trajectory
from winnow.training.callbacks.forgetting import recorded
from winnow.training.callbacks.recorder import Recorder

MOST_EVENTS = 10
BYTES_AT_ONCE = 2**26  # of an exchange between processes


def observe(
    logits: Tensor, labels: Tensor, previous: Tensor | None = None, *, changes: bool = True
) -> tuple[dict[str, Tensor], Tensor]:
    """The fields of Trajectory for one batch, each [B], and the softmax [B, C].

    logits [B, C] float32, labels [B]; previous [B, C]: the softmax at the examples' previous presentation, NaN rows
    where there was none (the changes are 0 there). changes: whether these are among the fields.
    """
    log_p = F.log_softmax(logits, dim=1)
    p = log_p.exp()
    truth = labels[:, None]
    others = logits.scatter(1, truth, -torch.inf)
    p_true = p.gather(1, truth).squeeze(1)
    correct = logits.argmax(1) == labels
    values = {
        "p_true": p_true,
        "margin": logits.gather(1, truth).squeeze(1) - others.amax(1),
        "probability_margin": p_true - p.scatter(1, truth, -1.0).amax(1),
        "el2n": (p - F.one_hot(labels, logits.shape[1])).norm(dim=1),
        "loss": -log_p.gather(1, truth).squeeze(1),
        "correct": correct.to(torch.int8),
    }
    if changes:
        change = torch.zeros_like(p)
        if previous is not None:
            # A softmax output can underflow to 0; the smallest normal number keeps its logarithm finite.
            change = p * (log_p - previous.clamp(min=torch.finfo(p.dtype).tiny).log())
            change = change.nan_to_num(0.0)
        values |= {"change_kl": change.sum(1), "change_abs": change.abs().sum(1)}
    return values, p


def merge(columns: list[Tensor], seen: Tensor) -> None:
    """Put into each column, [m] or [m, C], what other processes saw, in place. seen [m]: what this one saw; cleared.

    An example is seen by one process between two calls. Rows that none saw stay as they are, so they must be alike
    everywhere. Bits are added as whole numbers to the zeros of those who saw nothing, which no order of adding changes.
    It goes by blocks of rows, so that no more than about BYTES_AT_ONCE are exchanged, and held twice, at once.
    """
    if not workers.is_distributed():
        return
    width = 1 + sum(column[0].numel() for column in columns)
    rows = max(1, BYTES_AT_ONCE // (4 * width))
    for first in range(0, len(seen), rows):
        some = slice(first, first + rows)
        _merge([column[some] for column in columns], seen[some])
    seen.zero_()


def _merge(columns: list[Tensor], seen: Tensor) -> None:
    bits = [_bits(column).reshape(len(seen), -1) for column in columns]
    exchanged = torch.cat([*bits, seen[:, None].int()], dim=1)
    exchanged[~seen] = 0
    workers.sum_over_ranks(exchanged)
    *merged, by = exchanged.split([*(part.shape[1] for part in bits), 1], dim=1)
    by_any = by[:, 0].bool()
    for column, part in zip(columns, merged, strict=True):
        values = part.contiguous().view(column.dtype) if column.is_floating_point() else part.to(column.dtype)
        column[by_any] = values.reshape(column.shape)[by_any]


def _bits(column: Tensor) -> Tensor:
    """As 32-bit whole numbers: a float32 by its bits, whole numbers by their value."""
    return column.view(torch.int32) if column.is_floating_point() else column.int()


class TrajectoryRecorder(Recorder):
    """Fills one row of a Trajectory an epoch from the logits that the training step yields, before each update.

    A forgetting event is a correct presentation followed by a wrong one (Toneva et al. 2019, 1812.05159, §3). The
    histogram goes to the logger as `forgetting/0` ... `forgetting/10+` (numbers of examples); wandb gets a picture too.

    Of several processes each sees its part of an epoch; at its end their parts are put together, by index and in one
    exchange, so that each knows the softmax and the events of examples that it has not seen. The first keeps the rows.

    changes: whether to record those of the softmax, for which that of the last presentation is kept, [m, C].
    """

    def __init__(self, indices: Ints, n_classes: int, *, changes: bool = True) -> None:
        m = len(indices)
        self.n_classes, self.changes = n_classes, changes
        self.sorted_indices = torch.tensor(indices)
        self.rows: dict[str, list[np.ndarray]] = {name: [] for name in recorded(changes=changes)}
        self.row: dict[str, Tensor] = {}
        self.tables = ("softmax", "was_correct", "events") if changes else ("was_correct", "events")
        if changes:
            self.softmax = torch.full((m, n_classes), torch.nan)
        self.was_correct = torch.zeros(m, dtype=torch.bool)
        self.events = torch.zeros(m, dtype=torch.int64)
        self.seen = torch.zeros(m, dtype=torch.bool)

    def __reduce__(self) -> Any:
        """To another process travels what makes a fresh recorder, not its empty tables."""
        assert not self.rows["loss"], "it has recorded"
        return partial(type(self), changes=self.changes), (self.sorted_indices.numpy(), self.n_classes)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        device = pl_module.device
        for name in ("sorted_indices", "seen", *self.tables):
            setattr(self, name, getattr(self, name).to(device))
        self.row = {name: values.to(device) for name, values in self.row.items()}

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        m, device = len(self.sorted_indices), pl_module.device
        self.row = {name: torch.full((m,), torch.nan, device=device) for name in self.rows if name != "correct"}
        self.row["correct"] = torch.full((m,), -1, dtype=torch.int8, device=device)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        self.record(batch.index, outputs["logits"], batch.label)

    def record(self, index: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Enter one minibatch: canonical indices [B], logits [B, C], labels [B]."""
        at = torch.searchsorted(self.sorted_indices, index)
        self.seen[at] = True
        previous = self.softmax[at] if self.changes else None
        values, softmax = observe(logits, labels, previous, changes=self.changes)
        if self.changes:
            self.softmax[at] = softmax
        for name, value in values.items():
            self.row[name][at] = value
        correct = values["correct"].bool()
        self.events[at] += self.was_correct[at] & ~correct
        self.was_correct[at] = correct

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._merge()
        if workers.rank() > 0:
            return
        for name, row in self.row.items():
            self.rows[name].append(row.cpu().numpy())
        counts = torch.bincount(self.events.clamp(max=MOST_EVENTS), minlength=MOST_EVENTS + 1).tolist()
        names = [*map(str, range(MOST_EVENTS)), f"{MOST_EVENTS}+"]
        histogram = {f"forgetting/{name}": float(count) for name, count in zip(names, counts, strict=True)}
        for logger in trainer.loggers:
            logger.log_metrics(histogram, step=trainer.global_step)
            if isinstance(logger, WandbLogger):
                import wandb

                bins = np.arange(MOST_EVENTS + 2) - 0.5
                picture = wandb.Histogram(np_histogram=(np.array(counts), bins))
                logger.experiment.log({"forgetting/events": picture, "trainer/global_step": trainer.global_step})

    def _merge(self) -> None:
        merge([*self.row.values(), *(getattr(self, name) for name in self.tables)], self.seen)

    def state_dict(self) -> dict[str, Any]:
        self._merge()  # in the middle of an epoch; a checkpoint is taken by all processes at once
        rows = {name: [torch.from_numpy(row) for row in rows] for name, rows in self.rows.items()}
        now = {name: getattr(self, name) for name in ("row", *self.tables)}
        return {"rows": rows, **now}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = {name: [row.numpy() for row in rows] for name, rows in state_dict["rows"].items()}
        for name in ("row", *self.tables):
            setattr(self, name, state_dict[name])

    def save(self, draft: Draft) -> None:
        save_trajectory(draft, self.trajectory())

    def trajectory(self) -> Trajectory:
        """What was recorded, arrays [T, m] in the order of the sorted indices."""
        return Trajectory(**{name: np.stack(rows) for name, rows in self.rows.items()})
