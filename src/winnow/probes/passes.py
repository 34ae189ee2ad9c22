"""Passes of a trained probe over the training set or targets, made once and kept: features, gradients, distances."""

import logging
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from winnow.datasets.base import ImageDataset
from winnow.datasets.batches import Part, length
from winnow.datasets.loader import at_once
from winnow.datasets.targets import TargetImages
from winnow.models.base import Classifier, ModelSpec
from winnow.probes.boundary import boundary_distances
from winnow.probes.forward import features, pass_into
from winnow.probes.gradients import Scratch, examples_at_once, gradient_norms, input_gradient_norms, unfolding
from winnow.probes.probe import Probe
from winnow.probes.projections import exact_losses, projected_gradients, scratch
from winnow.store.artifacts import Artifact, ArtifactStore, Draft
from winnow.store.keys import make_key
from winnow.training.devices import TrainerSpec

log = logging.getLogger(__name__)

IN_CACHE = 8
"""Images of 32x32 at once of a pass that differentiates on a CPU: its cache holds no more; 64 took up to 1.7 times as
long."""


def in_cache(image_shape: tuple[int, int, int]) -> int:
    """How many images of this shape a pass that differentiates takes at once on a CPU: up to 64 of smaller ones.

    Of 8x8 64 at once take 0.4 of the time that eight at once do; what comes out was the same bits.
    """
    height, width, _ = image_shape
    return IN_CACHE * min(8, max(1, 32 * 32 // (height * width)))


@dataclass(frozen=True, kw_only=True)
class Pass:
    """One thing to compute of every example.

    shape: of one example's output. scratch: what it holds beside activations. Both and `output` take the pass's options
    by keyword. batch_size: examples at once, by their size if None. version: raised when results change.
    """

    output: Callable[..., Tensor]
    shape: Callable[..., tuple[int, ...]] = lambda model, **options: ()
    scratch: Callable[..., int] = lambda layer, output, **options: unfolding(layer, output)
    differentiates: bool = True
    batch_size: int | None = None
    version: int = 1


PASSES = {
    "features": Pass(output=features, shape=lambda model: (model.head.in_features,), differentiates=False),
    "gradient_norms": Pass(output=gradient_norms, version=2),
    "input_gradient_norms": Pass(output=input_gradient_norms),
    "boundary_distances": Pass(output=boundary_distances),
    "projected_gradients": Pass(
        output=projected_gradients, shape=lambda model, *, size=1024, seed=0: (size,), scratch=scratch, version=2
    ),
    "target_gradients": Pass(
        output=partial(projected_gradients, objective=exact_losses),
        shape=lambda model, *, size=1024, seed=0: (size,),
        scratch=scratch,
    ),
}


class MemberPass(NamedTuple):
    """The pass behind a field of evidence, over one member after an epoch."""

    name: str
    member: int
    epoch: int


def member_passes(probe: Probe, needs: frozenset[str], epochs: frozenset[int] = frozenset()) -> list[MemberPass]:
    """The passes over members that the evidence in `needs` comes from.

    epochs: those whose gradient norms are needed, the last evaluated if none is named; all else is of the last.
    """
    names = sorted(needs & PASSES.keys())
    first_alone = "embeddings" in needs and probe.embedding.from_members and "features" not in names
    if not names and not first_alone:
        return []
    last = probe.evaluated[-1]
    asked = [
        (name, epoch) for name in names for epoch in (sorted(epochs) if name == "gradient_norms" else ()) or [last]
    ]
    passes = [MemberPass(name, member, epoch) for name, epoch in asked for member in range(probe.members)]
    return passes + ([MemberPass("features", 0, last)] if first_alone else [])


def pass_key(
    name: str,
    dataset: ImageDataset,
    probe: Probe,
    member: str,
    epoch: int,
    options: Mapping[str, Any] = MappingProxyType({}),
    targets: TargetImages | None = None,
) -> tuple[str, dict[str, Any]]:
    """The key of a pass, and what it was made from. member: the key of its training."""
    over = {} if targets is None else {"targets": targets.digest}
    inputs = {"member": member, "epoch": epoch, "pass": name, "version": PASSES[name].version, **options, **over}
    return make_key(f"{dataset.slug}-{probe.model.name}-{name}", inputs), inputs


def pass_of_member(
    name: str,
    dataset: ImageDataset,
    probe: Probe,
    member: Artifact,
    *,
    epoch: int,
    options: Mapping[str, Any],
    targets: TargetImages | None = None,
    store: ArtifactStore,
    trainer: TrainerSpec,
) -> np.ndarray:
    """What the pass `name` gives of a trained member after `epoch` epochs, [n, ...] float32, a memory map.

    member: the artifact of its training, whose folder's name is its key. targets: passed instead of the training set.
    """
    channels_last = probe.recipe.channels_last
    key, inputs = pass_key(name, dataset, probe, member.folder.name, epoch, options, targets)
    return kept_pass(
        PASSES[name],
        name,
        dataset,
        key=key,
        inputs=inputs,
        load=lambda _: load_model(
            probe.model, dataset, member.tensors(f"weights_{epoch}"), channels_last=channels_last
        ),
        options=options,
        targets=targets,
        channels_last=channels_last,
        store=store,
        trainer=trainer,
    )


def kept_pass(
    kind: Pass,
    name: str,
    dataset: ImageDataset,
    *,
    key: str,
    inputs: dict[str, Any],
    load: Callable[[ImageDataset], Classifier],
    options: Mapping[str, Any] = MappingProxyType({}),
    targets: TargetImages | None = None,
    channels_last: bool = True,
    store: ArtifactStore,
    trainer: TrainerSpec,
) -> np.ndarray:
    """What `made` gives of the model that `load` makes, [n, ...] float32, a memory map of the artifact `key`.

    load: called with the data set, and only where the pass is not there yet.
    targets: passed instead of the training set, normalised like it.
    Evaluation mode, no augmentation, float32.
    """

    def write(draft: Draft) -> None:
        log.info("passing %d examples: %s", dataset.n if targets is None else targets.n, key)
        part: Part = "train" if targets is None else targets
        model = load(dataset)
        out = draft.new_array(name, (length(dataset, part), *kind.shape(model, **options)), np.float32)
        batch = kind.batch_size
        if kind.differentiates:
            held: Scratch = partial(kind.scratch, **options)
            batch = min(
                batch or at_once(dataset.image_shape, trainer.kind),
                examples_at_once(model, dataset.image_shape, trainer.memory_gb, held),
                sys.maxsize if trainer.on_gpu else in_cache(dataset.image_shape),
            )
        pass_into(
            out[None],
            [model],
            dataset,
            part=part,
            trainer=trainer,
            output=partial(kind.output, **options),
            differentiates=kind.differentiates,
            batch_size=batch,
            channels_last=channels_last,
        )
        out.flush()

    return store.fetch("pass", key, write=write, inputs=inputs).array(name)


def load_model(
    spec: ModelSpec, dataset: ImageDataset, weights: dict[str, Tensor], *, channels_last: bool = True
) -> Classifier:
    """A model with these weights; the random state stays as it was."""
    with torch.random.fork_rng(devices=[]):
        model = spec.build(dataset.image_shape, dataset.n_classes)
    model.load_state_dict(weights)
    return model.to(memory_format=torch.channels_last) if channels_last else model
