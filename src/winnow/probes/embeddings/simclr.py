"""Embeddings from a self-supervised run of our own: SimCLR, which reads no label."""

import logging
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from winnow.core.errors import DivergedError, OptionError
from winnow.datasets.base import ImageDataset
from winnow.datasets.views import Views
from winnow.models.base import ModelSpec
from winnow.probes.embeddings.base import Embedding
from winnow.probes.passes import PASSES, kept_pass, load_model
from winnow.store.artifacts import ArtifactStore, Draft, Stage
from winnow.store.keys import make_key
from winnow.training.devices import TrainerSpec
from winnow.training.logger_spec import Made
from winnow.training.loggers import LoggerSpec
from winnow.training.recipe import Recipe

log = logging.getLogger(__name__)


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
        # Lightning takes seconds, and a finished run needs none.
        from winnow.probes.embeddings.simclr_training import train

        log.info("SimCLR: training %s for %d epochs", self.model.name, self.epochs)
        self.recipe.warn_of_few_steps("SimCLR", dataset.n, dataset.n, epochs="embedding.epochs")
        config = {"dataset": dataset.name, "model": self.model.name, "epochs": self.epochs, "probe_seed": self.seed}
        opened = logger.open(key, kind="probe", config=config)
        trained = None
        try:
            trained = train(self, dataset, training=key, checkpoint=draft.checkpoint, trainer=trainer, logger=opened)
            logger.artifact(opened, Made("probe", key))
        finally:
            logger.close(opened, failed=trained is None)
        if not np.isfinite(trained.losses).all():
            raise DivergedError("SimCLR diverged (its loss is not finite); lower embedding.lr.")
        draft.facts["device"] = trained.device
        draft.put_tensors("weights", trained.model.state_dict())
        draft.put_array("loss", np.array(trained.losses))
