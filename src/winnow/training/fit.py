"""Train one model on one subset, and test it at the last step."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.loggers import Logger
from torch import Tensor

from winnow.core.errors import OptionError
from winnow.core.machine import device_name
from winnow.core.seeds import derive
from winnow.core.types import Subset
from winnow.datasets.base import ImageDataset
from winnow.datasets.batches import batches
from winnow.models.base import Classifier, ModelSpec
from winnow.parallel import workers
from winnow.store.keys import make_key
from winnow.training.averaging import WeightAverage, weights_of
from winnow.training.checkpoint import Checkpoints
from winnow.training.devices import TrainerSpec, quiet, shard
from winnow.training.module import ClassifierModule
from winnow.training.noise import Noise
from winnow.training.precision import tell_slow_choice
from winnow.training.progress import progress_callback
from winnow.training.recipe import Recipe
from winnow.training.sync_batchnorm import synchronised

log = logging.getLogger(__name__)

_PRECISION: dict[str, Any] = {"float32": "32-true", "bfloat16": "bf16-mixed"}


@dataclass(frozen=True, kw_only=True, eq=False)
class Fitted:
    """A trained model with what its training cost, its earlier parts included where it was interrupted or stopped.

    seconds: wall-clock of the training alone; device: its name.
    """

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
    stop_after: int | None = None,
    begun: Path | None = None,
    kept: Path | None = None,
) -> Fitted:
    """Train `model` on `subset` by `recipe`; the model, or where recipe.ema asks for one its average, at the last step.

    seed fixes the initial weights, the order and the augmentation; the caller's own random state is left as it was.
    checkpoint: a file from which an interrupted training goes on, to the same result; it is written while the training
    lasts, and left to the caller to remove. Callbacks keep what they have seen by `state_dict`.
    stop_after: of the recipe's epochs, those after which it ends, in the midst of its schedule. kept: a file for all
    that a longer training of the same needs to go on from there. begun: such a file of a shorter one, to go on from.
    With several devices, each has a part of every batch, and gradients are those of the batch's weighted loss.

    Raises Interrupted when a signal ended it (see winnow.parallel.interruption); OptionError where a batch has fewer
    examples than there are devices, where batch norm cannot normalise one (check_batches), or where the recipe's
    precision is not settled.
    """
    recipe.check_settled()
    spec = trainer or TrainerSpec()
    if check_batches(dataset, subset.m, model=model, recipe=recipe, trainer=spec, title=title) == 1:
        log.warning("%s: batches of one example; batch norm, if there is any, sees one image at a time.", title)
    tell_slow_choice([recipe.precision], spec)
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
        stop_after=stop_after,
        begun=begun,
        kept=kept,
    )


def check_batches(
    dataset: ImageDataset,
    m: int,
    *,
    model: ModelSpec,
    recipe: Recipe,
    trainer: TrainerSpec | None = None,
    title: str | None = None,
) -> int:
    """The least number of different examples that batch norm sees at once in a training on m.

    trainer: None is one device. Raises OptionError where a batch has fewer examples than there are devices, or where it
    is one and a map of the model one position: one value a channel has no spread to be normalised by.
    """
    title = title or f"{model.name} on {m} examples"
    devices = 1 if trainer is None else trainer.devices * trainer.nodes
    least, _ = recipe.batch_sizes(m)
    if least < devices:
        raise OptionError(
            f"{title}: its smallest batch has {least} examples, for {devices} devices; "
            "train on fewer (trainer.devices), keep more, or raise recipe.batch_size."
        )
    seen = least if trainer is not None and trainer.sync_batchnorm else least // devices
    if seen == 1 and not model.normalises_one(dataset.image_shape, dataset.n_classes):
        raise OptionError(
            f"{title}: a batch of one example leaves the batch norm of {model.name} one value a channel, which cannot "
            "be normalised; keep at least two examples, raise recipe.batch_size, or choose a model with larger maps."
        )
    return min(seen, m)


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
    stop_after: int | None,
    begun: Path | None,
    kept: Path | None,
) -> Fitted:
    """This process's part of a training."""
    schedule = recipe.steps(subset.m, dataset.n)
    steps = schedule if stop_after is None else schedule * stop_after // recipe.epochs
    with quiet(), torch.random.fork_rng():
        torch.manual_seed(derive(seed, "init"))
        classifier = model.build(dataset.image_shape, dataset.n_classes)
        if recipe.channels_last:
            classifier = classifier.to(memory_format=torch.channels_last)
        counter = _Presentations()
        progress = [progress_callback(title, spec.progress)] if workers.rank() == 0 else []
        average = [WeightAverage(recipe.ema)] if recipe.ema else []
        keeper = Checkpoints(
            checkpoint,
            every=spec.checkpoint_seconds,
            training=_identity(dataset, subset, model, recipe, seed) if checkpoint or begun or kept else "",
            steps=schedule,
            begun=begun,
            kept=kept,
        )
        lightning = spec.trainer(
            callbacks=[*average, *callbacks, counter, *progress, Noise(seed), keeper],
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
            constant=recipe.batches == "constant",
        )
        assert stop_after is None or steps % len(loader) == 0, "it stops in the middle of an epoch"
        module = ClassifierModule(classifier, recipe, schedule)
        keeper.fit(lightning, module, loader)
        if average:
            classifier.load_state_dict(weights_of(lightning, module))
    assert lightning.global_step == steps, (lightning.global_step, steps)
    return Fitted(model=classifier, steps=steps, examples_seen=counter.examples, seconds=keeper.seconds, device=device)


