"""What a batch holds, in which order, and that a seed decides both."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from winnow.core.types import Subset
from winnow.datasets.augmentation import Augmentation
from winnow.datasets.base import ImageDataset
from winnow.datasets.loader import Batch, InMemoryLoader, Shard, at_once, on_device
from winnow.datasets.views import Views

N, SHAPE = 23, (6, 5, 3)
CPU = torch.device("cpu")
AUGMENTED = Augmentation(shift=0.3, flip=True, cutout=0.4)
SUBSET = Subset(np.array([0, 3, 4, 9, 15, 21, 22]), np.linspace(0.25, 1.75, 7), np.zeros(7, dtype=bool), N)


def make_dataset(shape=SHAPE, **changes) -> ImageDataset:
    rng = np.random.default_rng(5)
    brightness = rng.integers(1, 256, (N, 1, 1, shape[2]))  # so that no two channels have the same statistics
    parts = {
        "name": "made",
        "train_images": (rng.random((N, *shape)) * brightness).astype(np.uint8),
        "train_labels": rng.integers(0, 4, N),
        "test_images": rng.integers(0, 256, (7, *shape), dtype=np.uint8),
        "test_labels": np.arange(7) % 4,
        "class_names": ("a", "b", "c", "d"),
    }
    return ImageDataset(**(parts | changes))


DATASET = make_dataset()
TRAIN, TEST = on_device(DATASET, CPU)


def epoch_of(loader, epoch=0):
    """The batches of an epoch."""
    loader.sampler.set_epoch(epoch)
    return list(loader)


def joined(batches):
    """All batches of an epoch as one: index, image, label, weight."""
    return [torch.cat(parts) for parts in list(zip(*batches, strict=True))[:4]]


def order_of(loader, epoch):
    return joined(epoch_of(loader, epoch))[0].tolist()


def same(one, other) -> bool:
    return len(one) == len(other) and all(
        torch.equal(a, b) for x, y in zip(one, other, strict=True) for a, b in zip(x[:4], y[:4], strict=True)
    )


def normalised(images):
    """[B, C, H, W], by plain numpy in float64."""
    train = DATASET.train_images.astype(float)
    values = (images - train.mean(axis=(0, 1, 2))) / train.std(axis=(0, 1, 2))
    return values.transpose(0, 3, 1, 2)


@pytest.mark.parametrize("seed", [None, 0, 7])
@pytest.mark.parametrize("batch_size", [1, 5, 22, 23, 100])
def test_every_example_once_an_epoch_with_all_that_is_its_own(seed, batch_size):
    loader = InMemoryLoader(TRAIN, batch_size=batch_size, seed=seed)
    for epoch in range(2):
        index, image, label, weight = joined(epoch_of(loader, epoch))
        assert sorted(index.tolist()) == list(range(N))
        assert label.tolist() == DATASET.train_labels[index].tolist()
        np.testing.assert_allclose(image, normalised(DATASET.train_images[index]), rtol=1e-5, atol=1e-5)
        assert weight.tolist() == [1.0] * N


def test_types_of_a_batch():
    batch = next(iter(InMemoryLoader(TRAIN, batch_size=4, subset=SUBSET, seed=0, augmentation=AUGMENTED)))
    assert [part.dtype for part in batch[:4]] == [torch.int64, torch.float32, torch.int64, torch.float32]
    assert [tuple(part.shape) for part in batch[:4]] == [(4,), (4, 3, 6, 5), (4,), (4,)]


@pytest.mark.parametrize(
    ("batch_size", "sizes"), [(5, [5, 5, 5, 4, 4]), (22, [12, 11]), (23, [23]), (100, [23]), (1, [1] * N)]
)
def test_batches_are_as_equal_as_can_be(batch_size, sizes):
    loader = InMemoryLoader(TRAIN, batch_size=batch_size, seed=1)
    assert [len(batch.label) for batch in epoch_of(loader)] == sizes
    assert len(loader) == len(sizes)


def streamed(batch_size, epochs, **options):
    """The batches of so many epochs of one stream."""
    loader = InMemoryLoader(TRAIN, batch_size=batch_size, seed=1, constant=True, **options)
    return [batch for epoch in range(epochs) for batch in epoch_of(loader, epoch)]


@pytest.mark.parametrize("batch_size", [5, 22, 23, 24, 60])
def test_constant_batches_are_one_stream_of_permutations(batch_size):
    """Nothing is left out and nothing comes twice before everything came once; N is 23."""
    taken = streamed(batch_size, 12)
    assert {len(batch.index) for batch in taken} == {batch.size for batch in taken} == {batch_size}
    order = torch.cat([batch.index for batch in taken])
    whole = order[: len(order) // N * N].reshape(-1, N)
    assert len(whole) > 2
    assert (whole.sort(dim=1).values == torch.arange(N)).all()
    equal = torch.tensor([order_of(InMemoryLoader(TRAIN, batch_size=N, seed=1), epoch) for epoch in range(len(whole))])
    assert torch.equal(whole, equal)


def test_the_weighted_risk_of_constant_batches_is_unbiased():
    """Over whole permutations the mean batch loss Σ w ℓ / B is the weighted risk, for any m and B."""
    losses = torch.arange(1.0, N + 1, dtype=torch.float64) ** 2
    weights = torch.tensor(SUBSET.weights)
    risk = (weights * losses[torch.tensor(SUBSET.indices)]).mean()
    epochs = SUBSET.m * 6  # a whole number of permutations for every batch size below
    for batch_size in (2, 3, 7, 16):
        each = [
            (batch.weight.double() * losses[batch.index]).sum() / batch.size
            for batch in streamed(batch_size, epochs, subset=SUBSET)
        ]
        torch.testing.assert_close(torch.stack(each).mean(), risk, rtol=1e-6, atol=0)


def test_an_example_that_recurs_in_a_batch_is_augmented_each_time_on_its_own():
    batch = streamed(200, 1, augmentation=AUGMENTED)[0]
    images = batch.image[batch.index == 0].flatten(1)
    assert len(images) >= 8
    assert len(images.unique(dim=0)) > 4


@pytest.mark.parametrize("constant", [False, True])
def test_every_image_is_mirrored_in_every_other_pass(constant):
    """Two passes show each image and its mirror image, whatever the batches."""
    options = {"batch_size": 7, "subset": SUBSET, "constant": constant}
    still = InMemoryLoader(TRAIN, **options)
    turning = InMemoryLoader(TRAIN, **options, seed=3, augmentation=Augmentation(flip=True, alternate=True))
    index, image, *_ = joined(epoch_of(still))
    plain = dict(zip(index.tolist(), image, strict=True))
    seen: dict[int, list[bool]] = {index: [] for index in plain}
    for epoch in range(4):
        for batch in epoch_of(turning, epoch):
            for index, image in zip(batch.index.tolist(), batch.image, strict=True):
                turned = torch.equal(image, plain[index].flip(2))
                assert turned or torch.equal(image, plain[index])
                seen[index].append(turned)
    assert {tuple(each) for each in seen.values()} == {(True, False, True, False), (False, True, False, True)}


def test_constant_batches_go_on_where_they_were_and_are_shared_out():
    loader = InMemoryLoader(TRAIN, batch_size=9, seed=1, constant=True)
    loader.load_state_dict({"batch": 1})
    assert same(epoch_of(loader, 3), streamed(9, 4)[7:8])
    parts = [streamed(9, 3, augmentation=AUGMENTED, shard=Shard(rank, 2)) for rank in (0, 1)]
    together = [[torch.cat([a, b]) for a, b in zip(x[:4], y[:4], strict=True)] for x, y in zip(*parts, strict=True)]
    assert same(together, streamed(9, 3, augmentation=AUGMENTED))


def test_the_order_is_new_in_each_epoch_and_for_each_seed():
    orders = [order_of(InMemoryLoader(TRAIN, batch_size=5, seed=seed), epoch) for seed in (1, 2) for epoch in range(3)]
    assert len(set(map(tuple, orders))) == 6
    assert list(range(N)) not in orders


@pytest.mark.parametrize("augmentation", [None, AUGMENTED])
def test_an_epoch_is_a_function_of_seed_and_epoch_alone(augmentation):
    def fresh():
        return InMemoryLoader(TRAIN, batch_size=5, seed=3, augmentation=augmentation)

    lived = fresh()
    for epoch in range(3):
        torch.manual_seed(epoch)
        np.random.seed(epoch)  # noqa: NPY002
        last = epoch_of(lived, epoch)
    assert same(last, epoch_of(fresh(), 2))
    assert same(last, epoch_of(lived, 2))
    assert not same(last, epoch_of(lived, 1))


def test_the_order_does_not_depend_on_batch_size_or_augmentation():
    order = order_of(InMemoryLoader(TRAIN, batch_size=5, seed=3), 1)
    assert order == order_of(InMemoryLoader(TRAIN, batch_size=9, seed=3, augmentation=AUGMENTED), 1)


def test_two_iterations_side_by_side_do_not_disturb_each_other():
    loader = InMemoryLoader(TRAIN, batch_size=5, seed=3, augmentation=AUGMENTED)
    one, other = zip(*zip(loader, loader, strict=True), strict=True)
    assert same(one, other)


def in_canonical_order(loader, epoch):
    index, image, *_ = joined(epoch_of(loader, epoch))
    return image[index.argsort()]


def test_augmentation_differs_between_epochs_seeds_and_batches():
    loaders = [InMemoryLoader(TRAIN, batch_size=5, seed=seed, augmentation=AUGMENTED) for seed in (1, 2)]
    images = [in_canonical_order(loader, epoch) for loader in loaders for epoch in range(2)]
    assert not any(torch.equal(images[i], images[j]) for i in range(4) for j in range(i))
    equal_images = make_dataset(train_images=np.broadcast_to(DATASET.train_images[:1], (N, *SHAPE)))
    loader = InMemoryLoader(on_device(equal_images, CPU)[0], batch_size=6, seed=1, augmentation=AUGMENTED)
    first, second, *_ = (batch.image for batch in epoch_of(loader))
    assert not torch.equal(first, second)


def test_a_blanked_pixel_has_the_mean_colour():
    assert not np.any(normalised(DATASET.train_images) == 0)
    image = joined(epoch_of(InMemoryLoader(TRAIN, batch_size=5, seed=1, augmentation=Augmentation(cutout=0.5))))[1]
    blank = (image == 0).all(dim=1)
    assert torch.equal(blank, (image == 0).any(dim=1))
    assert blank.flatten(1).any(dim=1).all()
    assert not blank.flatten(1).all(dim=1).any()


def test_a_subset_gives_its_examples_with_their_weights():
    loader = InMemoryLoader(TRAIN, batch_size=3, subset=SUBSET, seed=4)
    index, image, label, weight = joined(epoch_of(loader, 1))
    assert len(loader) == 3
    assert index.tolist() != SUBSET.indices.tolist()
    assert sorted(index.tolist()) == SUBSET.indices.tolist()
    assert dict(zip(index.tolist(), weight.tolist(), strict=True)) == dict(
        zip(SUBSET.indices.tolist(), SUBSET.weights.tolist(), strict=True)
    )
    assert label.tolist() == DATASET.train_labels[index].tolist()
    np.testing.assert_allclose(image, normalised(DATASET.train_images[index]), rtol=1e-5, atol=1e-5)


def test_without_a_seed_order_is_canonical_and_nothing_is_augmented():
    plain = InMemoryLoader(TRAIN, batch_size=5)
    augmented = InMemoryLoader(TRAIN, batch_size=5, augmentation=AUGMENTED)
    assert order_of(plain, 0) == order_of(plain, 3) == list(range(N))
    assert same(epoch_of(plain, 0), epoch_of(augmented, 3))
    assert order_of(InMemoryLoader(TRAIN, batch_size=3, subset=SUBSET), 1) == SUBSET.indices.tolist()


def test_training_images_are_normalised_to_mean_zero_and_deviation_one():
    image = joined(epoch_of(InMemoryLoader(TRAIN, batch_size=8, seed=0)))[1].double()
    assert image.mean(dim=(0, 2, 3)).abs().max() < 1e-6
    assert (image.std(dim=(0, 2, 3), correction=0) - 1).abs().max() < 1e-6


def test_test_images_are_normalised_as_the_training_images():
    index, image, label, _ = joined(epoch_of(InMemoryLoader(TEST, batch_size=3)))
    assert (index.tolist(), label.tolist()) == (list(range(7)), DATASET.test_labels.tolist())
    np.testing.assert_allclose(image, normalised(DATASET.test_images), rtol=1e-5, atol=1e-5)


def test_a_constant_channel_becomes_zero():
    images = DATASET.train_images.copy()
    images[..., 1] = 9
    train, _ = on_device(make_dataset(train_images=images), CPU)
    image = joined(epoch_of(InMemoryLoader(train, batch_size=8)))[1]
    assert torch.isfinite(image).all()
    assert not image[:, 1].any()


@pytest.mark.parametrize("augmentation", [None, AUGMENTED])
def test_memory_format(augmentation):
    def image(channels_last):
        loader = InMemoryLoader(TRAIN, batch_size=5, seed=0, augmentation=augmentation, channels_last=channels_last)
        return next(iter(loader)).image

    last, contiguous = image(True), image(False)
    assert last.is_contiguous(memory_format=torch.channels_last)
    assert contiguous.is_contiguous()
    assert not last.is_contiguous()
    assert torch.equal(last, contiguous)


def test_one_copy_serves_all_who_ask():
    assert on_device(DATASET, CPU) is on_device(DATASET, torch.device("cpu"))


def test_copies_follow_each_other_and_are_augmented_on_their_own():
    for augmentation in (None, AUGMENTED, Views()):
        loader = InMemoryLoader(TRAIN, batch_size=6, seed=1, augmentation=augmentation, copies=2)
        single = InMemoryLoader(TRAIN, batch_size=6, seed=1)
        for batch, plain in zip(epoch_of(loader), epoch_of(single), strict=True):
            assert torch.equal(batch.index, plain.index.repeat(2))
            assert torch.equal(batch.label, plain.label.repeat(2))
            first, second = batch.image.chunk(2)
            assert torch.equal(first, second) == (augmentation is None)


@pytest.mark.parametrize("world", [1, 2, 3, 5])
@pytest.mark.parametrize("batch_size", [3, 5, 7])
def test_shards_are_parts_of_the_same_batches(world, batch_size):
    options = {"batch_size": batch_size, "subset": SUBSET, "seed": 2, "augmentation": AUGMENTED}
    for epoch in (0, 3):
        whole = epoch_of(InMemoryLoader(TRAIN, **options), epoch)
        parts = {
            rank: epoch_of(InMemoryLoader(TRAIN, **options, shard=Shard(rank, world)), epoch) for rank in range(world)
        }
        for number, batch in enumerate(whole):
            if len(batch.index) < world:
                continue
            there = [parts[rank][number] for rank in range(world)]
            assert same([batch], [Batch(*joined(there), batch.size)])
            assert {part.size for part in there} == {batch.size} == {len(batch.index)}
            sizes = [len(part.index) for part in there]
            assert max(sizes) - min(sizes) <= 1


@given(size=st.integers(0, 100), world=st.integers(1, 20))
def test_shards_of_a_batch_hold_each_place_once(size, world):
    places = [place for rank in range(world) for place in range(size)[Shard(rank, world).of(size)]]
    assert places == list(range(size))


def test_empty_parts_are_left_out():
    loaders = [InMemoryLoader(TEST, batch_size=2, shard=Shard(rank, 3)) for rank in range(3)]
    assert all(len(batch.index) for loader in loaders for batch in loader)
    seen = sorted(index for loader in loaders for batch in loader for index in batch.index.tolist())
    assert seen == list(range(len(TEST.labels)))


@pytest.mark.parametrize("number", [0, 1, 2])
def test_it_goes_on_with_the_batch_that_was_yielded_last(number):
    options = {"batch_size": 3, "subset": SUBSET, "augmentation": AUGMENTED, "seed": 4}
    batches = epoch_of(InMemoryLoader(TRAIN, **options), epoch=2)
    stopped = InMemoryLoader(TRAIN, **options)
    stopped.sampler.set_epoch(2)
    for _ in zip(range(number + 1), stopped, strict=False):
        pass
    resumed = InMemoryLoader(TRAIN, **options)
    resumed.load_state_dict(stopped.state_dict())
    again = epoch_of(resumed, epoch=2)
    assert same(again, batches[number:])
    assert len(epoch_of(resumed, epoch=3)) == len(batches)


@pytest.mark.parametrize(
    ("side", "on_cpu", "elsewhere"), [(8, 1000, 1000), (32, 125, 1000), (64, 31, 250), (224, 8, 20)]
)
def test_passes_take_fewer_large_images_at_once_and_fewer_on_a_cpu(side, on_cpu, elsewhere):
    assert at_once((side, side, 3), "cpu") == on_cpu
    assert at_once((side, side, 3), "cuda") == elsewhere
