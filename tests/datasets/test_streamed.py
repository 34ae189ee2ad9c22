"""Images that stay in their files: how they are decoded, indexed and named."""

import os
import shutil
import subprocess

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torchvision.datasets import ImageFolder as TorchImageFolder
from torchvision.transforms import v2

from helpers.jpegs import TURNED, UPSIDE_DOWN, make_jpegs, photo
from winnow.core.errors import DatasetError, OptionError
from winnow.datasets import streamed as streamed_module
from winnow.datasets.image_files import decode_whole
from winnow.datasets.imagefolder import ImageFolder
from winnow.datasets.imagenet import ImageNet
from winnow.store.artifacts import ArtifactStore

SIZE = 14


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return make_jpegs(tmp_path_factory.mktemp("photos"))


@pytest.fixture
def copied(root, tmp_path):
    """The folder again, to be changed; copies keep times."""
    return shutil.copytree(root, tmp_path / root.name)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return ArtifactStore(tmp_path_factory.mktemp("store"))


def load(root, store, **options):
    return ImageFolder(root=str(root), **({"storage": "stream", "size": SIZE} | options)).load(store)


def test_a_stream_is_the_same_examples_in_the_same_order_as_in_memory(root, store):
    stream, memory = load(root, store), load(root, store, storage="memory")
    for name in ("train_files", "class_names", "name", "folder", "resize", "n", "n_test", "image_shape"):
        assert getattr(stream, name) == getattr(memory, name)
    assert stream.train_labels.tolist() == memory.train_labels.tolist()
    assert stream.test_labels.tolist() == memory.test_labels.tolist()
    assert stream.streams
    assert not memory.streams
    assert stream.fingerprint != memory.fingerprint
    assert stream.slug == memory.slug


def test_nothing_is_decoded_or_stored_before_it_is_needed(root, tmp_path, monkeypatch):
    monkeypatch.setattr(streamed_module, "decode_whole", lambda *_: pytest.fail("decoded"))
    dataset = load(root, ArtifactStore(tmp_path / "none"), limit=10, label_noise=0.2)
    assert dataset.n == 10
    assert not (tmp_path / "none").exists()


def test_evaluation_is_torchvisions_resize_and_centre_crop(root, store):
    """224 of 256 on the short side, by torchvision's own transforms of what Pillow decodes of JPEG and PNG."""
    dataset = load(root, store, size=28)
    steps = v2.Compose([v2.PILToTensor(), v2.Resize(32, antialias=True), v2.CenterCrop(28)])
    for index, file in enumerate(dataset.train_files):
        with Image.open(root / file) as image:
            expected = steps(ImageOps.exif_transpose(image).convert("RGB")).permute(1, 2, 0).numpy()
        np.testing.assert_array_equal(dataset.train_images[index], expected)


def test_the_labels_are_those_of_torchvisions_imagefolder(root, store):
    dataset, theirs = load(root, store), TorchImageFolder(root / "train")
    files = [str(root / file) for file in dataset.train_files]
    assert dict(zip(files, dataset.train_labels.tolist(), strict=True)) == dict(theirs.samples)


def test_indexing_is_that_of_an_array(root, store):
    images = load(root, store).train_images
    assert (images.shape, images.ndim, images.dtype, len(images)) == ((24, SIZE, SIZE, 3), 4, np.uint8, 24)
    whole = images[:]
    assert whole.shape == images.shape
    assert whole.dtype == np.uint8
    np.testing.assert_array_equal(images[7], whole[7])
    np.testing.assert_array_equal(images[-1], whole[-1])
    np.testing.assert_array_equal(images[np.array([5, 2, 5])], whole[[5, 2, 5]])
    np.testing.assert_array_equal(images[whole[:, 0, 0, 0] > 99], whole[whole[:, 0, 0, 0] > 99])
    np.testing.assert_array_equal(images[20:], whole[20:])
    with pytest.raises(IndexError):
        images[24]
    assert len({image.tobytes() for image in whole}) == 24


def test_an_example_of_the_data_set(root, store):
    dataset = load(root, store)
    index, image, label = dataset[9]
    assert (index, label) == (9, dataset.train_labels[9])
    np.testing.assert_array_equal(image, dataset.train_images[9])


def test_a_stream_refuses_to_become_an_array(root, store):
    with pytest.raises(DatasetError, match="streamed and never held all at once"):
        np.asarray(load(root, store).train_images)


