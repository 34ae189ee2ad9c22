"""The loss of an epoch in the log."""

from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

NAME = "train_loss"


class EpochLoss(Callback):
    """Logs the mean loss of an epoch's batches, weighted by their examples, once at its end.

    The sum stays on the device: Lightning's own way, a call of `log` in each step, takes about a millisecond of a CPU.
    To be the first of the callbacks, so that the others find the loss in `trainer.callback_metrics`.
    """

    def __init__(self) -> None:
        self.total: Tensor | float = 0.0
        self.examples = 0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.total = self.total + outputs["loss"].detach() * batch.size
        self.examples += batch.size

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        pl_module.log(NAME, self.total / self.examples, on_step=False, on_epoch=True, sync_dist=True)
        self.total, self.examples = 0.0, 0

    def state_dict(self) -> dict[str, Any]:
        return {"total": float(self.total), "examples": self.examples}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.total, self.examples = state_dict["total"], state_dict["examples"]
