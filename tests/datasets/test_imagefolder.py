"""Image folders: order, decoding, the cache of decoded images, and every error."""

import logging
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from winnow.core.errors import DatasetError, OptionError
from winnow.datasets import imagefolder, progress
from winnow.datasets.imagefolder import ImageFolder
from winnow.store.artifacts import ArtifactStore
from winnow.store.keys import describe


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, dtype=np.uint8)).save(path)


def grey(value, size=(8, 8)):
    return np.full((*size, 3), value)


@pytest.fixture
def root(tmp_path):
    """Each training image has a grey level of its own, so that the order can be read from the pixels."""
    root = tmp_path / "pets"
    for i in (1, 2, 10, 11):
        save(root / "train" / "cat" / f"img{i}.png", grey(i))
        save(root / "train" / "dog" / f"img{i}.png", grey(100 + i))
    save(root / "test" / "cat" / "a.png", grey(50))
    save(root / "test" / "dog" / "a.png", grey(150))
    return root


@pytest.fixture
def store(tmp_path):
    return ArtifactStore(tmp_path / "artifacts")


@pytest.fixture
def decoded(monkeypatch):
    """The files decoded so far."""
    seen = []
    decode = imagefolder.decode_image

    def counting(path, *options):
        seen.append(path.name)
        return decode(path, *options)

    monkeypatch.setattr(imagefolder, "decode_image", counting)
    return seen


def artifacts(store):
    folder = store.root / "images"
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def fails(store, match, root, **options):
    with pytest.raises(DatasetError, match=match):
        ImageFolder(root=str(root), **options).load(store)
    assert artifacts(store) == []


def test_order_is_by_class_then_by_natural_file_name(root, store):
    dataset = ImageFolder(root=str(root), size=8).load(store)
    assert dataset.name == "pets"
    assert dataset.class_names == ("cat", "dog")
    assert dataset.train_images[:, 0, 0, 0].tolist() == [1, 2, 10, 11, 101, 102, 110, 111]
    assert dataset.train_labels.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert dataset.test_images[:, 0, 0, 0].tolist() == [50, 150]
    assert dataset.train_files[1:3] == ("train/cat/img2.png", "train/cat/img10.png")


def test_order_holds_over_many_tasks_and_threads(tmp_path, store, monkeypatch):
    monkeypatch.setattr(imagefolder, "FILES_PER_TASK", 3)
    for i in range(120):
        save(tmp_path / "many" / "train" / "ab"[i % 2] / f"{i}.png", grey(i))
    shutil.copytree(tmp_path / "many" / "train" / "a", tmp_path / "many" / "test" / "a")
    dataset = ImageFolder(root=str(tmp_path / "many"), size=8, workers=4).load(store)
    assert dataset.train_images[:, 0, 0, 0].tolist() == [*range(0, 120, 2), *range(1, 120, 2)]


def test_images_are_read_only_memory_maps(root, store):
    dataset = ImageFolder(root=str(root)).load(store)
    for images in (dataset.train_images, dataset.test_images):
        assert isinstance(images, np.memmap)
        assert images.shape[1:] == (32, 32, 3)
        with pytest.raises(ValueError, match="read-only"):
            images[0] = 0


def test_images_are_decoded_once(root, store, decoded):
    first = ImageFolder(root=str(root)).load(store)
    assert len(decoded) == 10
    again = ImageFolder(root=str(root), workers=1, limit=4, label_noise=0.5).load(store)
    assert len(decoded) == 10
    assert again.n == 4
    same = ImageFolder(root=str(root)).load(store)
    assert same.fingerprint == first.fingerprint
    np.testing.assert_array_equal(same.train_images, first.train_images)
    np.testing.assert_array_equal(same.train_labels, first.train_labels)


def test_loading_does_not_hash_the_images_again(root, store, monkeypatch):
    fingerprint = ImageFolder(root=str(root)).load(store).fingerprint
    monkeypatch.setattr("winnow.datasets.base.ImageDataset._hash", lambda self: pytest.fail("hashed"))
    assert ImageFolder(root=str(root)).load(store).fingerprint == fingerprint


@pytest.mark.parametrize("options", [{"size": 16}, {"resize": "squash"}, {"channels": 1}])
def test_another_size_resize_or_channels_is_decoded_anew(root, store, decoded, options):
    ImageFolder(root=str(root)).load(store)
    ImageFolder(root=str(root), **options).load(store)
    assert len(decoded) == 20


