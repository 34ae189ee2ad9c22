"""This process's part of a training, and of a test, by Lightning."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, Trainer
from torch import Tensor

from winnow.core.machine import device_name
from winnow.core.seeds import derive
from winnow.core.types import Subset
from winnow.datasets.base import ImageDataset
from winnow.datasets.batches import batches
from winnow.models.base import Classifier, ModelSpec
from winnow.parallel import workers
from winnow.store.keys import make_key
from winnow.training import threads
from winnow.training.averaging import WeightAverage, weights_of
from winnow.training.checkpoint import Checkpoints
from winnow.training.devices import TrainerSpec, quiet, shard
from winnow.training.epoch_loss import EpochLoss
from winnow.training.fit import Fitted
from winnow.training.logger_spec import Opened
from winnow.training.lookahead import Lookahead
from winnow.training.module import ClassifierModule
from winnow.training.noise import Noise
from winnow.training.preparing import prepare
from winnow.training.progress import progress_callback
from winnow.training.recipe import Recipe
from winnow.training.sync_batchnorm import synchronised
from winnow.training.trainers import joint_trainer, solo_trainer

_PRECISION: dict[str, Any] = {"float32": "32-true", "bfloat16": "bf16-mixed"}


def train(
    *,
    dataset: ImageDataset,
    subset: Subset,
    model: ModelSpec,
    recipe: Recipe,
    seed: int,
    spec: TrainerSpec,
    callbacks: Sequence[Callback],
    logger: Opened,
    title: str,
    checkpoint: Path | None,
    stop_after: int | None,
    begun: Path | None,
    kept: Path | None,
) -> Fitted:
    """This process's part of a training."""
    schedule = recipe.steps(subset.m, dataset.n)
    steps = schedule if stop_after is None else schedule * stop_after // recipe.epochs
    batch = -(-recipe.batch_sizes(subset.m)[1] // workers.world_size())
    computing = threads.for_steps(spec, model, dataset.image_shape, dataset.n_classes, batch)
    with quiet(), torch.random.fork_rng(), computing:
        torch.manual_seed(derive(seed, "init"))
        classifier = model.build(dataset.image_shape, dataset.n_classes)
        if recipe.channels_last:
            classifier = classifier.to(memory_format=torch.channels_last)
        counter = _Presentations()
        progress = [progress_callback(title, spec.progress)] if workers.rank() == 0 else []
        average = [WeightAverage(recipe.ema)] if recipe.ema else []
        lookahead = [Lookahead(recipe.lookahead, schedule)] if recipe.lookahead else []
        keeper = Checkpoints(
            checkpoint,
            every=spec.checkpoint_seconds,
            share=spec.checkpoint_share,
            training=_identity(dataset, subset, model, recipe, seed) if checkpoint or begun or kept else "",
            steps=schedule,
            begun=begun,
            kept=kept,
        )
        lightning = joint_trainer(
            spec,
            callbacks=[EpochLoss(), *lookahead, *average, *callbacks, counter, *progress, Noise(seed), keeper],
            max_steps=steps,
            max_epochs=-1,
            precision=_PRECISION[recipe.precision],
            logger=logger or False,
            log_every_n_steps=max(1, min(50, steps)),
        )
        root = lightning.strategy.root_device
        prepare(classifier, model, dataset, subset, root, seed)
        device = device_name(root.type)
        if workers.is_distributed():
            device = f"{workers.world_size()} x {device}"
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


def test(*, dataset: ImageDataset, model: Classifier, recipe: Recipe, spec: TrainerSpec) -> Tensor:
    """`test_sums` of the whole test set, of which this process tests its part."""
    with quiet(), threads.as_told(spec):
        lightning = solo_trainer(spec, logger=False)
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
