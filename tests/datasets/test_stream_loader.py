"""Batches of a stream: those of InMemoryLoader, whoever decodes, however many, and from wherever they go on."""

import os
import signal
import time

import numpy as np
import pytest
import torch

from helpers.jpegs import make_jpegs
from winnow.core.errors import DatasetError, OptionError
from winnow.core.types import Subset
from winnow.datasets.augmentation import Augmentation, first_mirrored
from winnow.datasets.base import ImageDataset
from winnow.datasets.batches import batches
from winnow.datasets.imagefolder import ImageFolder
from winnow.datasets.loader import EpochOrder, Shard
from winnow.datasets.stream_loader import worker_count
from winnow.datasets.views import Views
from winnow.parallel.workers import state as group_state
from winnow.parallel.workers.place import Place
from winnow.parallel.workers.state import Group
from winnow.store.artifacts import ArtifactStore

CPU = torch.device("cpu")
N = 24
SUBSET = Subset(np.array([0, 3, 4, 9, 15, 21, 22]), np.linspace(0.25, 1.75, 7), np.zeros(7, dtype=bool), N)
FLIPPED = Augmentation(flip=True, shift=0.1)
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return make_jpegs(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def load(root):
    def load(workers=0, **options):
        spec = ImageFolder(root=str(root), storage="stream", size=10, workers=workers, **options)
        return spec.load(ArtifactStore(root / "none"))

    return load


@pytest.fixture
def made(load):
    """Loaders that are closed after the test."""
    loaders = []

    def made(part="train", *, workers=0, dataset=None, **options):
        options = {"batch_size": 5, "seed": 3, "augmentation": FLIPPED} | options
        loaders.append(batches(dataset or load(workers), part, device=CPU, **options))
        return loaders[-1]

    yield made
    for loader in loaders:
        loader.close()


def epoch_of(loader, epoch=0):
    loader.sampler.set_epoch(epoch)
    return list(loader)


def joined(epoch):
    return [torch.cat(parts) for parts in list(zip(*epoch, strict=True))[:4]]


def same(one, other) -> bool:
    return len(one) == len(other) and all(
        x.size == y.size and all(torch.equal(a, b) for a, b in zip(x[:4], y[:4], strict=True))
        for x, y in zip(one, other, strict=True)
    )


def normalised(images):
    return ((images / 255 - MEAN) / STD).transpose(0, 3, 1, 2)


@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize("part", ["train", "test"])
def test_evaluation_is_in_canonical_order_and_normalised_by_imagenets_numbers(made, load, part, channels_last):
    loader = made(part, seed=None, augmentation=None, channels_last=channels_last)
    dataset, batch = load(), epoch_of(loader)[0]
    images, labels = (
        (dataset.train_images, dataset.train_labels) if part == "train" else (dataset.test_images, dataset.test_labels)
    )
    index, image, label, weight = joined(epoch_of(loader))
    assert index.tolist() == list(range(len(labels)))
    assert label.tolist() == labels.tolist()
    assert weight.tolist() == [1.0] * len(labels)
    np.testing.assert_allclose(image, normalised(images[:]), rtol=1e-5, atol=1e-5)
    assert [each.dtype for each in batch[:4]] == [torch.int64, torch.float32, torch.int64, torch.float32]
    assert batch.image.is_contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)
    assert batch.size == 5 == len(batch.index)


@pytest.mark.parametrize(("batch_size", "sizes"), [(5, [5, 5, 5, 5, 4]), (24, [24]), (100, [24]), (23, [12, 12])])
def test_order_and_sizes_of_batches_are_those_in_memory(made, batch_size, sizes):
    loader = made(batch_size=batch_size)
    assert len(loader) == len(sizes)
    for epoch in (0, 2):
        given = epoch_of(loader, epoch)
        assert [len(batch.label) for batch in given] == sizes == [batch.size for batch in given]
        order = EpochOrder(N, 3)
        order.set_epoch(epoch)
        assert joined(given)[0].tolist() == order.order().tolist()


def test_a_subset_gives_its_examples_with_their_weights(made, load):
    index, image, label, weight = joined(epoch_of(made(batch_size=3, subset=SUBSET, augmentation=None), 1))
    assert index.tolist() != SUBSET.indices.tolist()
    assert sorted(index.tolist()) == SUBSET.indices.tolist()
    places = np.searchsorted(SUBSET.indices, index.numpy())
    np.testing.assert_allclose(weight, SUBSET.weights[places])
    assert label.tolist() == load().train_labels[index].tolist()
    np.testing.assert_allclose(image, normalised(load().train_images[index.numpy()]), rtol=1e-5, atol=1e-5)


def test_an_example_looks_the_same_in_whatever_batch_it_comes(made):
    """Its crop and mirror are a function of (seed, epoch, index)."""

    def by_index(epoch=0, **options):
        index, image, *_ = joined(epoch_of(made(**options), epoch))
        return dict(zip(index.tolist(), image, strict=True))

    first = by_index()
    for other in (by_index(batch_size=7), by_index(subset=SUBSET, batch_size=2)):
        assert all(torch.equal(image, first[index]) for index, image in other.items())
    for other in (by_index(epoch=1), by_index(seed=4)):
        assert sum(torch.equal(image, first[index]) for index, image in other.items()) < 3


