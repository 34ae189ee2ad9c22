"""Passes over data through one or more trained models: the only place where scores' evidence is computed by models."""

from typing import Any

import numpy as np
import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import BasePredictionWriter
from torch import Tensor, nn

from winnow.datasets.base import ImageDataset
from winnow.datasets.batches import Part, batches
from winnow.datasets.loader import Batch
from winnow.models.base import Classifier
from winnow.parallel import workers
from winnow.probes.forward import Output, logits
from winnow.training import threads
from winnow.training.device_module import DeviceModule
from winnow.training.devices import TrainerSpec, quiet, shard
from winnow.training.trainers import solo_trainer


class EnsembleScorer(DeviceModule):
    """Evaluation-mode outputs of K models: predict_step yields (index [B], outputs [K, B, ...])."""

    def __init__(self, models: list[Classifier], output: Output = logits) -> None:
        super().__init__()
        self.models = nn.ModuleList(models)
        self._output = output

    def predict_step(self, batch: Batch, batch_idx: int) -> tuple[Tensor, Tensor]:
        return batch.index, torch.stack([self._output(model, batch) for model in self.models])  # type: ignore[arg-type]


def score_part(
    *,
    out: np.ndarray | None,
    models: list[Classifier],
    dataset: ImageDataset,
    part: Part,
    trainer: TrainerSpec,
    output: Output,
    differentiates: bool,
    batch_size: int | None,
    channels_last: bool,
) -> None:
    """This process's part of a pass. The leader fills `out`; a follower sends it what it found."""
    writer = _Writer(out)
    with quiet(), threads.as_told(trainer):
        lightning = solo_trainer(trainer, callbacks=[writer], logger=False, inference_mode=not differentiates)
        loader = batches(
            dataset,
            part,
            device=lightning.strategy.root_device,
            batch_size=batch_size and batch_size * workers.world_size(),
            channels_last=channels_last,
            shard=shard(),
        )
        lightning.predict(EnsembleScorer(models, output), loader, return_predictions=False)
    if out is None:
        workers.send(writer.found())
        return
    for follower in range(1, workers.world_size()):
        found = workers.receive(follower)
        if found:
            out[:, found[0].numpy()] = found[1].numpy()


class _Writer(BasePredictionWriter):
    """Puts each batch of outputs at its examples' place in an array [K, n, ...], or keeps it where there is none."""

    def __init__(self, out: np.ndarray | None) -> None:
        super().__init__("batch")
        self._out = out
        self._kept: list[tuple[Tensor, Tensor]] = []

    def write_on_batch_end(self, trainer: Trainer, pl_module: LightningModule, prediction: Any, *_: Any) -> None:
        index, outputs = prediction
        index, outputs = index.cpu(), outputs.float().cpu()
        if self._out is None:
            self._kept.append((index, outputs))
        else:
            self._out[:, index.numpy()] = outputs.numpy()

    def found(self) -> list[Tensor]:
        """What was kept: index [m], outputs [K, m, ...]; nothing where there were fewer examples than processes."""
        if not self._kept:
            return []
        index, outputs = zip(*self._kept, strict=True)
        return [torch.cat(index), torch.cat(outputs, dim=1)]
