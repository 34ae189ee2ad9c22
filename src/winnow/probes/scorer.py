"""Passes over data through one or more trained models: the only place where scores' evidence is computed by models."""

import numpy as np
import torch
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor, nn

from winnow.datasets.loader import Batch, DeviceImages, InMemoryLoader, evaluation_batch
from winnow.models.base import Classifier


class EnsembleScorer(LightningModule):
    """Evaluation-mode outputs of K models: predict_step yields (index [B], logits [K, B, C])."""

    def __init__(self, models: list[Classifier]) -> None:
        super().__init__()
        self.models = nn.ModuleList(models)

    def predict_step(self, batch: Batch, batch_idx: int) -> tuple[Tensor, Tensor]:
        return batch.index, torch.stack([model(batch.image) for model in self.models])


def logits_of(models: list[Classifier], data: DeviceImages, trainer: Trainer, *, channels_last: bool) -> np.ndarray:
    """Logits [K, n, C] float32 of every example of `data`, without augmentation, in canonical order."""
    loader = InMemoryLoader(data, batch_size=evaluation_batch(data), channels_last=channels_last)
    yielded = trainer.predict(EnsembleScorer(models), loader)
    assert yielded is not None
    index = torch.cat([index for index, _ in yielded]).cpu().numpy()
    logits = torch.cat([logits for _, logits in yielded], dim=1).float().cpu().numpy()
    ordered = np.empty_like(logits)
    ordered[:, index] = logits
    return ordered