def test_a_new_modification_time_is_decoded_anew_with_the_same_fingerprint(root, store, decoded):
    first = ImageFolder(root=str(root)).load(store)
    os.utime(root / "train" / "cat" / "img1.png", ns=(1, 1))
    second = ImageFolder(root=str(root)).load(store)
    assert len(decoded) == 20
    assert second.fingerprint == first.fingerprint


def test_fingerprint_is_by_content_not_by_file_name(root, store):
    first = ImageFolder(root=str(root)).load(store).fingerprint
    (root / "train" / "cat" / "img1.png").rename(root / "train" / "cat" / "img0.png")
    assert ImageFolder(root=str(root)).load(store).fingerprint == first
    save(root / "train" / "cat" / "img0.png", grey(3))
    assert ImageFolder(root=str(root)).load(store).fingerprint != first


def test_where_the_files_are_is_not_part_of_the_key():
    assert describe(ImageFolder(root="a", workers=3)) == describe(ImageFolder(root="b"))
    assert describe(ImageFolder(root="a", size=64)) != describe(ImageFolder(root="a"))


def test_crop_takes_the_centre_and_squash_takes_all(root, store):
    stripes = np.zeros((20, 60, 3))
    stripes[:, :20], stripes[:, 20:40], stripes[:, 40:] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    for i in (1, 2):
        save(root / "train" / "cat" / f"img{i}.png", stripes if i == 1 else stripes.transpose(1, 0, 2))
    crop = ImageFolder(root=str(root), size=10).load(store).train_images
    for image in crop[:2]:
        assert image.shape == (10, 10, 3)
        inner = image[1:-1, 1:-1]  # the antialiasing of the outermost pixels reaches over the cut
        np.testing.assert_array_equal(inner, np.broadcast_to((0, 255, 0), inner.shape))
    squash = ImageFolder(root=str(root), size=9, resize="squash").load(store).train_images
    for image in (squash[0], squash[1].transpose(1, 0, 2)):
        np.testing.assert_array_equal(image[4, [0, 4, 8]], np.diag([255, 255, 255]))


def test_small_images_are_enlarged(root, store):
    assert ImageFolder(root=str(root), size=64).load(store).train_images[0].tolist() == grey(1, (64, 64)).tolist()


def test_grey_colour_palette_and_sixteen_bit_files(root, store):
    cat = root / "train" / "cat"
    save(cat / "img1.png", np.full((8, 8), 77))
    Image.fromarray(grey(88).astype(np.uint8)).quantize(4).save(cat / "img2.png")
    Image.fromarray(np.full((8, 8), 99 * 256 + 5, dtype=np.uint16)).save(cat / "img10.png")
    save(cat / "img11.png", np.full((8, 8, 4), 66))
    for channels in (1, 3):
        images = ImageFolder(root=str(root), channels=channels).load(store).train_images
        assert images.shape[1:] == (32, 32, channels)
        for image, value in zip(images, (77, 88, 99, 66), strict=False):
            assert np.all(image == value)


def test_photographs_are_turned_upright(root, store):
    halves = np.zeros((32, 32, 3), dtype=np.uint8)
    halves[:16] = 255  # white above; orientation 3 says that the camera was upside down
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.fromarray(halves).save(root / "train" / "cat" / "img1.png", exif=exif)
    image = ImageFolder(root=str(root)).load(store).train_images[0]
    assert image[:16].max() == 0
    assert image[16:].min() == 255


def test_a_large_jpeg_keeps_its_content(root, store):
    rows = np.broadcast_to(np.linspace(0, 255, 800)[:, None, None], (800, 900, 3)).astype(np.uint8)
    (root / "train" / "cat" / "img1.png").unlink()
    Image.fromarray(rows).save(root / "train" / "cat" / "img1.jpg", quality=95)
    image = ImageFolder(root=str(root), size=16).load(store).train_images[0].astype(int)
    np.testing.assert_allclose(image[:, 8, 0], (np.arange(16) + 0.5) / 16 * 255, atol=3)


def test_other_and_hidden_files_are_ignored_and_folders_below_a_class_belong_to_it(root, store):
    (root / "train" / "cat" / "notes.txt").write_text("x")
    (root / "train" / "cat" / ".img3.png").write_text("x")
    (root / "train" / ".cache").mkdir()
    save(root / "train" / "dog" / "puppies" / "1.PNG", grey(9))
    dataset = ImageFolder(root=str(root)).load(store)
    assert dataset.n == 9
    assert dataset.train_files[-1] == "train/dog/puppies/1.PNG"


def test_val_serves_where_there_is_no_test(root, store):
    save(root / "val" / "cat" / "b.png", grey(7))
    assert ImageFolder(root=str(root)).load(store).n_test == 2
    shutil.rmtree(root / "test")
    assert ImageFolder(root=str(root)).load(store).test_images[:, 0, 0, 0].tolist() == [7]


