"""Training, passes and whole cells on a stream: those of the same images in memory, and of any number of workers."""

import os
import signal

import numpy as np
import pytest
import torch
import torchvision
from pytorch_lightning import Callback

from helpers.jpegs import make_jpegs, photo
from helpers.training import CPU, TINY, Watcher, same_state, state, tiny_fit, tiny_recipe
from winnow.core.errors import DatasetError, Interrupted, OptionError
from winnow.core.types import Subset
from winnow.datasets.augmentation import Augmentation
from winnow.datasets.base import ImageDataset
from winnow.datasets.batches import batches, normalisation
from winnow.datasets.imagefolder import ImageFolder
from winnow.datasets.targets import read_targets
from winnow.figures.image_sheet import image_sheet
from winnow.metrics.el2n import EL2N
from winnow.metrics.forgetting import Forgetting as ForgettingMetric
from winnow.metrics.less import LESS
from winnow.metrics.ssp import SSP
from winnow.parallel import interruption
from winnow.pipeline import CellSpec, train_cell
from winnow.probes.embeddings.encoder import Encoder
from winnow.probes.embeddings.simclr import SimCLR
from winnow.probes.forward import pass_into
from winnow.probes.probe import Probe
from winnow.selectors.alpha import Fixed
from winnow.selectors.calibrated import Calibrated
from winnow.selectors.compression import Fraction
from winnow.store.artifacts import ArtifactStore
from winnow.training.callbacks.contributions import Contributions
from winnow.training.callbacks.forgetting import FIELDS, Forgetting
from winnow.training.fit import measure
from winnow.training.loggers import NoLog

RECIPE = tiny_recipe(epochs=3, batch_size=7, augmentation=Augmentation(flip=True))
SUBSET = Subset(np.arange(0, 24, 2), np.linspace(0.5, 1.5, 12), np.zeros(12, dtype=bool), 24)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return make_jpegs(tmp_path_factory.mktemp("photos"))


@pytest.fixture
def store(tmp_path):
    return ArtifactStore(tmp_path / "store")


def load(root, workers=0, **options):
    return ImageFolder(root=str(root), storage="stream", size=8, workers=workers, **options).load(ArtifactStore(root))


def held(dataset, **changes):
    """The same images in memory."""
    parts = {
        "name": "held",
        "train_images": dataset.train_images[:],
        "train_labels": dataset.train_labels,
        "test_images": dataset.test_images[:],
        "test_labels": dataset.test_labels,
        "class_names": dataset.class_names,
    }
    return ImageDataset(**(parts | changes))


def seen(dataset, images):
    """Images [n, H, W, C] as a model is to see them."""
    mean, std = (values.view(1, -1, 1, 1) for values in normalisation(dataset))
    return (torch.tensor(images).permute(0, 3, 1, 2).float() - mean) / std


class Run:
    """A training with every recorder."""

    def __init__(self, dataset, *callbacks, **options):
        self.recorders = [each.build(SUBSET.indices, 3) for each in (Forgetting(), Contributions(target=5))]
        callbacks = [*self.recorders, *callbacks]
        self.fitted = tiny_fit(dataset, RECIPE, subset=SUBSET, callbacks=callbacks, **options)

    def assert_same(self, other):
        assert same_state(state(self.fitted.model), state(other.fitted.model))
        assert self.fitted.examples_seen == other.fitted.examples_seen
        for field in FIELDS:
            one, two = (getattr(run.recorders[0].trajectory(), field) for run in (self, other))
            np.testing.assert_array_equal(one, two)
        one, two = (run.recorders[1].contributions() for run in (self, other))
        np.testing.assert_array_equal(one, two)


class KillAfter(Callback):
    def __init__(self, step):
        self.step = step

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        if trainer.global_step == self.step:
            os.kill(os.getpid(), signal.SIGUSR1)


@pytest.fixture(scope="module")
def whole(root):
    return Run(load(root))


def test_an_interrupted_training_with_other_workers_ends_bit_for_bit_the_same(root, whole, tmp_path):
    path, others = tmp_path / "one.ckpt", set(torch.multiprocessing.active_children())
    for step, workers in ((1, 2), (3, 0), (4, 1)):
        with interruption.handled(), pytest.raises(Interrupted):
            Run(load(root, workers), KillAfter(step), checkpoint=path)
    watched = Watcher()
    Run(load(root, 2), watched, checkpoint=path).assert_same(whole)
    assert len(watched.batches) == 6 - 4
    assert set(torch.multiprocessing.active_children()) <= others


def test_the_number_of_workers_changes_no_training(root, whole):
    Run(load(root, 2)).assert_same(whole)
    other = tiny_fit(load(root, least_area=0.9), RECIPE, subset=SUBSET)
    assert not same_state(state(other.model), state(whole.fitted.model))


