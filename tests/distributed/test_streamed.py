"""Two real processes that train on a stream, each decoding its own part of every batch."""

import numpy as np
import torch

from helpers.jpegs import make_jpegs
from helpers.parallel import TWO, NoBatchNorm, SeesIndices
from helpers.training import CPU, state, tiny_fit, tiny_recipe
from winnow.datasets.augmentation import Augmentation
from winnow.datasets.imagefolder import ImageFolder
from winnow.probes.forward import pass_into
from winnow.store.artifacts import ArtifactStore


def test_two_processes_train_and_pass_as_one(tmp_path):
    root = make_jpegs(tmp_path / "photos")
    dataset = ImageFolder(root=str(root), storage="stream", size=8, workers=1).load(ArtifactStore(tmp_path / "store"))
    recipe = tiny_recipe(batch_size=7, augmentation=Augmentation(flip=True))
    seen = SeesIndices()
    options = {"recipe": recipe, "model": NoBatchNorm()}
    one, two = tiny_fit(dataset, **options), tiny_fit(dataset, **options, trainer=TWO, callbacks=[seen])
    for name, value in state(one.model).items():
        torch.testing.assert_close(state(two.model)[name], value, rtol=1e-5, atol=1e-6)
    mine, other = seen.steps
    assert [len(a) + len(b) for a, b in zip(mine, other, strict=True)] == [6] * 8
    assert sorted(index for part in (mine, other) for step in part[:4] for index in step) == list(range(24))
    out = np.zeros((2, 1, dataset.n, 3), dtype=np.float32)
    for each, trainer in zip(out, (CPU, TWO), strict=True):
        pass_into(each, [one.model], dataset, trainer=trainer, batch_size=5, channels_last=True)
    np.testing.assert_allclose(out[0], out[1], rtol=1e-5, atol=1e-6)
