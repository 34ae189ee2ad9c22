"""Records how much each kept example contributes to a held-out loss, epoch by epoch, without touching the training."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
import torch
from pytorch_lightning import LightningModule, Trainer

from winnow.core.types import Floats, Ints, Subset
from winnow.datasets.loader import InMemoryLoader, at_once
from winnow.datasets.stream_loader import StreamLoader
from winnow.diagnostics.contributions import contributions, gradient_sum, summarise
from winnow.models.base import Classifier
from winnow.parallel import workers
from winnow.store.artifacts import Draft
from winnow.store.records import save_contributions
from winnow.training.callbacks.contributions import Contributions
from winnow.training.callbacks.recorder import Recorder


class ContributionRecorder(Recorder):
    """Passes over the target set and the kept examples between epochs, and keeps contributions as float32.

    Of several processes the first does, with its own batch norm, and the others wait.

    The mean, spread, quantiles, and the shares of freeloaders and harmful examples go to the logger as
    `contributions/mean`, `/std`, `/q05` ... `/q95`, `/freeloaders` and `/harmful`.
    """

    def __init__(self, spec: Contributions, indices: Ints) -> None:
        self.spec, self.indices = spec, indices
        self.target_indices: Ints | None = None
        self.epochs: list[int] = []
        self.rows: list[np.ndarray] = []

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if workers.rank() > 0:
            return
        epoch = trainer.current_epoch + 1
        over = trainer.max_steps > 0 and trainer.global_step >= trainer.max_steps
        if epoch % self.spec.every and not over:
            return
        training = trainer.train_dataloader
        assert isinstance(training, InMemoryLoader | StreamLoader)
        assert isinstance(pl_module.model, Classifier)
        if self.target_indices is None:
            self.target_indices = self.spec.target_indices(self.indices, len(training.data.labels))
        with _evaluating(pl_module.model):
            row = self._contributions(pl_module.model, training)
        self.epochs.append(epoch)
        self.rows.append(row.astype(np.float32))
        numbers = self.summary().iloc[-1].drop("epoch")
        for logger in trainer.loggers:
            logger.log_metrics(
                {f"contributions/{name}": float(value) for name, value in numbers.items()}, step=trainer.global_step
            )

    def _contributions(self, model: Classifier, training: InMemoryLoader | StreamLoader) -> Floats:
        """⟨G, g_i⟩ of the kept examples, [m]."""
        assert self.target_indices is not None
        blocks = _outputs(model, training, self.target_indices)
        target = np.sum([gradient_sum(*block) for block in blocks], axis=0) / self.target_indices.size
        blocks = _outputs(model, training, self.indices)
        return np.concatenate([contributions(*block, target) for block in blocks])

    def contributions(self) -> np.ndarray:
        """What was recorded, [E, m], in the order of the kept indices."""
        return np.stack(self.rows)

    def summary(self) -> pd.DataFrame:
        """One line a recording: epoch (how many were over), mean, std, quantiles and shares."""
        summary = summarise(self.contributions(), freeloader=self.spec.freeloader)
        quantiles = {f"q{round(100 * q):02d}": summary.quantiles[:, i] for i, q in enumerate(summary.levels)}
        return pd.DataFrame(
            {
                "epoch": self.epochs,
                "mean": summary.mean,
                "std": summary.std,
                **quantiles,
                "freeloaders": summary.freeloaders,
                "harmful": summary.harmful,
            }
        )

    def state_dict(self) -> dict[str, Any]:
        target = [] if self.target_indices is None else [torch.from_numpy(self.target_indices)]
        return {"epochs": self.epochs, "rows": [torch.from_numpy(row) for row in self.rows], "target": target}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.epochs = state_dict["epochs"]
        self.rows = [row.numpy() for row in state_dict["rows"]]
        for target in state_dict["target"]:
            self.target_indices = target.numpy()

    def save(self, draft: Draft) -> None:
        assert self.target_indices is not None
        save_contributions(
            draft,
            contributions=self.contributions(),
            epochs=np.array(self.epochs),
            indices=self.indices,
            target=self.target_indices,
            summary=self.summary(),
        )


def _outputs(
    model: Classifier, training: InMemoryLoader | StreamLoader, indices: Ints
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Logits, labels and features of these examples, without augmentation, batch by batch in their order."""
    subset = Subset(indices, np.ones(indices.size), np.zeros(indices.size, dtype=bool), len(training.data.labels))
    _, height, width, channels = training.data.images.shape
    options: dict[str, Any] = {
        "batch_size": at_once((height, width, channels), next(model.parameters()).device.type),
        "subset": subset,
        "channels_last": training.channels_last,
    }
    loader: InMemoryLoader | StreamLoader
    if isinstance(training, StreamLoader):
        loader = StreamLoader(training.data, **options)
    else:
        loader = InMemoryLoader(training.data, **options)
    for batch in loader:
        features = model.features(batch.image)
        yield model.head(features).cpu().numpy(), batch.label.cpu().numpy(), features.cpu().numpy()


@contextmanager
def _evaluating(model: torch.nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; each part of the model goes back to the mode that it was in."""
    modes = [(part, part.training) for part in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for part, training in modes:
            part.training = training