def test_tests_and_passes_see_the_evaluated_images(root, whole):
    dataset, model = load(root, workers=1), whole.fitted.model.eval()
    logits = np.zeros((1, dataset.n, 3), dtype=np.float32)
    pass_into(logits, [model], dataset, trainer=CPU, batch_size=5, channels_last=True)
    with torch.no_grad():
        expected = model(seen(dataset, dataset.train_images[:])).numpy()
        of_test = model(seen(dataset, dataset.test_images[:]))
    np.testing.assert_allclose(logits[0], expected, rtol=1e-4, atol=1e-4)
    measured = measure(dataset, model, recipe=RECIPE, trainer=CPU)
    labels = torch.tensor(dataset.test_labels)
    assert measured.error == pytest.approx((of_test.argmax(1) != labels).float().mean().item())
    assert measured.loss == pytest.approx(torch.nn.functional.cross_entropy(of_test, labels).item(), rel=1e-4)


@pytest.mark.parametrize("metric", [EL2N(), ForgettingMetric(), SSP(), LESS(folder="targets")])
def test_a_whole_cell(root, store, metric, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("ant", "cow"):
        photo(tmp_path / "targets" / name / "a.jpg", 5, height=20, width=30)
    cell = CellSpec(
        dataset=ImageFolder(root=str(root), storage="stream", size=8, workers=0, label_noise=0.1, limit=20),
        model=TINY,
        recipe=RECIPE,
        probe=Probe(model=TINY, recipe=RECIPE, members=2, epochs=2),
        metric=metric,
        selector=Calibrated(),
        alpha=Fixed(value=0.5),
        compression=Fraction(r=0.6),
    )
    row = train_cell(cell, store=store, trainer=CPU)
    assert (row.n, row.n_kept, row.n_test, row.examples_seen) == (20, 12, 9, 36)
    assert train_cell(cell, store=store, trainer=CPU) == row
    assert not (store.root / "images").exists()


def test_targets_are_decoded_as_for_evaluation_and_never_of_the_test_part(root, tmp_path):
    dataset = load(root)
    photo(tmp_path / "mine" / "bee" / "a.jpg", 5, height=20, width=30, orientation=6)
    targets = read_targets(dataset, tmp_path / "mine")
    (tmp_path / "copy" / "train" / "bee").mkdir(parents=True)
    (tmp_path / "mine" / "bee" / "a.jpg").rename(tmp_path / "copy" / "train" / "bee" / "a.jpg")
    for part, name in (("train", "ant"), ("val", "ant")):
        photo(tmp_path / "copy" / part / name / "a.jpg", 5, height=20, width=30)
    np.testing.assert_array_equal(targets.images[0], load(tmp_path / "copy").train_images[1])
    (batch,) = batches(dataset, targets, device=torch.device("cpu"))
    torch.testing.assert_close(batch.image, seen(dataset, targets.images))
    copied = tmp_path / "theirs" / "cow" / "other name.jpg"
    copied.parent.mkdir(parents=True)
    copied.write_bytes((root / "val" / "cow" / "img2.jpg").read_bytes())
    with pytest.raises(DatasetError, match=r"all 1 images of .* are .*in the test set"):
        read_targets(dataset, tmp_path / "theirs")


def test_embeddings_of_a_stream_are_those_of_the_same_images_in_memory(root, store, tmp_path):
    weights = tmp_path / "weights.pt"
    torch.manual_seed(0)
    torch.save(torchvision.models.resnet18().state_dict(), weights)
    encoder = Encoder(name="resnet18", weights=str(weights), size=32)
    dataset = load(root, workers=1)
    one, other = (
        encoder.embed(each, of_probe=None, store=store, trainer=CPU, logger=NoLog())
        for each in (dataset, held(dataset))
    )
    np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3)


def test_simclr_sees_no_matter_how_many_workers(root, tmp_path):
    def embedded(workers):
        run = SimCLR(model=TINY, epochs=2, batch_size=8, projection=4)
        own = ArtifactStore(tmp_path / str(workers))
        return run.embed(load(root, workers), of_probe=None, store=own, trainer=CPU, logger=NoLog())

    np.testing.assert_array_equal(embedded(0), embedded(2))
    assert np.isfinite(embedded(0)).all()


def test_a_sheet_decodes_what_it_shows(root, monkeypatch):
    dataset, decoded = load(root), []
    evaluated = type(dataset.train_images).evaluated
    monkeypatch.setattr(
        type(dataset.train_images), "evaluated", lambda self, index: decoded.append(index) or evaluated(self, index)
    )
    scores = np.arange(dataset.n, dtype=float)
    image_sheet(dataset.train_images, dataset.train_labels, dataset.class_names, scores, per_class=2)
    assert sorted(decoded) == sorted(c * 8 + i for c in range(3) for i in (0, 1, 6, 7))


def test_cutout_is_refused_before_anything_is_trained(root, store):
    recipe = tiny_recipe(augmentation=Augmentation(cutout=0.5))
    with pytest.raises(OptionError, match="for data sets in memory"):
        tiny_fit(load(root), recipe)
