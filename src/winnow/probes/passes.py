"""Passes of a trained probe over the training set, each made once and kept: features, gradients, distances."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from winnow.artifacts import Artifact, ArtifactStore, Draft
from winnow.datasets.base import ImageDataset
from winnow.datasets.loader import DeviceImages, evaluation_batch, on_device
from winnow.keys import make_key
from winnow.models.base import Classifier, ModelSpec
from winnow.probes.gradients import examples_at_once, gradient_norms, input_gradient_norms
from winnow.probes.probe import Probe
from winnow.probes.scorer import Output, features, pass_into
from winnow.training.fit import TrainerSpec, quiet

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Pass:
    """One thing to compute of every example.

    shape: of one example's output. batch_size: examples at once; None: by their size. version: raised when results
    change.
    """

    output: Output
    shape: Callable[[Classifier], tuple[int, ...]] = lambda model: ()
    differentiates: bool = True
    batch_size: int | None = None
    version: int = 1


PASSES = {
    "features": Pass(output=features, shape=lambda model: (model.head.in_features,), differentiates=False),
    "gradient_norms": Pass(output=gradient_norms),
    "input_gradient_norms": Pass(output=input_gradient_norms),
}


def kept_pass(
    made: Pass,
    name: str,
    dataset: ImageDataset,
    *,
    key: str,
    inputs: dict[str, Any],
    load: Callable[[ImageDataset, DeviceImages], Classifier],
    channels_last: bool = True,
    store: ArtifactStore,
    trainer: TrainerSpec,
) -> np.ndarray:
    """What `made` gives of the model that `load` makes, [n, ...] float32, a memory map of the artifact `key`.

    load: called with the data set and its training images on their device, and only where the pass is not there yet.
    Evaluation mode, no augmentation, float32.
    """

    def write(draft: Draft) -> None:
        log.info("passing %d examples: %s", dataset.n, key)
        with quiet():
            lightning = trainer.trainer(logger=False, inference_mode=not made.differentiates)
            train, _ = on_device(dataset, lightning.strategy.root_device)
            model = load(dataset, train)
            out = draft.new_array(name, (dataset.n, *made.shape(model)), np.float32)
            batch = made.batch_size or evaluation_batch(train)
            if made.differentiates:
                batch = min(batch, examples_at_once(model, dataset.image_shape, trainer.memory_gb))
            pass_into(
                out[None],
                [model],
                train,
                lightning,
                output=made.output,
                batch_size=batch,
                channels_last=channels_last,
            )
        out.flush()

    return store.fetch("pass", key, write=write, inputs=inputs).array(name)


def pass_of_member(
    name: str,
    dataset: ImageDataset,
    probe: Probe,
    member: Artifact,
    *,
    epoch: int,
    store: ArtifactStore,
    trainer: TrainerSpec,
) -> np.ndarray:
    """What the pass `name` gives of a trained member after `epoch` epochs, [n, ...] float32, a memory map.

    member: the artifact of its training, whose folder's name is its key; the epoch must be evaluated or a checkpoint.
    """
    made, channels_last = PASSES[name], probe.recipe.channels_last
    inputs = {"member": member.folder.name, "epoch": epoch, "pass": name, "version": made.version}
    return kept_pass(
        made,
        name,
        dataset,
        key=make_key(f"{dataset.slug}-{probe.model.name}-{name}", inputs),
        inputs=inputs,
        load=lambda *_: built(probe.model, dataset, member.tensors(f"weights_{epoch}"), channels_last=channels_last),
        channels_last=channels_last,
        store=store,
        trainer=trainer,
    )


def built(
    spec: ModelSpec, dataset: ImageDataset, weights: dict[str, Tensor], *, channels_last: bool = True
) -> Classifier:
    """A model with these weights; the random state stays as it was."""
    with torch.random.fork_rng(devices=[]):
        model = spec.build(dataset.image_shape, dataset.n_classes)
    model.load_state_dict(weights)
    return model.to(memory_format=torch.channels_last) if channels_last else model