def test_an_image_is_mirrored_in_every_other_pass_as_in_memory(made):
    """The crop is a pass's own, so what is compared is the same pass with and without the mirror."""
    plain, turning = (made(augmentation=Augmentation(flip=flip, alternate=flip)) for flip in (False, True))
    first = first_mirrored(Augmentation(flip=True, alternate=True), N, 3)
    for epoch in range(2):
        (index, still, *_), (_, turned, *_) = joined(epoch_of(plain, epoch)), joined(epoch_of(turning, epoch))
        for at, one, other in zip(index.tolist(), still, turned, strict=True):
            assert torch.equal(other, one.flip(2) if first[at] != (epoch == 1) else one)


@pytest.mark.parametrize(("batch_size", "subset"), [(5, None), (10, SUBSET), (16, SUBSET)])
def test_constant_batches_are_those_in_memory_and_each_pass_has_its_own_crops(made, batch_size, subset):
    """Of seven examples, a batch of sixteen holds some three times: with three crops, those of their passes."""
    options = {"batch_size": batch_size, "subset": subset, "constant": True}
    order = EpochOrder(N if subset is None else subset.m, 3, constant=batch_size)
    crops, looks = {}, 0
    for epoch in range(3):
        loader = made(**options)
        given = epoch_of(loader, epoch)
        assert {len(batch.index) for batch in given} == {batch.size for batch in given} == {batch_size}
        order.set_epoch(epoch)
        index, image, *_ = joined(given)
        assert index.tolist() == [(subset.indices if subset else range(N))[each] for each in order.order().tolist()]
        for each, number, pixels in zip(index.tolist(), order.passes().tolist(), image, strict=True):
            looks += 1
            assert (each, number) not in crops
            crops[each, number] = pixels
    assert len(torch.stack(list(crops.values())).flatten(1).unique(dim=0)) > 0.9 * looks
    equal = made(batch_size=4, subset=subset)
    for number in range(2):  # the crops of a pass are those of an epoch
        index, image, *_ = joined(epoch_of(equal, number))
        assert all(torch.equal(crops[each, number], pixels) for each, pixels in zip(index.tolist(), image, strict=True))


def test_constant_batches_go_on_in_the_middle_and_are_shared_out(made):
    options = {"batch_size": 9, "constant": True, "workers": 1}
    whole, resumed = epoch_of(made(**options), 2), made(**options)
    resumed.load_state_dict({"batch": 1})
    assert same(epoch_of(resumed, 2), whole[1:])
    shares = [epoch_of(made(**options, shard=Shard(rank, 2)), 2) for rank in (0, 1)]
    for batch, *parts in zip(whole, *shares, strict=True):
        assert all(torch.equal(a, torch.cat(b)) for a, *b in zip(batch[:4], *(part[:4] for part in parts), strict=True))


@pytest.mark.parametrize("workers", [1, 2])
def test_the_number_of_workers_changes_nothing(made, workers):
    alone, helped = made(workers=0), made(workers=workers)
    state = torch.get_rng_state()
    for epoch in range(3):
        assert same(epoch_of(alone, epoch), epoch_of(helped, epoch))
    assert torch.equal(torch.get_rng_state(), state)


def test_shards_are_parts_of_the_same_batches(made):
    whole = epoch_of(made(), 1)
    for world in (2, 7):
        parts = [epoch_of(made(workers=rank % 2, shard=Shard(rank, world)), 1) for rank in range(world)]
        for number, batch in enumerate(whole):
            of_batch = [part[number] for part in parts if len(part) == len(whole)]
            if world == 2:
                together = [torch.cat(parts) for parts in list(zip(*of_batch, strict=True))[:4]]
                assert all(torch.equal(a, b) for a, b in zip(batch[:4], together, strict=True))
            assert {part.size for part in of_batch} == {batch.size}
        # Of 7 processes some have no part of a batch of 5; together they have each example once.
        assert sorted(int(i) for part in parts for batch in part for i in batch.index) == list(range(N))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("given", [1, 3, 5])
def test_an_interrupted_epoch_goes_on_with_the_batch_that_was_yielded_last(made, workers, given, monkeypatch):
    whole = [epoch_of(made(), epoch) for epoch in (1, 2)]
    broken = made(workers=2 - workers)
    broken.sampler.set_epoch(1)
    iterator = iter(broken)
    seen = [next(iterator) for _ in range(given)]
    state = broken.state_dict()

    resumed = made(workers=workers)
    resumed.load_state_dict(state)
    if not workers:
        decoded = []
        of = type(resumed.data.images).augmented
        monkeypatch.setattr(
            type(resumed.data.images),
            "augmented",
            lambda images, index, **options: decoded.append(index) or of(images, index, **options),
        )
    rest = epoch_of(resumed, 1)
    assert same(seen[:-1] + rest, whole[0])
    assert same(rest[:1], seen[-1:])
    if not workers:
        assert decoded == [i for batch in rest for i in batch.index.tolist()]
    assert same(epoch_of(resumed, 2), whole[1])


