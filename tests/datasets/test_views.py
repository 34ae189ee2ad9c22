"""Views of images of which each pixel says where it comes from, so that every draw can be read off."""

import math

import numpy as np
import pytest
import torch

from winnow.core.errors import OptionError
from winnow.datasets import views
from winnow.datasets.views import Views

SIDE, BATCH = 40, 800
PLAIN = {"flip": False, "jitter": 0, "grey": 0}


def taken(views, images, seed=0):
    pixels, inside = views.take(images, torch.arange(len(images)), torch.Generator().manual_seed(seed))
    assert inside is None
    assert (pixels.dtype, pixels.shape) == (torch.float32, images.shape)
    return pixels.double().numpy()


def coded():
    """Images [BATCH, SIDE, SIDE, 2] of which each pixel holds 4 × its row and 4 × its column."""
    return torch.tensor(np.stack(np.indices((SIDE, SIDE)) * 4, axis=-1).astype(np.uint8)).expand(BATCH, -1, -1, -1)


def crops(pixels):
    """(top, height, left, width) [B] of each crop in fractions of the side; a mirrored one has negative width."""
    places = (pixels / 4 + 0.5) / SIDE  # of the pixels' centres
    row, column = places[:, :, SIDE // 2, 0], places[:, SIDE // 2, :, 1]
    ends = (SIDE // 4, SIDE - SIDE // 4)  # bilinear interpolation of a plane is exact away from the border

    def line(values):
        slope = (values[:, ends[1]] - values[:, ends[0]]) / (ends[1] - ends[0]) * SIDE
        return values[:, ends[0]] - slope * (ends[0] + 0.5) / SIDE, slope

    return *line(row), *line(column)


def test_crops_have_the_papers_areas_and_proportions_and_lie_inside():
    top, height, left, width = crops(taken(Views(least_area=0.2, **PLAIN), coded()))
    assert (height > 0).all()
    assert (width > 0).all()
    for start, side in ((top, height), (left, width)):
        assert start.min() > -0.01
        assert (start + side).max() < 1.01
        assert start.std() > 0.1
    uncut = (height < 0.99) & (width < 0.99)
    area, ratio = (height * width)[uncut], (width / height)[uncut]
    assert 0.19 < area.min() < 0.22
    assert area.max() > 0.9
    assert 0.74 < ratio.min() < 0.77
    assert 1.3 < ratio.max() < 1.35
    assert abs(np.log(ratio).mean()) < 0.05


def test_a_crop_is_the_image_resampled():
    pixels = taken(Views(least_area=0.3, **PLAIN), coded())
    top, height, left, width = crops(pixels)
    at = (np.arange(SIDE) + 0.5) / SIDE
    inner = slice(5, -5)
    rows = 4 * ((top[:, None] + height[:, None] * at) * SIDE - 0.5)
    columns = 4 * ((left[:, None] + width[:, None] * at) * SIDE - 0.5)
    expected = np.stack(np.broadcast_arrays(rows[:, :, None], columns[:, None, :]), axis=-1)
    np.testing.assert_allclose(pixels[:, inner, inner], expected[:, inner, inner], atol=0.02)


def test_half_are_mirrored():
    *_, width = crops(taken(Views(**PLAIN | {"flip": True}), coded()))
    assert abs((width < 0).mean() - 0.5) < 5 * 0.5 / math.sqrt(BATCH)


def test_jitter_of_a_flat_grey_image_is_brightness_alone():
    images = torch.full((BATCH, 4, 4, 3), 100, dtype=torch.uint8)
    pixels = taken(Views(**PLAIN | {"jitter": 0.5}, jittered=0.7), images)
    assert np.ptp(pixels, axis=(1, 2, 3)).max() < 0.02
    levels = pixels[:, 0, 0, 0]
    changed = np.abs(levels - 100) > 1e-3
    assert abs(changed.mean() - 0.7) < 0.1
    assert 60 <= levels.min() < 63
    assert 137 < levels.max() <= 140


def test_contrast_keeps_the_mean_and_scales_the_spread(monkeypatch):
    draws = iter([1.0, 0.7])  # of brightness, of contrast
    monkeypatch.setattr(views, "_uniform", lambda *_: torch.tensor(next(draws)))
    pixels = torch.tensor([80.0, 120.0]).repeat(8).view(1, 1, 4, 4)
    assert views.Views()._jittered(pixels, torch.Generator()).unique().tolist() == pytest.approx([86, 114])


def test_a_turn_of_hue_keeps_the_luma_and_three_thirds_are_a_whole():
    colours = 100 + 30 * torch.rand((7, 3, 2, 2), generator=torch.Generator().manual_seed(0))
    third = torch.full((7,), 2 * math.pi / 3)
    turned = views._turned(colours, third)
    assert (turned - colours).abs().max() > 5
    torch.testing.assert_close(views._luma(turned), views._luma(colours), atol=0.05, rtol=0)
    torch.testing.assert_close(views._turned(views._turned(turned, third), third), colours, atol=0.01, rtol=0)
    grey = torch.full((1, 3, 2, 2), 90.0)
    torch.testing.assert_close(views._turned(grey, third[:1]), grey, atol=0.05, rtol=0)


def test_a_fifth_have_no_colour():
    images = torch.tensor([200, 50, 10], dtype=torch.uint8).expand(BATCH, 4, 4, 3)
    pixels = taken(Views(**PLAIN | {"grey": 0.2}), images)
    colourless = np.ptp(pixels, axis=3).max(axis=(1, 2)) < 1e-3
    assert abs(colourless.mean() - 0.2) < 5 * 0.4 / math.sqrt(BATCH)
    assert pixels[colourless].mean() == pytest.approx(0.299 * 200 + 0.587 * 50 + 0.114 * 10, abs=0.01)
    np.testing.assert_allclose(pixels[~colourless], images.numpy()[~colourless], atol=0.01)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_generator_decides_and_pixels_stay_pixels(channels):
    images = torch.randint(0, 256, (50, 8, 6, channels), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    before = images.clone()
    one, same, other = (taken(Views(), images, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 10
    assert one.min() >= 0
    assert one.max() <= 255
    assert torch.equal(images, before)


@pytest.mark.parametrize(
    "bad", [{"least_area": 0}, {"least_area": 1.1}, {"jitter": -0.1}, {"jitter": 2}, {"grey": 1.5}, {"jittered": -1}]
)
def test_values_outside_their_range(bad):
    (name,) = bad
    with pytest.raises(OptionError, match=rf"embedding\.views\.{name}"):
        Views(**bad)
