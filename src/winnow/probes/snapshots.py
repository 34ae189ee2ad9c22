"""The weights of a training after some of its epochs."""

import copy
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer


class Snapshots(Callback):
    """Keeps the weights after the asked epochs in memory; 0 is before the first step."""

    def __init__(self, epochs: set[int]) -> None:
        self.epochs = epochs
        self.weights: dict[int, dict[str, torch.Tensor]] = {}

    def _keep(self, epoch: int, module: LightningModule) -> None:
        if epoch in self.epochs and epoch not in self.weights:  # where training goes on, 0 was kept by its first part
            assert isinstance(module.model, torch.nn.Module)
            self.weights[epoch] = {k: v.detach().cpu() for k, v in copy.deepcopy(module.model.state_dict()).items()}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._keep(0, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._keep(trainer.current_epoch + 1, pl_module)

    def state_dict(self) -> dict[str, Any]:
        return {"weights": self.weights}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.weights = state_dict["weights"]