def test_between_epochs_the_state_is_the_beginning(made):
    loader = made()
    epoch_of(loader)
    assert loader.state_dict() == {"batch": 0} == made().state_dict()


def test_an_epoch_that_is_left_half_way_leaves_nothing_to_the_next(made):
    loader, fresh = made(workers=2), made()
    loader.sampler.set_epoch(0)
    next(iter(loader))
    assert same(epoch_of(loader, 1), epoch_of(fresh, 1))


def test_workers_live_on_between_epochs_and_end_when_closed(made):
    def running():
        return {worker.pid for worker in torch.multiprocessing.active_children()}

    before, loader = running(), made(workers=2)
    epoch_of(loader, 0)
    mine = running() - before
    epoch_of(loader, 1)
    assert len(mine) == 2
    assert running() - before == mine
    next(iter(loader))
    loader.close()
    assert running() == before
    epoch_of(made(workers=1, seed=None), 0)  # evaluation goes through once
    assert running() == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_a_signal_to_the_workers_is_left_to_their_parent(made, number):
    before, loader = set(torch.multiprocessing.active_children()), made(workers=2)
    loader.sampler.set_epoch(0)
    iterator = iter(loader)
    seen = [next(iterator), next(iterator)]  # one of each worker, so that both have begun
    workers = set(torch.multiprocessing.active_children()) - before
    # As from elsewhere: a worker heeds its parent.
    for worker in workers:
        os.waitpid(os.posix_spawn("/bin/kill", ["kill", f"-{int(number)}", str(worker.pid)], os.environ), 0)
    time.sleep(0.1)
    assert same(seen + list(iterator), epoch_of(made(), 0))
    assert all(worker.is_alive() for worker in workers)
    for worker in workers:
        worker.terminate()
        worker.join(10)
        assert not worker.is_alive()


@pytest.mark.parametrize("workers", [0, 2])
def test_a_damaged_file_is_named_without_a_workers_traceback(tmp_path, made, workers):
    root = make_jpegs(tmp_path / "photos")
    (root / "train" / "bee" / "img2.jpg").write_bytes(b"no image")
    spec = ImageFolder(root=str(root), storage="stream", size=10, workers=workers)
    named = r"^\S*/train/bee/img2\.jpg cannot be read \(\w+: [^\n]*\); repair or remove it\.$"
    with pytest.raises(DatasetError, match=named):
        epoch_of(made(dataset=spec.load(ArtifactStore(tmp_path))))


@pytest.mark.parametrize("workers", [0, 1])
def test_views_are_made_of_evaluations_images_as_in_memory(made, load, workers):
    views = Views(jitter=0.4)
    loader = made(workers=workers, augmentation=views, copies=2, batch_size=6)
    dataset = load()
    memory = ImageDataset(
        name="held",
        train_images=dataset.train_images[:],
        train_labels=dataset.train_labels,
        test_images=dataset.test_images[:],
        test_labels=dataset.test_labels,
        class_names=dataset.class_names,
    )
    held = batches(memory, "train", device=CPU, batch_size=6, augmentation=views, copies=2, seed=3)
    mean, std = (torch.as_tensor(values, dtype=torch.float32).view(1, -1, 1, 1) for values in (MEAN, STD))
    for one, other in zip(epoch_of(loader, 1), epoch_of(held, 1), strict=True):
        assert torch.equal(one.index, other.index)
        assert one.size == other.size == 12
        pixels = other.image * held.data.std.view(1, -1, 1, 1) + held.data.mean.view(1, -1, 1, 1)
        torch.testing.assert_close(one.image, (pixels / 255 - mean) / std, rtol=1e-4, atol=1e-4)
    whole = epoch_of(loader, 1)
    parts = [epoch_of(made(augmentation=views, copies=2, batch_size=6, shard=Shard(rank, 3)), 1) for rank in range(3)]
    for batch, of_batch in zip(whole, zip(*parts, strict=True), strict=True):
        assert torch.equal(batch.image, torch.cat([part.image for part in of_batch]))


def test_cutout_is_refused(made):
    with pytest.raises(OptionError, match=r"recipe\.augmentation\.cutout=0\.5 is for data sets in memory"):
        made(augmentation=Augmentation(cutout=0.5))


def test_how_many_workers(monkeypatch):
    processors = len(os.sched_getaffinity(0))
    assert worker_count(None) == min(8, processors)
    group = Group(Place(0, 10**6, 0, 0, "", 0), sharers=10**6)
    monkeypatch.setattr(group_state, "current", group)
    assert worker_count(None) == min(8, processors)  # it works alone now
    for at_work in ("inside", "independent"):
        monkeypatch.setattr(group, at_work, True)
        assert worker_count(None) == 1
        assert [worker_count(asked) for asked in (0, 1, 40)] == [0, 1, 40]
        monkeypatch.setattr(group, at_work, False)
