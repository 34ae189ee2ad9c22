"""Train one model on one subset, and test it at the last step."""

import logging
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.loggers import Logger

from winnow.artifacts import device_name
from winnow.datasets.base import ImageDataset
from winnow.datasets.loader import InMemoryLoader, evaluation_batch, on_device
from winnow.errors import OptionError, check_choice
from winnow.models.base import Classifier, ModelSpec
from winnow.seeds import derive
from winnow.training.module import ClassifierModule
from winnow.training.progress import progress_callback
from winnow.training.recipe import Recipe
from winnow.types import Subset

_PRECISION: dict[str, Any] = {"float32": "32-true", "bfloat16": "bf16-mixed"}


@dataclass(frozen=True, kw_only=True)
class TrainerSpec:
    """On what to train. It is no part of a key: the same training on another device is the same training.

    accelerator: "auto" takes a GPU where there is one, "cpu" or "gpu" force it. progress: a bar (None: where standard
    error is a terminal) or plain log lines. memory_gb: what a pass for per-example gradients may hold; it sets how many
    examples go at once, and no result depends on it.
    """

    accelerator: str = "auto"
    progress: bool | None = None
    memory_gb: float = 2.0

    def __post_init__(self) -> None:
        check_choice("trainer.accelerator", self.accelerator, ("auto", "cpu", "gpu"))
        if self.accelerator == "gpu" and not torch.cuda.is_available():
            raise OptionError("trainer.accelerator=gpu, but torch finds no GPU; use trainer.accelerator=auto.")
        if not self.memory_gb > 0:
            raise OptionError(f"trainer.memory_gb={self.memory_gb} must be positive.")

    def trainer(self, *, callbacks: Sequence[Callback] = (), **options: Any) -> Trainer:
        """A Lightning trainer that writes nothing and says little."""
        return Trainer(
            accelerator=self.accelerator,
            devices=1,
            callbacks=list(callbacks),
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=any("ProgressBar" in type(c).__name__ for c in callbacks),
            num_sanity_val_steps=0,
            **options,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Fitted:
    """A trained model with what its training cost. seconds: wall-clock of the training alone; device: its name."""

    model: Classifier
    steps: int
    examples_seen: int
    seconds: float
    device: str


def fit(
    dataset: ImageDataset,
    *,
    subset: Subset,
    model: ModelSpec,
    recipe: Recipe,
    seed: int,
    trainer: TrainerSpec | None = None,
    callbacks: Sequence[Callback] = (),
    logger: Logger | None = None,
    title: str = "training",
) -> Fitted:
    """Train `model` on `subset` by `recipe`, and return it as it is after the last step.

    seed fixes the initial weights, the order and the augmentation; the caller's own random state is left as it was.
    """
    spec = trainer or TrainerSpec()
    steps = recipe.steps(subset.m, dataset.n)
    with quiet(), torch.random.fork_rng():
        torch.manual_seed(derive(seed, "init"))
        classifier = model.build(dataset.image_shape, dataset.n_classes)
        if recipe.channels_last:
            classifier = classifier.to(memory_format=torch.channels_last)
        counter = _Presentations()
        lightning = spec.trainer(
            callbacks=[*callbacks, counter, progress_callback(title, spec.progress)],
            max_steps=steps,
            max_epochs=-1,
            precision=_PRECISION[recipe.precision],
            logger=logger or False,
            log_every_n_steps=max(1, min(50, steps)),
        )
        root = lightning.strategy.root_device
        device = device_name(root.type)
        train, _ = on_device(dataset, root)
        loader = InMemoryLoader(
            train,
            batch_size=recipe.batch_size,
            subset=subset,
            augmentation=recipe.augmentation,
            seed=seed,
            channels_last=recipe.channels_last,
        )
        started = time.perf_counter()
        lightning.fit(ClassifierModule(classifier, recipe, steps), loader)
        seconds = time.perf_counter() - started
    assert lightning.global_step == steps, (lightning.global_step, steps)
    return Fitted(model=classifier, steps=steps, examples_seen=counter.examples, seconds=seconds, device=device)


def measure(
    dataset: ImageDataset, model: Classifier, *, recipe: Recipe, trainer: TrainerSpec | None = None
) -> tuple[float, float]:
    """(test_error in [0, 1], test_loss in nats) over the whole test set, evaluation mode, float32."""
    with quiet():
        lightning = (trainer or TrainerSpec()).trainer(logger=False)
        _, held_out = on_device(dataset, lightning.strategy.root_device)
        module = ClassifierModule(model, recipe, steps=0)
        loader = InMemoryLoader(held_out, batch_size=evaluation_batch(held_out), channels_last=recipe.channels_last)
        lightning.test(module, loader, verbose=False)
    return module.test_error, module.test_loss


class _Presentations(Callback):
    """Counts the examples that training was shown."""

    examples = 0

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.examples += len(batch.label)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Lightning's hints about data loader workers, GPUs and logging intervals from the users of many trainings."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "pytorch_lightning")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"pytorch_lightning\..*|lightning\..*")
            warnings.filterwarnings("ignore", message=r".*lr_scheduler\.step\(\).*")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
