"""Train one model on one subset, and test it at the last step."""

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.loggers import Logger
from pytorch_lightning.plugins.environments import LightningEnvironment
from pytorch_lightning.strategies import DDPStrategy

from winnow import workers
from winnow.artifacts import device_name
from winnow.datasets.base import ImageDataset
from winnow.datasets.batches import batches
from winnow.datasets.loader import Shard
from winnow.errors import OptionError, check_choice
from winnow.keys import make_key
from winnow.models.base import Classifier, ModelSpec
from winnow.seeds import derive
from winnow.training.checkpoint import Checkpoints
from winnow.training.module import ClassifierModule
from winnow.training.noise import Noise
from winnow.training.progress import progress_callback
from winnow.training.recipe import Recipe
from winnow.training.sync_batchnorm import synchronised
from winnow.types import Subset

T = TypeVar("T")
_PRECISION: dict[str, Any] = {"float32": "32-true", "bfloat16": "bf16-mixed"}


@dataclass(frozen=True, kw_only=True)
class TrainerSpec:
    """On what to train. It is no part of a key: the same training on another device is the same training.

    accelerator: "auto" takes a GPU where there is one, "cpu" or "gpu" force it. devices: how many, each with a process
    of its own that takes its part of every batch; nodes: machines with as many each, whose processes torchrun or srun
    starts. sync_batchnorm: batch norm over the whole batch instead of each process's part, which makes the training
    that of one process but for rounding. progress: a bar (None: where standard error is a terminal) or plain log
    lines. memory_gb: what a pass for per-example gradients may hold; it sets how many examples go at once, and no
    result depends on it. checkpoint_seconds: between checkpoints of a training that has a file for them.

    Raises OptionError for a value outside its range or a GPU that is not there.
    """

    accelerator: str = "auto"
    devices: int = 1
    nodes: int = 1
    sync_batchnorm: bool = False
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
        if self.devices < 1 or self.nodes < 1:
            raise OptionError(f"trainer.devices={self.devices} and trainer.nodes={self.nodes} must be at least 1.")
        if self.on_gpu and self.devices > torch.cuda.device_count():
            raise OptionError(
                f"trainer.devices={self.devices}, but torch finds {torch.cuda.device_count()} GPUs; ask for as many."
            )

    @property
    def on_gpu(self) -> bool:
        return self.accelerator != "cpu" and torch.cuda.is_available()

    @property
    def alone(self) -> "TrainerSpec":
        """The same, on one device."""
        return replace(self, devices=1, nodes=1)

    def everywhere(self, function: Callable[..., T], *, alone: Mapping[str, Any], **shared: Any) -> T:
        """Call a function in all processes that this asks for, the result of the first (see workers.everywhere)."""
        return workers.everywhere(
            function, devices=self.devices, nodes=self.nodes, gpu=self.on_gpu, alone=alone, **shared
        )

    def trainer(self, **options: Any) -> Trainer:
        """A Lightning trainer of this process, together with the others that are called at the same time."""
        if not workers.together():
            return self.solo_trainer(**options)
        backend = "cpu:gloo,cuda:nccl" if self.on_gpu else "gloo"
        strategy = DDPStrategy(cluster_environment=_Met(), process_group_backend=backend)
        return self._trainer(strategy=strategy, devices=self.devices, num_nodes=self.nodes, **options)

    def solo_trainer(self, **options: Any) -> Trainer:
        """A Lightning trainer of this process alone, on its own device."""
        devices: Any = [workers.local_rank()] if self.on_gpu else 1
        # Named, so that Lightning does not look for SLURM or torchrun, whose processes are not its business here.
        return self._trainer(devices=devices, plugins=[LightningEnvironment()], **options)

    def _trainer(self, *, callbacks: Sequence[Callback] = (), **options: Any) -> Trainer:
        """A trainer that writes nothing and says little."""
        return Trainer(
            accelerator="gpu" if self.on_gpu else "cpu" if self.accelerator == "cpu" else "auto",
            callbacks=list(callbacks),
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=any("ProgressBar" in type(c).__name__ for c in callbacks),
            num_sanity_val_steps=0,
            use_distributed_sampler=False,  # loaders shard themselves
            **options,
        )


