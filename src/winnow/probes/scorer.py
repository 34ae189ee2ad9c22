"""Passes over data through one or more trained models: the only place where scores' evidence is computed by models."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import BasePredictionWriter
from torch import Tensor, nn

from winnow.datasets.loader import Batch, DeviceImages, InMemoryLoader, evaluation_batch
from winnow.models.base import Classifier

Output = Callable[[Classifier, Batch], Tensor]
"""What a pass computes of a batch with one model: [B, ...]."""


def logits(model: Classifier, batch: Batch) -> Tensor:
    """[B, C]"""
    return model(batch.image)


def features(model: Classifier, batch: Batch) -> Tensor:
    """Penultimate features [B, d]."""
    return model.features(batch.image)


class EnsembleScorer(LightningModule):
    """Evaluation-mode outputs of K models: predict_step yields (index [B], outputs [K, B, ...])."""

    def __init__(self, models: list[Classifier], output: Output = logits) -> None:
        super().__init__()
        self.models = nn.ModuleList(models)
        self._output = output

    def predict_step(self, batch: Batch, batch_idx: int) -> tuple[Tensor, Tensor]:
        return batch.index, torch.stack([self._output(model, batch) for model in self.models])  # type: ignore[arg-type]


def pass_into(
    out: np.ndarray,
    models: list[Classifier],
    data: DeviceImages,
    trainer: Trainer,
    *,
    output: Output = logits,
    batch_size: int | None = None,
    channels_last: bool,
) -> None:
    """Fill `out` [K, n, ...], which may be a memory map, with the output of every example of `data`, not augmented.

    An output that differentiates needs a trainer with inference_mode=False.
    """
    loader = InMemoryLoader(data, batch_size=batch_size or evaluation_batch(data), channels_last=channels_last)
    trainer.callbacks.append(writer := _Writer(out))  # type: ignore[attr-defined]
    try:
        trainer.predict(EnsembleScorer(models, output), loader, return_predictions=False)
    finally:
        trainer.callbacks.remove(writer)  # type: ignore[attr-defined]


class _Writer(BasePredictionWriter):
    """Puts each batch of outputs at its examples' place in an array [K, n, ...]."""

    def __init__(self, out: np.ndarray) -> None:
        super().__init__("batch")
        self._out = out

    def write_on_batch_end(self, trainer: Trainer, pl_module: LightningModule, prediction: Any, *_: Any) -> None:
        index, outputs = prediction
        self._out[:, index.cpu().numpy()] = outputs.float().cpu().numpy()
