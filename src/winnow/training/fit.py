"""Train one model on one subset, and test it at the last step."""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.loggers import Logger
from pytorch_lightning.plugins.environments import SLURMEnvironment

from winnow.artifacts import device_name
from winnow.datasets.base import ImageDataset
from winnow.datasets.loader import InMemoryLoader, evaluation_batch, on_device
from winnow.errors import OptionError, check_choice
from winnow.keys import make_key
from winnow.models.base import Classifier, ModelSpec
from winnow.seeds import derive
from winnow.training.checkpoint import Checkpoints
from winnow.training.module import ClassifierModule
from winnow.training.noise import Noise
from winnow.training.progress import progress_callback
from winnow.training.recipe import Recipe
from winnow.types import Subset

_PRECISION: dict[str, Any] = {"float32": "32-true", "bfloat16": "bf16-mixed"}


@dataclass(frozen=True, kw_only=True)
class TrainerSpec:
    """On what to train. It is no part of a key: the same training on another device is the same training.

    accelerator: "auto" takes a GPU where there is one, "cpu" or "gpu" force it. progress: a bar (None: where standard
    error is a terminal) or plain log lines. memory_gb: what a pass for per-example gradients may hold; it sets how many
    examples go at once, and no result depends on it. checkpoint_seconds: between checkpoints of a training that has a
    file for them.
    """

    accelerator: str = "auto"
    progress: bool | None = None
    memory_gb: float = 2.0
    checkpoint_seconds: float = 300.0

    def __post_init__(self) -> None:
        check_choice("trainer.accelerator", self.accelerator, ("auto", "cpu", "gpu"))
        if self.accelerator == "gpu" and not torch.cuda.is_available():
            raise OptionError("trainer.accelerator=gpu, but torch finds no GPU; use trainer.accelerator=auto.")
        if not self.memory_gb > 0:
            raise OptionError(f"trainer.memory_gb={self.memory_gb} must be positive.")
        if not self.checkpoint_seconds > 0:
            raise OptionError(f"trainer.checkpoint_seconds={self.checkpoint_seconds} must be positive.")

    def trainer(self, *, callbacks: Sequence[Callback] = (), **options: Any) -> Trainer:
        """A Lightning trainer that writes nothing and says little."""
        return Trainer(
            accelerator=self.accelerator,
            devices=1,
            # On SLURM Lightning would requeue the job on signals of its choice; that is the launcher's to do.
            plugins=[SLURMEnvironment(auto_requeue=False)] if SLURMEnvironment.detect() else [],
            callbacks=list(callbacks),
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=any("ProgressBar" in type(c).__name__ for c in callbacks),
            num_sanity_val_steps=0,
            **options,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Fitted:
    """A trained model with what its training cost. seconds: wall-clock of the training alone, of all its
    parts where it was interrupted; device: its name."""

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
    checkpoint: Path | None = None,
) -> Fitted:
    """Train `model` on `subset` by `recipe`, and return it as it is after the last step.

    seed fixes the initial weights, the order and the augmentation; the caller's own random state is left as it was.
    checkpoint: a file from which an interrupted training goes on, to the same result; it is written while the training
    lasts, and left to the caller to remove. Callbacks keep what they have seen by `state_dict`.

    Raises Interrupted when a signal ended it (see winnow.interruption).
    """
    spec = trainer or TrainerSpec()
    steps = recipe.steps(subset.m, dataset.n)
    with quiet(), torch.random.fork_rng():
        torch.manual_seed(derive(seed, "init"))
        classifier = model.build(dataset.image_shape, dataset.n_classes)
        if recipe.channels_last:
            classifier = classifier.to(memory_format=torch.channels_last)
        counter = _Presentations()
        keeper = Checkpoints(
            checkpoint,
            every=spec.checkpoint_seconds,
            training=_identity(dataset, subset, model, recipe, seed) if checkpoint else "",
        )
        lightning = spec.trainer(
            callbacks=[*callbacks, counter, progress_callback(title, spec.progress), Noise(seed), keeper],
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
        keeper.fit(lightning, ClassifierModule(classifier, recipe, steps), loader)
    assert lightning.global_step == steps, (lightning.global_step, steps)
    return Fitted(model=classifier, steps=steps, examples_seen=counter.examples, seconds=keeper.seconds, device=device)


def _identity(dataset: ImageDataset, subset: Subset, model: ModelSpec, recipe: Recipe, seed: int) -> str:
    inputs = {"dataset": dataset.fingerprint, "subset": subset.content_hash, "model": model, "recipe": recipe}
    return make_key(dataset.slug, inputs | {"seed": seed})


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

    def state_dict(self) -> dict[str, Any]:
        return {"examples": self.examples}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.examples = state_dict["examples"]


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
