"""A run of SimCLR by Lightning: its loss, its module and its training."""

from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from winnow.core.machine import device_name
from winnow.core.seeds import derive
from winnow.core.types import Subset
from winnow.datasets.base import ImageDataset
from winnow.datasets.batches import batches
from winnow.datasets.loader import Batch
from winnow.models.base import Classifier
from winnow.probes.embeddings.simclr import SimCLR
from winnow.training.checkpoint import Checkpoints
from winnow.training.device_module import DeviceModule
from winnow.training.devices import TrainerSpec, quiet
from winnow.training.epoch_loss import EpochLoss
from winnow.training.logger_spec import Opened
from winnow.training.noise import Noise
from winnow.training.preparing import prepare
from winnow.training.progress import progress_callback
from winnow.training.recipe import Recipe
from winnow.training.trainers import solo_trainer


def nt_xent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """NT-Xent of two views [B, d] of the same B examples: Chen et al. 2020 (2002.05709), equation 1, its mean over 2B.

    Each of the 2B vectors is to find its partner by cosine / temperature among the 2B − 1 others.
    """
    unit = F.normalize(torch.cat([first, second]), dim=1)
    similarity = (unit @ unit.T / temperature).fill_diagonal_(float("-inf"))
    partner = torch.arange(len(unit), device=unit.device).roll(len(first))
    return F.cross_entropy(similarity, partner)


class SimCLRModule(DeviceModule):
    """Trains a classifier's backbone, under a projection of two layers, by NT-Xent on batches of two views.

    A batch holds the first views of its examples and then the second ones. `losses`: the mean of each epoch.
    """

    def __init__(self, model: Classifier, *, projection: int, temperature: float, recipe: Recipe, steps: int) -> None:
        super().__init__()
        wide = model.head.in_features
        self.backbone = model.backbone
        self.projector = nn.Sequential(nn.Linear(wide, wide), nn.ReLU(), nn.Linear(wide, projection))
        self.temperature, self.recipe, self.steps = temperature, recipe, steps
        self.losses: list[float] = []
        self.shown = [torch.tensor(0.0), torch.tensor(0)]  # in this epoch: the sum of its losses, and of its examples

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        first, second = self.projector(self.backbone(batch.image)).chunk(2)
        loss = nt_xent(first, second, self.temperature)
        total, examples = self.shown
        self.shown = [total.to(loss.device) + loss.detach() * len(first), examples + len(first)]
        return loss

    def on_train_epoch_end(self) -> None:
        total, examples = self.shown
        self.losses.append(float(total / examples))
        self.shown = [torch.tensor(0.0), torch.tensor(0)]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["losses"], checkpoint["shown"] = self.losses, self.shown

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.losses, self.shown = checkpoint["losses"], checkpoint["shown"]

    def configure_optimizers(self) -> Any:
        optimiser, schedule = self.recipe.optimiser(self, self.steps)
        assert schedule is not None
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class Trained(NamedTuple):
    """A trained model, the mean loss of each epoch, and the name of the device."""

    model: Classifier
    losses: list[float]
    device: str


def train(
    spec: SimCLR,
    dataset: ImageDataset,
    *,
    training: str,
    checkpoint: Path,
    trainer: TrainerSpec,
    logger: Opened,
) -> Trained:
    """The run that `spec` describes. training: names it in its checkpoint."""
    recipe = spec.recipe
    steps = recipe.steps(dataset.n, dataset.n)
    with quiet(), torch.random.fork_rng():
        torch.manual_seed(derive(spec.seed, "simclr"))
        model = spec.model.build(dataset.image_shape, dataset.n_classes).to(memory_format=torch.channels_last)
        options = {"projection": spec.projection, "temperature": spec.temperature}
        module = SimCLRModule(model, **options, recipe=recipe, steps=steps)  # type: ignore[arg-type]
        every, share = trainer.checkpoint_seconds, trainer.checkpoint_share
        keeper = Checkpoints(checkpoint, every=every, share=share, training=training)
        # Of several devices it takes one: in a batch's loss every view meets every other.
        lightning = solo_trainer(
            trainer,
            callbacks=[EpochLoss(), progress_callback("SimCLR", trainer.progress), Noise(spec.seed), keeper],
            max_steps=steps,
            max_epochs=-1,
            logger=logger or False,
            log_every_n_steps=max(1, min(50, steps)),
        )
        root = lightning.strategy.root_device
        prepare(model, spec.model, dataset, Subset.full(dataset.n), root, spec.seed)
        loader = batches(
            dataset,
            "train",
            device=root,
            batch_size=spec.batch_size,
            augmentation=spec.views,
            copies=2,
            seed=derive(spec.seed, "views"),
        )
        keeper.fit(lightning, module, loader)
    return Trained(model, module.losses, device_name(root.type))