def _identity(dataset: ImageDataset, subset: Subset, model: ModelSpec, recipe: Recipe, seed: int) -> str:
    inputs = {"dataset": dataset.fingerprint, "subset": subset.content_hash, "model": model, "recipe": recipe}
    return make_key(dataset.slug, inputs | {"seed": seed})


class Measured(NamedTuple):
    """A model on the test set: error in [0, 1], loss in nats, and of each class the wrong and the tested images."""

    error: float
    loss: float
    wrong: tuple[int, ...]
    tested: tuple[int, ...]

    @property
    def class_errors(self) -> dict[int, float]:
        """The error of each class that has test images, by its label."""
        pairs = enumerate(zip(self.wrong, self.tested, strict=True))
        return {label: wrong / tested for label, (wrong, tested) in pairs if tested}


def measure(
    dataset: ImageDataset, model: Classifier, *, recipe: Recipe, trainer: TrainerSpec | None = None
) -> Measured:
    """One pass over the whole test set, every image once, evaluation mode, float32."""
    spec = trainer or TrainerSpec()
    sums = spec.everywhere(_measure, alone={}, dataset=dataset, model=model, recipe=recipe, spec=spec)
    loss, counts = sums[0], sums[1:].to(torch.int64)
    wrong, tested = counts.reshape(2, -1).tolist()
    assert sum(tested) == dataset.n_test
    return Measured(sum(wrong) / dataset.n_test, loss.item() / dataset.n_test, tuple(wrong), tuple(tested))


def _measure(*, dataset: ImageDataset, model: Classifier, recipe: Recipe, spec: TrainerSpec) -> Tensor:
    """`test_sums` of the whole test set, of which this process tests its part."""
    with quiet():
        lightning = spec.solo_trainer(logger=False)
        module = ClassifierModule(model, recipe, steps=0)
        device = lightning.strategy.root_device
        loader = batches(dataset, "test", device=device, channels_last=recipe.channels_last, shard=shard())
        lightning.test(module, loader, verbose=False)
    return workers.sum_over_ranks(module.test_sums)


class _Presentations(Callback):
    """Counts the examples that training was shown, by all processes."""

    examples = 0

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.examples += batch.size

    def state_dict(self) -> dict[str, Any]:
        return {"examples": self.examples}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.examples = state_dict["examples"]
