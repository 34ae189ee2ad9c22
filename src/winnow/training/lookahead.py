"""Lookahead (Zhang et al. 2019, 1907.08610): now and then a training goes on from a moving average of its weights."""

from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

FORGETTING = 0.95
"""A step's decay at the end of training, as in Jordan 2024 (2404.00498)."""


class Lookahead(Callback):
    """Every k steps, and so that the last is one of them: θ̄ ← d θ̄ + (1 − d) θ, then θ ← θ̄, with d = 0.95^k (t / T)³ at
    step t of T; the first time θ̄ = θ. So the model of the last step is the average.

    Batch-norm statistics likewise. Early on d is near 0 and θ̄ is θ; late, the average settles what large steps leave
    undone. Of several processes each keeps its own: weights are the same in all, statistics the first's count.
    Deviation from Jordan: he counts the k steps from the first, and what comes after the last of them is lost.
    """

    def __init__(self, every: int, steps: int) -> None:
        self.every, self.steps = every, steps
        self.average: list[Tensor] = []

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        step = trainer.global_step
        if (self.steps - step) % self.every:
            return
        now = _averaged(pl_module)
        if not self.average:
            self.average = [each.clone() for each in now]
            return
        self.average = [each.to(like.device) for each, like in zip(self.average, now, strict=True)]  # of a checkpoint
        decay = FORGETTING**self.every * (step / self.steps) ** 3
        torch._foreach_lerp_(self.average, now, 1 - decay)
        torch._foreach_copy_(now, self.average)

    def state_dict(self) -> dict[str, Any]:
        return {"average": self.average}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.average = state_dict["average"]


def _averaged(module: LightningModule) -> list[Tensor]:
    """The model's numbers: weights, and what batch norm keeps of the batches."""
    return [each.detach() for each in module.model.state_dict().values() if each.is_floating_point()]  # type: ignore[union-attr]
