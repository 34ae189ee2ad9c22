"""Augmentation against a slow reference. Pixels say where they come from, so that every draw can be read off."""

import numpy as np
import pytest
import torch

from winnow.core.errors import OptionError
from winnow.datasets.augmentation import Augmentation

HEIGHT, WIDTH, BATCH = 8, 12, 600
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def coded(n=4):
    """Images [n, H, W, 3] of which each pixel holds its row, its column and its example."""
    return torch.tensor(np.stack(np.indices((n, HEIGHT, WIDTH))[[1, 2, 0]], axis=-1).astype(np.uint8))


CHOSEN = torch.arange(BATCH) % 4


def taken(augmentation, seed=0, images=None, chosen=CHOSEN):
    """Pixels [B, H, W, 3] and mask [B, H, W] as numpy arrays."""
    images = coded() if images is None else images
    pixels, inside = augmentation.take(images, chosen, torch.Generator().manual_seed(seed))
    assert (pixels.dtype, pixels.shape) == (torch.uint8, (len(chosen), *images.shape[1:]))
    if inside is None:
        return pixels.numpy(), None
    assert (inside.dtype, inside.shape) == (torch.bool, (*pixels.shape[:3], 1))
    return pixels.numpy(), inside[..., 0].numpy()


def moved(image, down, right, mirrored):
    """Slow: what a shifted and mirrored image shows where it shows anything, and where that is."""
    pixels, inside = np.zeros_like(image), np.zeros((HEIGHT, WIDTH), dtype=bool)
    for row in range(HEIGHT):
        for column in range(WIDTH):
            from_row, from_column = row + down, (WIDTH - 1 - column if mirrored else column) + right
            if 0 <= from_row < HEIGHT and 0 <= from_column < WIDTH:
                pixels[row, column] = image[from_row, from_column]
                inside[row, column] = True
    return pixels, inside


def draws(pixels, inside):
    """(down, right, mirrored) of one example, read off two neighbours that show the image."""
    row, column = np.argwhere(inside[:, 1:] & inside[:, :-1])[0]
    here, next_to_it = pixels[row, column].astype(int), pixels[row, column + 1].astype(int)
    mirrored = next_to_it[1] < here[1]
    return here[0] - row, here[1] - (WIDTH - 1 - column if mirrored else column), bool(mirrored)


@pytest.mark.parametrize("flip", [False, True])
def test_shift_against_the_slow_reference(flip):
    pixels, inside = taken(Augmentation(shift=0.25, flip=flip))
    images, seen = coded().numpy(), []
    for example in range(BATCH):
        seen.append(draws(pixels[example], inside[example]))
        shown, where = moved(images[CHOSEN[example]], *seen[-1])
        np.testing.assert_array_equal(inside[example], where)
        np.testing.assert_array_equal(pixels[example][where], shown[where])
    down, right, mirrored = map(set, zip(*seen, strict=True))
    assert down == set(range(-2, 3))  # a quarter of 8 rows and of 12 columns
    assert right == set(range(-3, 4))
    assert mirrored == ({False, True} if flip else {False})
    assert len(set(seen)) == 5 * 7 * len(mirrored)  # the three are drawn on their own


def test_flip_mirrors_about_half_of_the_images_each_on_its_own():
    pixels, inside = taken(Augmentation(flip=True))
    images = coded().numpy()[CHOSEN]
    kept = (pixels == images).all(axis=(1, 2, 3))
    mirrored = (pixels == images[:, :, ::-1]).all(axis=(1, 2, 3))
    assert inside is None
    assert np.all(kept ^ mirrored)
    assert abs(mirrored.mean() - 0.5) < 5 * 0.5 / np.sqrt(BATCH)
    neighbours_agree = (mirrored[1:] == mirrored[:-1]).mean()
    assert abs(neighbours_agree - 0.5) < 5 * 0.5 / np.sqrt(BATCH)


