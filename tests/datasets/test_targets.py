"""A target set is read as the data set is, named by its content, and never of the test part."""

import logging
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from helpers.photos import grey, make_photos
from helpers.training import normalised
from winnow.core.errors import DatasetError
from winnow.datasets.digits import Digits
from winnow.datasets.image_files import decode_image
from winnow.datasets.imagefolder import ImageFolder
from winnow.datasets.loader import InMemoryLoader, on_device
from winnow.datasets.targets import read_targets
from winnow.store.artifacts import ArtifactStore


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return ArtifactStore(tmp_path_factory.mktemp("store"))


@pytest.fixture
def photos(tmp_path):
    return make_photos(tmp_path / "photos")


@pytest.fixture
def dataset(photos, store):
    return ImageFolder(root=str(photos), size=8).load(store)


@pytest.fixture
def mine(tmp_path):
    """Two classes of three, in an order that letters would not give."""
    for name, level in (("emu/img10.png", 33), ("emu/img2.png", 32), ("cat/more/img1.png", 31)):
        grey(tmp_path / "mine" / name, level)
    return tmp_path / "mine"


def test_in_canonical_order_with_the_labels_of_the_data_set(dataset, mine):
    targets = read_targets(dataset, mine)
    assert targets.images.shape == (3, 8, 8, 3)
    assert targets.images[:, 0, 0, 0].tolist() == [31, 32, 33]
    assert targets.labels.tolist() == [0, 2, 2]
    assert targets.n == 3


@pytest.mark.parametrize("resize", ["crop", "squash"])
def test_decoded_as_the_data_set_is(resize, photos, store, mine):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(mine / "cat" / "wide.png")
    Image.fromarray(pixels).save(photos / "train" / "cat" / "wide.png")
    dataset = ImageFolder(root=str(photos), size=9, resize=resize, channels=1).load(store)
    trained = dataset.train_images[dataset.train_files.index("train/cat/wide.png")]
    targets = read_targets(dataset, mine)
    assert targets.images.shape == (4, 9, 9, 1)
    np.testing.assert_array_equal(targets.images[1], trained)


def test_digits_take_photographs_too(store, tmp_path):
    dataset = Digits(limit=100).load(store)
    pixels = np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    (tmp_path / "7").mkdir()
    Image.fromarray(pixels).save(tmp_path / "7" / "a.png")
    targets = read_targets(dataset, tmp_path)
    assert (targets.images.shape, targets.labels.tolist()) == ((1, 8, 8, 1), [7])
    np.testing.assert_array_equal(targets.images[0], decode_image(tmp_path / "7" / "a.png", 8, "crop", 1))


def test_the_digest_is_of_the_content(dataset, mine, tmp_path):
    first = read_targets(dataset, mine).digest
    moved = shutil.move(mine, tmp_path / "elsewhere")
    assert read_targets(dataset, moved).digest == first
    (moved / "emu").rename(moved / "dog")
    assert read_targets(dataset, moved).digest != first
    (moved / "dog").rename(moved / "emu")
    grey(moved / "emu" / "img3.png", 90)
    assert read_targets(dataset, moved).digest != first


def test_normalised_by_the_training_set(dataset, mine):
    train, _ = on_device(dataset, torch.device("cpu"))
    targets = read_targets(dataset, mine)
    (batch,) = InMemoryLoader(targets.on_device(train), batch_size=9)
    torch.testing.assert_close(batch.image, normalised(dataset, targets.images))
    assert batch.label.tolist() == [0, 2, 2]


def refused(dataset, folder, told):
    with pytest.raises(DatasetError, match=told):
        read_targets(dataset, folder)


def test_the_test_part_is_refused(dataset, photos, mine, tmp_path):
    told = "nothing may be selected by test images"
    refused(dataset, photos / "test", told)
    (tmp_path / "link").symlink_to(photos / "test")
    refused(dataset, tmp_path / "link", told)
    (mine / "dog").symlink_to(photos / "test" / "dog")
    refused(dataset, mine, told)
    shutil.copytree(photos / "test", tmp_path / "copy")
    refused(dataset, tmp_path / "copy", told)


def test_val_is_refused_where_it_is_the_test_set_and_taken_where_it_is_not(photos, store, mine):
    shutil.copytree(mine, photos / "val")
    dataset = ImageFolder(root=str(photos), size=8).load(store)
    assert read_targets(dataset, photos / "val").n == 3
    shutil.rmtree(photos / "test")
    grey(photos / "val" / "dog" / "img1.png", 200)
    refused(ImageFolder(root=str(photos), size=8).load(store), photos / "val", "nothing may be selected by test")


def test_some_test_images_among_the_targets_give_a_warning(dataset, photos, mine, caplog):
    shutil.copy(photos / "test" / "cat" / "img1.png", mine / "cat" / "again.png")
    with caplog.at_level(logging.WARNING):
        assert read_targets(dataset, mine).n == 4
    assert "1 of 4 images" in caplog.text


def test_what_else_is_refused(dataset, mine, tmp_path):
    refused(dataset, tmp_path / "nothing", "there is no folder")
    (tmp_path / "empty" / "cat").mkdir(parents=True)
    refused(dataset, tmp_path / "empty", "has no images")
    grey(mine / "yak" / "1.png", 9)
    refused(dataset, mine, "has a class that photos lacks: yak; name its folders as the classes there: cat, dog, emu")
    shutil.rmtree(mine / "yak")
    (mine / "cat" / "broken.png").write_text("no image")
    refused(dataset, mine, r"broken\.png cannot be read")
