"""Train one model on one subset, and test it at the last step: what is asked for; loop.py does it."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch

from winnow.core.errors import OptionError
from winnow.core.types import Subset
from winnow.datasets.base import ImageDataset
from winnow.models.base import Classifier, ModelSpec
from winnow.training.devices import TrainerSpec
from winnow.training.logger_spec import Opened
from winnow.training.precision import warn_of_slow_choice
from winnow.training.recipe import Recipe

if TYPE_CHECKING:
    from pytorch_lightning import Callback

log = logging.getLogger(__name__)


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
    callbacks: "Sequence[Callback]" = (),
    logger: Opened = None,
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
    from winnow.training.loop import train  # Lightning takes seconds, and what has been trained needs none

    recipe.check_settled()
    spec = trainer or TrainerSpec()
    if check_batches(dataset, subset.m, model=model, recipe=recipe, trainer=spec, title=title) == 1:
        log.warning("%s: batches of one example; batch norm, if there is any, sees one image at a time.", title)
    warn_of_slow_choice([recipe.precision], spec)
    return spec.call_on_all(
        train,
        leader_only={"logger": logger},
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
    from winnow.training.loop import test

    spec = trainer or TrainerSpec()
    sums = spec.call_on_all(test, leader_only={}, dataset=dataset, model=model, recipe=recipe, spec=spec)
    loss, counts = sums[0], sums[1:].to(torch.int64)
    wrong, tested = counts.reshape(2, -1).tolist()
    assert sum(tested) == dataset.n_test
    return Measured(sum(wrong) / dataset.n_test, loss.item() / dataset.n_test, tuple(wrong), tuple(tested))
