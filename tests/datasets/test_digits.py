"""The digits of scikit-learn: conversion, split and order."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from winnow.datasets.digits import Digits
from winnow.store.artifacts import ArtifactStore


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return Digits().load(ArtifactStore(tmp_path_factory.mktemp("artifacts")))


@pytest.fixture(scope="module")
def source():
    return load_digits()


def positions(images, source) -> np.ndarray:
    """Where each image stands in the source (its 1,797 images are all different)."""
    where = {image.astype(np.uint8).tobytes(): i for i, image in enumerate(source.images)}
    assert len(where) == 1797
    return np.array([where[np.rint(image * (16 / 255)).astype(np.uint8).tobytes()] for image in images[..., 0]])


def test_shapes_and_grey_levels(digits, source):
    assert digits.train_images.shape == (1437, 8, 8, 1)
    assert digits.test_images.shape == (360, 8, 8, 1)
    assert digits.class_names == tuple("0123456789")
    levels = np.unique(digits.train_images)
    assert levels.tolist() == [int(v * 255 / 16 + 0.5) for v in range(17)]


def test_order_is_that_of_the_source_and_every_example_is_on_one_side(digits, source):
    train, test = positions(digits.train_images, source), positions(digits.test_images, source)
    assert np.all(np.diff(train) > 0)
    assert np.all(np.diff(test) > 0)
    np.testing.assert_array_equal(np.sort(np.concatenate([train, test])), np.arange(1797))
    np.testing.assert_array_equal(digits.train_labels, source.target[train])
    np.testing.assert_array_equal(digits.test_labels, source.target[test])


def test_split_holds_the_classes_in_proportion(digits, source):
    expected = np.bincount(source.target) * 360 / 1797
    assert np.all(np.abs(np.bincount(digits.test_labels) - expected) <= 1)


def test_the_split_never_moves(digits):
    # Results name examples by index and data by fingerprint: a change here makes published ones meaningless.
    assert digits.fingerprint == "digits-0d831758e850"
