"""The weights of a training after some of its epochs."""

import copy
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from winnow.training.averaging import weights_of


class Snapshots(Callback):
    """Keeps the weights, or their average, after the asked epochs in memory; 0 is before the first step."""

    def __init__(self, epochs: set[int]) -> None:
        self.epochs = epochs
        self.weights: dict[int, dict[str, torch.Tensor]] = {}

    def _keep(self, epoch: int, trainer: Trainer, module: LightningModule) -> None:
        if epoch in self.epochs and epoch not in self.weights:  # where training goes on, its first part kept some
            weights = copy.deepcopy(weights_of(trainer, module))
            self.weights[epoch] = {k: v.detach().cpu() for k, v in weights.items()}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._keep(trainer.current_epoch, trainer, pl_module)  # 0, or the last of what this one goes on from

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._keep(trainer.current_epoch + 1, trainer, pl_module)

    def state_dict(self) -> dict[str, Any]:
        return {"weights": self.weights}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.weights = {epoch: kept for epoch, kept in state_dict["weights"].items() if epoch in self.epochs}