class _Met(LightningEnvironment):
    """Tells Lightning of processes that have met already."""

    @property
    def creates_processes_externally(self) -> bool:
        return True

    def world_size(self) -> int:
        return workers.world()

    def set_world_size(self, size: int) -> None:
        assert size == workers.world()

    def global_rank(self) -> int:
        return workers.rank()

    def set_global_rank(self, rank: int) -> None:
        assert rank == workers.rank()

    def local_rank(self) -> int:
        return workers.local_rank()

    def node_rank(self) -> int:
        return workers.node_rank()


def shard() -> Shard:
    """The part of every batch that is this process's."""
    return Shard(workers.rank(), workers.world())


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
    With several devices, each has a part of every batch, and gradients are those of the batch's weighted loss.

    Raises Interrupted when a signal ended it (see winnow.interruption); OptionError where a batch has fewer examples
    than there are devices.
    """
    spec = trainer or TrainerSpec()
    least = subset.m // -(-subset.m // recipe.batch_size)
    if least < spec.devices * spec.nodes:
        raise OptionError(
            f"{title}: its smallest batch has {least} examples, for {spec.devices * spec.nodes} devices; "
            "train on fewer (trainer.devices), keep more, or raise recipe.batch_size."
        )
    return spec.everywhere(
        _fit,
        alone={"logger": logger},
        dataset=dataset,
        subset=subset,
        model=model,
        recipe=recipe,
        seed=seed,
        spec=spec,
        callbacks=callbacks,
        title=title,
        checkpoint=checkpoint,
    )


def _fit(
    *,
    dataset: ImageDataset,
    subset: Subset,
    model: ModelSpec,
    recipe: Recipe,
    seed: int,
    spec: TrainerSpec,
    callbacks: Sequence[Callback],
    logger: Logger | None,
    title: str,
    checkpoint: Path | None,
) -> Fitted:
    """This process's part of a training."""
    steps = recipe.steps(subset.m, dataset.n)
    with quiet(), torch.random.fork_rng():
        torch.manual_seed(derive(seed, "init"))
        classifier = model.build(dataset.image_shape, dataset.n_classes)
        if recipe.channels_last:
            classifier = classifier.to(memory_format=torch.channels_last)
        counter = _Presentations()
        progress = [progress_callback(title, spec.progress)] if workers.rank() == 0 else []
        keeper = Checkpoints(
            checkpoint,
            every=spec.checkpoint_seconds,
            training=_identity(dataset, subset, model, recipe, seed) if checkpoint else "",
        )
        lightning = spec.trainer(
            callbacks=[*callbacks, counter, *progress, Noise(seed), keeper],
            max_steps=steps,
            max_epochs=-1,
            precision=_PRECISION[recipe.precision],
            logger=logger or False,
            log_every_n_steps=max(1, min(50, steps)),
        )
        root = lightning.strategy.root_device
        device = device_name(root.type)
        if workers.together():
            device = f"{workers.world()} x {device}"
            if spec.sync_batchnorm:
                classifier = synchronised(classifier, root)
        loader = batches(
            dataset,
            "train",
            device=root,
            batch_size=recipe.batch_size,
            subset=subset,
            augmentation=recipe.augmentation,
            seed=seed,
            channels_last=recipe.channels_last,
            shard=shard(),
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
    """(test_error in [0, 1], test_loss in nats) over the whole test set, every image once, evaluation mode, float32."""
    spec = trainer or TrainerSpec()
    wrong, loss = spec.everywhere(_measure, alone={}, dataset=dataset, model=model, recipe=recipe, spec=spec)
    return wrong / dataset.n_test, loss / dataset.n_test


def _measure(*, dataset: ImageDataset, model: Classifier, recipe: Recipe, spec: TrainerSpec) -> tuple[float, float]:
    """Wrong and summed loss of the whole test set, of which this process tests its part."""
    with quiet():
        lightning = spec.solo_trainer(logger=False)
        module = ClassifierModule(model, recipe, steps=0)
        device = lightning.strategy.root_device
        loader = batches(dataset, "test", device=device, channels_last=recipe.channels_last, shard=shard())
        lightning.test(module, loader, verbose=False)
    wrong, loss, tested = workers.sum_over_ranks(module.test_sums).tolist()
    assert tested == dataset.n_test
    return wrong, loss


class _Presentations(Callback):
    """Counts the examples that training was shown, by all processes."""

    examples = 0

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.examples += batch.size

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
