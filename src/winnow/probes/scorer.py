"""Passes over data through one or more trained models: the only place where scores' evidence is computed by models."""

from typing import Any

import numpy as np
import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import BasePredictionWriter
from torch import Tensor, nn

from winnow.datasets.loader import Batch, DeviceImages, InMemoryLoader, evaluation_batch
from winnow.errors import check_choice
from winnow.models.base import Classifier


class EnsembleScorer(LightningModule):
    """Evaluation-mode outputs of K models: predict_step yields (index [B], outputs [K, B, C or d]).

    output: "logits", or "features", those of the penultimate layer (K models of the same width).
    """

    def __init__(self, models: list[Classifier], *, output: str = "logits") -> None:
        super().__init__()
        check_choice("output", output, ("logits", "features"))
        self.models = nn.ModuleList(models)
        self._output = output

    def predict_step(self, batch: Batch, batch_idx: int) -> tuple[Tensor, Tensor]:
        return batch.index, torch.stack([self._through(model, batch.image) for model in self.models])

    def _through(self, model: nn.Module, images: Tensor) -> Tensor:
        assert isinstance(model, Classifier)
        return model(images) if self._output == "logits" else model.features(images)


def logits_of(models: list[Classifier], data: DeviceImages, trainer: Trainer, *, channels_last: bool) -> np.ndarray:
    """Logits [K, n, C] float32 of every example of `data`, without augmentation, in canonical order."""
    out = np.empty((len(models), data.labels.numel(), models[0].head.out_features), dtype=np.float32)
    _pass_into(out, EnsembleScorer(models), data, trainer, channels_last)
    return out


def features_into(
    out: np.ndarray, model: Classifier, data: DeviceImages, trainer: Trainer, *, channels_last: bool
) -> None:
    """Fill `out` [n, d] float32, which may be a memory map, with the penultimate features of one model."""
    _pass_into(out[None], EnsembleScorer([model], output="features"), data, trainer, channels_last)


def _pass_into(
    out: np.ndarray, scorer: EnsembleScorer, data: DeviceImages, trainer: Trainer, channels_last: bool
) -> None:
    loader = InMemoryLoader(data, batch_size=evaluation_batch(data), channels_last=channels_last)
    trainer.callbacks.append(writer := _Writer(out))  # type: ignore[attr-defined]
    try:
        trainer.predict(scorer, loader, return_predictions=False)
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
