"""The one LightningModule that trains a classifier."""

from typing import Any

import torch
import torch.nn.functional as F
from pytorch_lightning import LightningModule
from torch import Tensor

from winnow.datasets.loader import Batch
from winnow.models.base import Classifier
from winnow.training.recipe import Recipe


def weighted_loss(losses: Tensor, weights: Tensor) -> Tensor:
    """Σ w_i ℓ_i / B over a batch of B.

    Not divided by Σ w: the calibration weights make the expectation of this sum the full data's risk, and normalising
    in each batch would undo that.
    """
    return (losses * weights).sum() / losses.numel()


class ClassifierModule(LightningModule):
    """Trains a classifier on weighted batches; a step also yields its logits, so that recorders need no second pass.

    After a test run, `test_error` (in [0, 1]) and `test_loss` (mean cross-entropy, nats) hold the result.
    """

    def __init__(self, model: Classifier, recipe: Recipe, steps: int) -> None:
        super().__init__()
        self.model, self.recipe, self.steps = model, recipe, steps
        self.test_error = self.test_loss = float("nan")

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        logits = self.model(batch.image).float()
        losses = F.cross_entropy(logits, batch.label, reduction="none", label_smoothing=self.recipe.label_smoothing)
        loss = weighted_loss(losses, batch.weight)
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=losses.numel())
        return {"loss": loss, "logits": logits.detach()}

    def on_test_epoch_start(self) -> None:
        self._test_sums = torch.zeros(3, dtype=torch.float64)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        logits = self.model(batch.image)
        loss = F.cross_entropy(logits, batch.label, reduction="sum")
        wrong = (logits.argmax(1) != batch.label).sum()
        self._test_sums += torch.tensor([wrong.item(), loss.item(), len(logits)], dtype=torch.float64)

    def on_test_epoch_end(self) -> None:
        wrong, loss, n_test = self._test_sums.tolist()
        self.test_error, self.test_loss = wrong / n_test, loss / n_test

    def configure_optimizers(self) -> Any:
        optimiser, schedule = self.recipe.optimiser(self.model, self.steps)
        if schedule is None:
            return optimiser
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