def test_unreadable_files_are_named_and_counted(root, store):
    for i in range(12):
        (root / "train" / "cat" / f"bad{i}.jpg").write_text("not an image")
    whole = (root / "train" / "dog" / "img1.png").read_bytes()
    (root / "train" / "dog" / "img1.png").write_bytes(whole[: len(whole) // 2])
    fails(store, r"^13 of 22 files in .*pets cannot be read: train/cat/bad0\.jpg, .*bad9\.jpg, \.\.\. ", root)


def test_a_link_that_leads_nowhere_is_unreadable(root, store):
    (root / "test" / "dog" / "b.png").symlink_to(root / "nowhere.png")
    fails(store, r"^1 of 11 files in .*: test/dog/b\.png .*allow_unreadable=true", root)


def test_allowed_unreadable_files_are_left_out_with_a_warning(root, store, caplog):
    clean = ImageFolder(root=str(root), size=8).load(store)
    (root / "train" / "cat" / "img5.png").write_text("x")
    (root / "test" / "cat" / "0.png").write_text("x")
    spec = ImageFolder(root=str(root), size=8, allow_unreadable=True)
    for _ in range(2):  # decoded, then from the store
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            dataset = spec.load(store)
        assert "left out 2 unreadable files of 12" in caplog.text
        assert dataset.fingerprint == clean.fingerprint
        np.testing.assert_array_equal(dataset.train_images, clean.train_images)
        np.testing.assert_array_equal(dataset.train_labels, clean.train_labels)
        np.testing.assert_array_equal(dataset.test_images, clean.test_images)
        assert dataset.train_files == clean.train_files
    with pytest.raises(DatasetError, match="2 of 12 files"):
        ImageFolder(root=str(root), size=8).load(store)


def test_a_class_or_test_set_without_a_readable_image_is_refused(root, store):
    for path in (root / "train" / "dog").iterdir():
        path.write_text("x")
    fails(store, "train/dog has no readable image", root, allow_unreadable=True)
    for part in ("cat", "dog"):
        save(root / "train" / "dog" / "img1.png", grey(1))
        (root / "test" / part / "a.png").write_text("x")
    fails(store, "the test set has no readable image", root, allow_unreadable=True)


def test_missing_data_folder(tmp_path, store):
    fails(store, r"no data folder .*nowhere; expected train/<class>/<image>", tmp_path / "nowhere")


@pytest.mark.parametrize(("part", "named"), [("train", "no train/"), ("test", "no test/ or val/")])
def test_missing_part(root, store, part, named):
    shutil.rmtree(root / part)
    fails(store, rf"pets has {named}; expected train/<class>/<image>", root)


@pytest.mark.parametrize("part", ["train", "test"])
def test_empty_class_folder(root, store, part):
    shutil.rmtree(root / part / "cat")
    (root / part / "cat").mkdir()
    fails(store, rf"class folder .*{part}/cat has no images", root)


def test_a_test_class_that_training_lacks(root, store):
    save(root / "test" / "emu" / "a.png", grey(1))
    fails(store, r"a class that .*train lacks: emu", root)


def test_fewer_than_two_classes(root, store):
    shutil.rmtree(root / "train" / "dog")
    fails(store, "1 class folders; expected at least two", root)


def test_test_folder_without_classes(root, store):
    shutil.rmtree(root / "test")
    (root / "test").mkdir()
    fails(store, "test has no class folders", root)


def test_an_interruption_leaves_no_artifact(root, store, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(imagefolder, "decode_image", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ImageFolder(root=str(root)).load(store)
    assert artifacts(store) == []


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"resize": "stretch"}, "crop, squash"),
        ({"channels": 4}, "1, 3"),
        ({"size": 0}, "size=0"),
        ({"workers": 0}, "workers=0"),
    ],
)
def test_options_outside_their_set_are_refused(options, named):
    with pytest.raises(OptionError, match=named):
        ImageFolder(root="any", **options)


def test_progress_is_logged_where_there_is_no_terminal(root, store, monkeypatch, caplog):
    monkeypatch.setattr(progress, "SECONDS_PER_LOG_LINE", 0.0)
    with caplog.at_level(logging.INFO):
        ImageFolder(root=str(root)).load(store)
    assert "decoded 8 of 10 images" in caplog.text
    assert "s left" in caplog.text


def test_progress_is_a_bar_on_a_terminal(root, store, monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    ImageFolder(root=str(root)).load(store)
    assert "10/10" in capsys.readouterr().err
