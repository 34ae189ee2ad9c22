"""The one LightningModule that trains a classifier."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from winnow.datasets.loader import Batch
from winnow.models.base import Classifier
from winnow.parallel import workers
from winnow.training.device_module import DeviceModule
from winnow.training.recipe import Recipe


def weighted_loss(losses: Tensor, weights: Tensor, size: int | None = None) -> Tensor:
    """Σ w_i ℓ_i / B over a batch of B (size), of which `losses` may be a part.

    Not divided by Σ w: the calibration weights make the expectation of this sum the full data's risk, and normalising
    in each batch would undo that.
    """
    return (losses * weights).sum() / (size or losses.numel())


def averaged_logits(model: Classifier, images: Tensor, views: int) -> Tensor:
    """The mean logits [B, C] of 1, 2 or 6 views of images [B, C, H, W] (see Recipe): shifts repeat the border pixel's
    mirror image."""

    def mirrored(images: Tensor) -> Tensor:
        return (model(images) + model(images.flip(3))) / 2

    if views == 1:
        return model(images)
    if views == 2:
        return mirrored(images)
    height, width = images.shape[2:]
    padded = F.pad(images, (1, 1, 1, 1), mode="reflect")
    shifted = mirrored(padded[:, :, :height, :width]) + mirrored(padded[:, :, 2:, 2:])
    return mirrored(images) / 2 + shifted / 4


class ClassifierModule(DeviceModule):
    """Trains a classifier on weighted batches; a step also yields its logits, so that recorders need no second pass.

    After a test run, `test_sums` [1 + 2C] holds of this process's test images the summed cross-entropy in nats, the
    wrong ones of each class, and the tested ones of each.
    """

    def __init__(self, model: Classifier, recipe: Recipe, steps: int) -> None:
        super().__init__()
        self.model, self.recipe, self.steps = model, recipe, steps
        self.test_sums = torch.zeros(1 + 2 * model.head.out_features, dtype=torch.float64)

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        logits = self.model(batch.image).float()
        losses = F.cross_entropy(logits, batch.label, reduction="none", label_smoothing=self.recipe.label_smoothing)
        # DDP takes the mean of the processes' gradients: times their number, it is the gradient of the batch's loss.
        loss = weighted_loss(losses, batch.weight, batch.size) * workers.world_size()
        return {"loss": loss, "logits": logits.detach()}

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        logits = averaged_logits(self.model, batch.image, self.recipe.test_views)
        loss = F.cross_entropy(logits, batch.label, reduction="sum")
        wrong = batch.label[logits.argmax(1) != batch.label]
        counts = [torch.bincount(labels, minlength=logits.shape[1]) for labels in (wrong, batch.label)]
        self.test_sums += torch.cat([loss.reshape(1), *counts]).cpu()  # float32 holds the counts of a batch exactly

    def configure_optimizers(self) -> Any:
        optimiser, schedule = self.recipe.optimiser(self.model, self.steps)
        if schedule is None:
            return optimiser
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