def test_squash_shows_the_whole_image_and_grey_has_one_channel(root, store):
    squash = load(root, store, resize="squash", size=20).train_images
    whole = decode_whole(squash.path(0), 3)
    np.testing.assert_array_equal(squash[0], v2.functional.resize(whole, [20, 20]).permute(1, 2, 0).numpy())
    grey = load(root, store, channels=1)
    assert grey.image_shape == (SIZE, SIZE, 1)
    colour = load(root, store).train_images[:].astype(float) @ (0.299, 0.587, 0.114)
    assert np.abs(grey.train_images[:][..., 0] - colour).max() < 12  # a JPEG has its own, before its colours are cut


@pytest.mark.parametrize("orientation", [1, UPSIDE_DOWN, TURNED, 5])
@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "tiff"])
def test_every_kind_of_file_is_upright_as_pillow_turns_it(tmp_path, ending, orientation):
    path = tmp_path / f"a.{ending}"
    photo(path, 3, height=20, width=31, orientation=orientation)
    with Image.open(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    assert expected.shape[:2] == ((20, 31) if orientation in (1, 3) else (31, 20))
    np.testing.assert_array_equal(decode_whole(path, 3).permute(1, 2, 0).numpy(), expected)


def test_modes_of_files(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (12, 9, 4), dtype=np.uint8)
    colour = Image.fromarray(pixels[..., :3])
    colour.convert("CMYK").save(tmp_path / "cmyk.jpg")
    colour.convert("L").save(tmp_path / "grey.jpg")
    Image.fromarray(pixels, "RGBA").save(tmp_path / "alpha.png")
    colour.quantize(16).save(tmp_path / "palette.png")
    colour.quantize(16).save(tmp_path / "a.gif")
    colour.save(tmp_path / "named wrongly.jpg", format="PNG")
    for path in tmp_path.iterdir():
        with Image.open(path) as image:
            expected = np.asarray(image.convert("RGB"))
        np.testing.assert_array_equal(decode_whole(path, 3).permute(1, 2, 0).numpy(), expected, err_msg=path.name)
    deep = np.linspace(0, 65535, 12 * 9).reshape(12, 9).astype(np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    np.testing.assert_array_equal(decode_whole(tmp_path / "deep.png", 1)[0].numpy(), deep >> 8)


def test_a_random_crop_is_a_function_of_its_seed_alone(root, store):
    images = load(root, store).train_images
    state = torch.get_rng_state()
    first = images.augmented(4, flip=True, seed=1)
    torch.manual_seed(5)
    assert torch.equal(images.augmented(4, flip=True, seed=1), first)
    assert not torch.equal(images.augmented(4, flip=True, seed=2), first)
    torch.set_rng_state(state)
    images.augmented(4, flip=True, seed=3)
    assert torch.equal(torch.get_rng_state(), state)


def test_crops_are_within_their_area_and_mirrored_half_of_the_time(tmp_path, store):
    """Of a ramp, whose ends say how much of it is shown, and which way round."""
    ramp = np.repeat(np.linspace(0, 255, 80, dtype=np.uint8)[None, :, None], 60, axis=0).repeat(3, axis=2)
    for part, name in (("train", "a"), ("train", "b"), ("test", "a")):
        path = tmp_path / "ramps" / part / name / "ramp.png"
        path.parent.mkdir(parents=True)
        Image.fromarray(ramp).save(path)

    def shown(least_area, flip):
        images = load(tmp_path / "ramps", store, least_area=least_area).train_images
        drawn = [images.augmented(0, flip=flip, seed=seed)[0].float() for seed in range(300)]
        return np.array([float(image[:, -1].mean() - image[:, 0].mean()) / 255 for image in drawn])

    signs = np.sign(shown(0.08, flip=True))
    assert 110 < (signs > 0).sum() < 190
    small, large = shown(0.08, flip=False), shown(0.9, flip=False)
    assert (small > 0).all()
    # A crop of area a and ratio ρ is √(aρ·60/80) wide; its outermost pixels average over a fourteenth of it.
    assert small.min() < 0.3
    assert large.min() > 0.9 * np.sqrt(0.9 * 0.75 * 0.75) > small.mean()


def test_the_fingerprint_is_of_names_and_sizes_and_how_they_are_decoded(root, copied, store):
    first = load(root, store).fingerprint
    assert load(copied, store).fingerprint == first
    os.utime(copied / "train" / "ant" / "img1.jpg", ns=(1, 1))
    assert load(copied, store, name="mine", workers=3).fingerprint == first
    changes = [{"size": 16}, {"resize": "squash"}, {"channels": 1}, {"least_area": 0.5}, {"limit": 12}]
    changes += [{"label_noise": 0.2}]
    others = [load(root, store, **change).fingerprint for change in changes]
    assert len({first, *others}) == 1 + len(changes)
    (copied / "train" / "ant" / "img1.jpg").rename(copied / "train" / "ant" / "img0.jpg")
    renamed = load(copied, store).fingerprint
    with (copied / "val" / "ant" / "img1.jpg").open("ab") as file:
        file.write(b"\0")
    assert len({first, renamed, load(copied, store).fingerprint}) == 3


def test_limit_and_label_noise(root, store):
    whole, part = load(root, store), load(root, store, limit=9, label_noise=0.3)
    assert part.n == 9
    assert np.bincount(whole.train_labels[part.source_index]).tolist() == [3, 3, 3]
    assert part.train_files == tuple(whole.train_files[i] for i in part.source_index)
    for index, source in enumerate(part.source_index):
        np.testing.assert_array_equal(part.train_images[index], whole.train_images[source])
    flipped = np.flatnonzero(part.train_labels != whole.train_labels[part.source_index])
    assert flipped.tolist() == part.planted["flipped"].tolist()
    assert flipped.size == 3
    assert len(part.test_images) == whole.n_test


def test_a_damaged_file_is_named_when_it_is_met(copied, store):
    (copied / "train" / "bee" / "img2.jpg").write_bytes(b"\xff\xd8\xff and no more")
    dataset = load(copied, store)
    with pytest.raises(DatasetError, match=r"train/bee/img2\.jpg cannot be read .* repair or remove it"):
        dataset.train_images[9]
    (copied / "train" / "bee" / "img2.jpg").unlink()
    with pytest.raises(DatasetError, match=r"img2\.jpg cannot be read \(FileNotFoundError"):
        dataset.train_images[9]


def test_options_that_no_stream_has(root):
    def refused(match, **options):
        with pytest.raises(OptionError, match=match):
            ImageFolder(root=str(root), storage="stream", **options)

    refused("dataset.least_area=0 must be a fraction", least_area=0)
    refused("dataset.workers=-1 must be at least 0", workers=-1)
    refused("decodes none before it is needed", allow_unreadable=True)
    with pytest.raises(OptionError, match="choose one of: memory, stream"):
        ImageFolder(root=str(root), storage="disk")
    with pytest.raises(OptionError, match=r"dataset\.workers=0 must be at least 1"):
        ImageFolder(root=str(root), workers=0)


def test_imagenet_is_a_stream_of_224_with_wnids_for_names(tmp_path, store):
    root = make_jpegs(tmp_path, train=3, test=1, classes=("n01440764", "n01443537"))
    (root / "test").mkdir()
    photo(root / "test" / "ILSVRC2012_test_00000001.jpg", 0, height=10, width=10)
    dataset = ImageNet(root=str(root)).load(store)
    assert (dataset.n, dataset.n_test, dataset.image_shape) == (6, 2, (224, 224, 3))
    assert (dataset.name, dataset.slug, dataset.class_names) == ("imagenet", "imagenet", ("n01440764", "n01443537"))
    same = ImageFolder(root=str(root), storage="stream", size=224).load(store)
    np.testing.assert_array_equal(dataset.train_images[2], same.train_images[2])
    for bad in ({"size": 0}, {"least_area": 2.0}, {"workers": -1}):
        with pytest.raises(OptionError):
            ImageNet(root=str(root), **bad)


def test_imagenet_says_what_is_wrong_with_its_folders(tmp_path, store):
    def fails(match):
        with pytest.raises(DatasetError, match=match):
            ImageNet(root=str(tmp_path)).load(store)

    fails("has no train/")
    make_jpegs(tmp_path, train=2, test=0, classes=("n01440764", "n01443537"))
    fails("has no test/ or val/")
    photo(tmp_path / "val" / "ILSVRC2012_val_00000001.JPEG", 0, height=10, width=10)
    fails("images flat, without class folders; expected val/<wnid>/<image>. Move each image")
    photo(tmp_path / "val" / "n99999999" / "ILSVRC2012_val_00000001.JPEG", 0, height=10, width=10)
    fails("lacks: n99999999")


def test_streams_of_files_with_odd_names(tmp_path, store):
    for part, name in (("train", "a"), ("train", "ü b"), ("test", "a")):
        photo(tmp_path / "odd" / part / name / "it's ½.jpg", 1, height=20, width=20)
    raw = os.fsencode(tmp_path / "odd" / "train" / "a") + b"/\xff\xfe.png"
    subprocess.run(["cp", os.fsencode(tmp_path / "odd" / "test" / "a" / "it's ½.jpg"), raw], check=True)
    images = load(tmp_path / "odd", store).train_images
    assert images[:].shape == (3, SIZE, SIZE, 3)
