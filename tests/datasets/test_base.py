"""What every data set shares: validation, fingerprint, limit and label noise."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from winnow.core.errors import DatasetError, OptionError
from winnow.datasets.base import DatasetSpec, ImageDataset
from winnow.store.artifacts import ArtifactStore

SHARES = (60, 30, 10)


def made(**changes) -> ImageDataset:
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.repeat(np.arange(3), SHARES))
    parts = {
        "name": "made",
        "train_images": rng.integers(0, 256, (100, 4, 5, 1), dtype=np.uint8),
        "train_labels": labels,
        "test_images": rng.integers(0, 256, (6, 4, 5, 1), dtype=np.uint8),
        "test_labels": np.arange(6) % 3,
        "class_names": ("a", "b", "c"),
        "train_files": tuple(f"train/{i}.png" for i in range(100)),
        "planted": {"hard": np.arange(0, 100, 3), "easy": np.arange(1, 100, 3)},
    }
    return ImageDataset(**(parts | changes))


@dataclass(frozen=True, kw_only=True)
class Made(DatasetSpec):
    def read(self, store):
        return made()


@pytest.fixture
def store(tmp_path):
    return ArtifactStore(tmp_path / "artifacts")


def test_an_example_carries_its_index_image_and_label():
    dataset = made()
    index, image, label = dataset[7]
    assert (index, label) == (7, dataset.train_labels[7])
    np.testing.assert_array_equal(image, dataset.train_images[7])
    assert (len(dataset), dataset.n_test, dataset.n_classes, dataset.image_shape) == (100, 6, 3, (4, 5, 1))


@pytest.mark.parametrize("field", ["train_images", "test_images", "train_labels", "test_labels"])
def test_fingerprint_changes_with_a_single_value(field):
    dataset = made()
    changed = getattr(dataset, field).copy()
    changed.flat[-1] = (changed.flat[-1] + 1) % 3
    assert made(**{field: changed}).fingerprint != dataset.fingerprint


def test_fingerprint_is_the_same_for_the_same_content_and_starts_with_the_name():
    assert made().fingerprint == made().fingerprint
    assert made().fingerprint.startswith("made-")
    assert made(train_images=np.asfortranarray(made().train_images)).fingerprint == made().fingerprint


@pytest.mark.parametrize(
    "changes",
    [
        {"train_images": np.zeros((100, 4, 5, 1), dtype=np.float32)},
        {"train_images": np.zeros((100, 4, 5), dtype=np.uint8)},
        {"train_images": np.zeros((99, 4, 5, 1), dtype=np.uint8)},
        {"test_images": np.zeros((0, 4, 5, 1), dtype=np.uint8), "test_labels": np.zeros(0, dtype=np.int64)},
        {"train_labels": np.full(100, 3)},
        {"test_labels": np.full(6, -1)},
    ],
)
def test_malformed_parts_are_refused(changes):
    with pytest.raises(DatasetError, match="made"):
        made(**changes)


def test_limit_keeps_class_proportions(store):
    for limit in (10, 33, 50, 99):
        dataset = Made(limit=limit).load(store)
        assert dataset.n == limit
        expected = np.array(SHARES) / 100 * limit
        assert np.all(np.abs(np.bincount(dataset.train_labels, minlength=3) - expected) <= 1)


def test_limit_renumbers_everything_alike(store):
    whole, limited = made(), Made(limit=40).load(store)
    source = limited.source_index
    assert np.all(np.diff(source) > 0)
    np.testing.assert_array_equal(limited.train_images, whole.train_images[source])
    np.testing.assert_array_equal(limited.train_labels, whole.train_labels[source])
    assert limited.train_files == tuple(whole.train_files[i] for i in source)
    np.testing.assert_array_equal(limited.test_images, whole.test_images)
    for kind, indices in whole.planted.items():
        expected = np.intersect1d(indices, source)
        assert expected.size
        np.testing.assert_array_equal(source[limited.planted[kind]], expected)
    assert limited.fingerprint != whole.fingerprint


def test_limit_of_n_or_more_changes_nothing(store):
    assert Made(limit=100).load(store).fingerprint == made().fingerprint
    assert Made(limit=1000).load(store).source_index is None


def test_limit_is_seeded(store):
    first, again, other = (Made(limit=40, noise_seed=s).load(store).source_index for s in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_label_noise_flips_exactly_the_stated_examples_to_another_class(store):
    whole, noisy = made(), Made(label_noise=0.25).load(store)
    flipped = noisy.planted["flipped"]
    assert flipped.size == 25
    np.testing.assert_array_equal(np.flatnonzero(noisy.train_labels != whole.train_labels), flipped)
    assert set(noisy.train_labels) <= {0, 1, 2}
    np.testing.assert_array_equal(noisy.test_labels, whole.test_labels)
    np.testing.assert_array_equal(noisy.planted["hard"], whole.planted["hard"])
    assert noisy.fingerprint != whole.fingerprint


def test_label_noise_reaches_every_other_class(store):
    whole, noisy = made(), Made(label_noise=0.9).load(store)
    flipped = noisy.planted["flipped"]
    pairs = set(zip(whole.train_labels[flipped], noisy.train_labels[flipped], strict=True))
    assert pairs == {(a, b) for a in range(3) for b in range(3) if a != b}


def test_label_noise_of_a_limited_set_flips_among_the_kept(store):
    limited, noisy = Made(limit=40).load(store), Made(limit=40, label_noise=0.5).load(store)
    np.testing.assert_array_equal(noisy.source_index, limited.source_index)
    np.testing.assert_array_equal(np.flatnonzero(noisy.train_labels != limited.train_labels), noisy.planted["flipped"])
    assert noisy.planted["flipped"].size == 20


@pytest.mark.parametrize("options", [{"label_noise": 1.0}, {"label_noise": -0.1}, {"limit": 0}])
def test_options_out_of_range_are_refused(options):
    with pytest.raises(OptionError, match=f"dataset.{next(iter(options))}"):
        Made(**options)


def test_limit_under_one_example_a_class_is_refused(store):
    with pytest.raises(OptionError, match="3 classes"):
        replace(Made(), limit=2).load(store)
