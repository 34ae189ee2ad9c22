"""Embeddings from a self-supervised run of our own: SimCLR, which reads no label."""

import logging
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pytorch_lightning import LightningModule
from torch import Tensor, nn

from winnow.core.errors import DivergedError, OptionError
from winnow.core.machine import device_name
from winnow.core.seeds import derive
from winnow.datasets.base import ImageDataset
from winnow.datasets.batches import batches
from winnow.datasets.loader import Batch
from winnow.datasets.views import Views
from winnow.models.base import Classifier, ModelSpec
from winnow.probes.embeddings.base import Embedding
from winnow.probes.passes import PASSES, kept_pass, load_model
from winnow.store.artifacts import ArtifactStore, Draft, Stage
from winnow.store.keys import make_key
from winnow.training.checkpoint import Checkpoints
from winnow.training.devices import TrainerSpec, quiet
from winnow.training.loggers import LoggerSpec
from winnow.training.noise import Noise
from winnow.training.progress import progress_callback
from winnow.training.recipe import Recipe

log = logging.getLogger(__name__)


def nt_xent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """NT-Xent of two views [B, d] of the same B examples: Chen et al. 2020 (2002.05709), equation 1, its mean over 2B.

    Each of the 2B vectors is to find its partner by cosine / temperature among the 2B − 1 others.
    """
    unit = F.normalize(torch.cat([first, second]), dim=1)
    similarity = (unit @ unit.T / temperature).fill_diagonal_(float("-inf"))
    partner = torch.arange(len(unit), device=unit.device).roll(len(first))
    return F.cross_entropy(similarity, partner)


class SimCLRModule(LightningModule):
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
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=len(first))
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


@dataclass(frozen=True, kw_only=True)
class SimCLR(Embedding):
    """Features of a model's backbone [n, d] after SimCLR, evaluation mode, no augmentation, without the projection.

    Chen et al. 2020 (2002.05709). epochs, batch_size (examples; twice as many views), lr: of SGD with Nesterov momentum
    and a one-cycle schedule, where the paper has LARS, which batches of thousands need. temperature: of NT-Xent.
    projection: dimensions in which views are compared. views: the augmentations. seed: of weights, order and views.

    The run costs two views of every example in every epoch, and one pass.

    Raises OptionError for a value outside its range; DivergedError where the loss is not finite.
    """

    model: ModelSpec
    epochs: int = 100
    batch_size: int = 256
    temperature: float = 0.5
    lr: float = 0.2
    weight_decay: float = 1e-4
    projection: int = 128
    views: Views = field(default_factory=Views)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.projection < 1:
            raise OptionError(f"embedding.epochs={self.epochs} and projection={self.projection} must be at least 1.")
        if self.batch_size < 2:
            raise OptionError(f"embedding.batch_size={self.batch_size} must be at least 2: views are told apart in it.")
        if self.temperature <= 0 or self.lr <= 0 or self.weight_decay < 0:
            raise OptionError(
                f"embedding.temperature={self.temperature} and lr={self.lr} must be positive, "
                f"weight_decay={self.weight_decay} at least 0."
            )

    @property
    def recipe(self) -> Recipe:
        return Recipe(epochs=self.epochs, batch_size=self.batch_size, lr=self.lr, weight_decay=self.weight_decay)

    def check(self, dataset: ImageDataset) -> None:
        """Nothing: it was checked when it was made."""

    def keys(self, dataset: ImageDataset) -> list[str]:
        return [self._key(dataset)[0]]

    def artifact(self, dataset: ImageDataset) -> tuple[Stage, str]:
        return "pass", self._pass_key(dataset)[0]

    def cost(self, n: int) -> int:
        return n * (2 * self.epochs + 1)

    def multiply_adds(self, dataset: ImageDataset) -> int:
        return self.model.multiply_adds(dataset.image_shape, dataset.n_classes)

    def embed(
        self, dataset: ImageDataset, *, store: ArtifactStore, trainer: TrainerSpec, logger: LoggerSpec, **_: Any
    ) -> NDArray[np.float32]:
        key, inputs = self._key(dataset)
        run = store.fetch(
            "probe", key, write=lambda draft: self._train(draft, dataset, key, trainer, logger), inputs=inputs
        )
        features, of_run = self._pass_key(dataset)
        return kept_pass(
            PASSES["features"],
            "features",
            dataset,
            key=features,
            inputs=of_run,
            load=lambda _: load_model(self.model, dataset, run.tensors("weights")),
            store=store,
            trainer=trainer,
        )

    def _key(self, dataset: ImageDataset) -> tuple[str, dict[str, Any]]:
        inputs = {"dataset": dataset.fingerprint, "embedding": self}
        return make_key(f"{dataset.slug}-{self.model.name}-simclr", inputs), inputs

    def _pass_key(self, dataset: ImageDataset) -> tuple[str, dict[str, Any]]:
        of_run = {"member": self._key(dataset)[0], "pass": "features", "version": PASSES["features"].version}
        return make_key(f"{dataset.slug}-{self.model.name}-simclr-features", of_run), of_run

    def _train(self, draft: Draft, dataset: ImageDataset, key: str, trainer: TrainerSpec, logger: LoggerSpec) -> None:
        log.info("SimCLR: training %s for %d epochs", self.model.name, self.epochs)
        recipe = self.recipe
        steps = recipe.steps(dataset.n, dataset.n)
        recipe.warn_of_few_steps("SimCLR", dataset.n, dataset.n, epochs="embedding.epochs")
        opened = logger.open(key, kind="probe", config={"model": self.model.name, "epochs": self.epochs})
        finished = False
        try:
            with quiet(), torch.random.fork_rng():
                torch.manual_seed(derive(self.seed, "simclr"))
                model = self.model.build(dataset.image_shape, dataset.n_classes).to(memory_format=torch.channels_last)
                options = {"projection": self.projection, "temperature": self.temperature}
                module = SimCLRModule(model, **options, recipe=recipe, steps=steps)  # type: ignore[arg-type]
                keeper = Checkpoints(draft.checkpoint, every=trainer.checkpoint_seconds, training=key)
                # Of several devices it takes one: in a batch's loss every view meets every other.
                lightning = trainer.solo_trainer(
                    callbacks=[progress_callback("SimCLR", trainer.progress), Noise(self.seed), keeper],
                    max_steps=steps,
                    max_epochs=-1,
                    logger=opened or False,
                    log_every_n_steps=max(1, min(50, steps)),
                )
                root = lightning.strategy.root_device
                loader = batches(
                    dataset,
                    "train",
                    device=root,
                    batch_size=self.batch_size,
                    augmentation=self.views,
                    copies=2,
                    seed=derive(self.seed, "views"),
                )
                keeper.fit(lightning, module, loader)
            finished = True
        finally:
            logger.close(opened, failed=not finished)
        if not np.isfinite(module.losses).all():
            raise DivergedError("SimCLR diverged (its loss is not finite); lower embedding.lr.")
        draft.facts["device"] = device_name(root.type)
        draft.put_tensors("weights", model.state_dict())
        draft.put_array("loss", np.array(module.losses))
