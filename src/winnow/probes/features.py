"""Penultimate features of the probes, passed once and kept: what embeddings and last-layer gradients are made of."""

import logging
from typing import Any

import numpy as np
import torch

from winnow.artifacts import Artifact, ArtifactStore, Draft
from winnow.datasets.base import ImageDataset
from winnow.datasets.loader import on_device
from winnow.keys import make_key
from winnow.models.base import Classifier
from winnow.probes.probe import Probe
from winnow.probes.scorer import features_into
from winnow.training.fit import TrainerSpec, quiet

log = logging.getLogger(__name__)


def features_key(dataset: ImageDataset, probe: Probe, member: str) -> tuple[str, dict[str, Any]]:
    """The key of a member's features, and what it was made from. member: the key of its training."""
    inputs = {"member": member, "epoch": probe.evaluated[-1]}
    return make_key(f"{dataset.slug}-{probe.model.name}-features", inputs), inputs


def features_of_member(
    dataset: ImageDataset, probe: Probe, member: Artifact, *, store: ArtifactStore, trainer: TrainerSpec
) -> np.ndarray:
    """Features [n, d] float32 of a trained member, a memory map: after the last evaluated epoch, in evaluation mode.

    member: the artifact of its training, whose folder's name is its key.
    """

    def write(draft: Draft) -> None:
        model = load_member(dataset, probe, member, probe.evaluated[-1])
        out = draft.new_array("features", (dataset.n, model.head.in_features), np.float32)
        with quiet():
            lightning = trainer.trainer(logger=False)
            train, _ = on_device(dataset, lightning.strategy.root_device)
            features_into(out, model, train, lightning, channels_last=probe.recipe.channels_last)
        out.flush()

    key, inputs = features_key(dataset, probe, member.folder.name)
    return store.fetch("features", key, write=write, inputs=inputs).array("features")


def load_member(dataset: ImageDataset, probe: Probe, member: Artifact, epoch: int) -> Classifier:
    """A trained probe as it was after `epoch` epochs, which must be evaluated or kept as a checkpoint."""
    with torch.random.fork_rng(devices=[]):
        model = probe.model.build(dataset.image_shape, dataset.n_classes)
    model.load_state_dict(member.tensors(f"weights_{epoch}"))
    return model.to(memory_format=torch.channels_last) if probe.recipe.channels_last else model