def intervals(length, side):
    """Every clipped run of `side` pixels around a centre in range(length), as (first, last)."""
    return {(max(c - side // 2, 0), min(c - side // 2 + side, length) - 1) for c in range(length)}


@pytest.mark.parametrize(("cutout", "rows", "columns"), [(0.25, 2, 3), (0.5, 4, 6), (0.4, 3, 5), (0.9, 7, 11)])
def test_cutout_blanks_a_clipped_square_centred_anywhere(cutout, rows, columns):
    pixels, inside = taken(Augmentation(cutout=cutout))
    np.testing.assert_array_equal(pixels, coded().numpy()[CHOSEN])
    seen = []
    for mask in inside:
        (top, left), (bottom, right) = (end(np.argwhere(~mask), axis=0) for end in (np.min, np.max))
        assert not mask[top : bottom + 1, left : right + 1].any()
        assert (~mask).sum() == (bottom - top + 1) * (right - left + 1)
        seen.append(((top, bottom), (left, right)))
    tall, wide = map(set, zip(*seen, strict=True))
    assert tall == intervals(HEIGHT, rows)
    assert wide == intervals(WIDTH, columns)
    assert len(set(seen)) > 0.8 * len(tall) * len(wide)  # rows and columns are drawn on their own


def test_cutout_of_a_square_image_is_a_square():
    images = torch.zeros((1, 9, 9, 1), dtype=torch.uint8)
    _, inside = taken(Augmentation(cutout=1 / 3), images=images, chosen=torch.zeros(BATCH, dtype=torch.int64))
    assert (~inside).sum(axis=(1, 2)).max() == 9


def test_all_three_together():
    pixels, inside = taken(Augmentation(shift=0.25, flip=True, cutout=0.25))
    images, holes = coded().numpy(), []
    for example in range(BATCH):
        shown, where = moved(images[CHOSEN[example]], *draws(pixels[example], inside[example]))
        np.testing.assert_array_equal(pixels[example][where], shown[where])
        assert not np.any(inside[example] & ~where)
        holes.append((where & ~inside[example]).sum())
    assert max(holes) == 2 * 3
    assert np.mean(np.array(holes) > 0) > 0.6  # the others lie where the image was shifted away


@pytest.mark.parametrize("flip", [False, True])
def test_a_reflected_border_is_numpy_padding(flip):
    """Every crop is one of the image padded by numpy's reflect; flips come before, which changes nothing."""
    pixels, inside = taken(Augmentation(shift=0.25, flip=flip, padding="reflect"))
    assert inside is None
    down, right = HEIGHT // 4, WIDTH // 4
    for example in range(0, BATCH, 7):
        image = coded().numpy()[CHOSEN[example]]
        crops = [
            padded[row : row + HEIGHT, column : column + WIDTH]
            for shown in ([image, image[:, ::-1]] if flip else [image])
            for padded in [np.pad(shown, ((down, down), (right, right), (0, 0)), mode="reflect")]
            for row in range(2 * down + 1)
            for column in range(2 * right + 1)
        ]
        assert any(np.array_equal(pixels[example], crop) for crop in crops)


def test_a_black_border_is_the_mean_one_in_black():
    images = coded() + 1  # no pixel of theirs is black
    mean, inside = taken(Augmentation(shift=0.25, flip=True), images=images)
    black, nothing = taken(Augmentation(shift=0.25, flip=True, padding="black"), images=images)
    assert nothing is None
    assert not inside.all()
    np.testing.assert_array_equal(black, np.where(inside[..., None], mean, 0))


def test_paddings_are_named():
    with pytest.raises(OptionError, match=r"padding=zeros.*mean, black, reflect"):
        Augmentation(padding="zeros")
    with pytest.raises(OptionError, match=r"at most 0\.5 with padding=reflect"):
        Augmentation(padding="reflect", shift=0.6)


def test_what_is_rounded_to_no_pixel_does_nothing():
    pixels, inside = taken(Augmentation(shift=0.01, cutout=0.01))
    np.testing.assert_array_equal(pixels, coded().numpy()[CHOSEN])
    assert inside.all()


def test_nothing_enabled_is_the_identity():
    chosen = torch.tensor([3, 0, 0, 2])
    pixels, inside = taken(Augmentation(), chosen=chosen)
    np.testing.assert_array_equal(pixels, coded().numpy()[chosen])
    assert inside is None


@pytest.mark.parametrize("device", DEVICES)
def test_the_generator_decides_and_nothing_else(device):
    augmentation = Augmentation(shift=0.25, flip=True, cutout=0.25)

    def take(seed):
        torch.rand(3, device=device)  # moves the global state, which must not matter
        generator = torch.Generator(device).manual_seed(seed)
        return torch.cat(augmentation.take(coded().to(device), CHOSEN.to(device), generator), dim=-1)

    assert torch.equal(take(1), take(1))
    assert not torch.equal(take(1), take(2))


def test_the_images_themselves_stay_as_they_are():
    images = coded()
    taken(Augmentation(shift=0.25, flip=True, cutout=0.25), images=images)
    assert torch.equal(images, coded())


@pytest.mark.parametrize("name", ["shift", "cutout"])
@pytest.mark.parametrize("value", [-0.1, 1, 1.5, float("nan")])
def test_fractions_outside_their_range(name, value):
    with pytest.raises(OptionError, match=rf"recipe.augmentation.{name}={value} must be a fraction in \[0, 1\)"):
        Augmentation(**{name: value})
