import numpy as np
import pytest

from winnow.core.errors import ShapeError
from winnow.figures.image_sheet import image_sheet


def plain_images(shades, channels=1, side=8):
    """One image of a single shade for each of shades."""
    return np.broadcast_to(np.array(shades, np.uint8)[:, None, None, None], (len(shades), side, side, channels))


def shades_shown(axes, per_class, classes):
    """[classes, per_class] shades at the centres of the tiles; 255 is blank."""
    sheet = np.asarray(axes.images[0].get_array())
    tall, wide = sheet.shape[0] // classes, sheet.shape[1] // per_class
    return sheet[tall // 2 :: tall, wide // 2 :: wide, 0].tolist()


@pytest.mark.parametrize("channels", [1, 3])
def test_extremes_of_each_class_are_outermost(channels):
    shades = np.array([10, 20, 30, 40, 110, 120, 130, 140])
    scores = np.array([0.4, 0.1, 0.3, 0.2, 8.0, 5.0, 6.0, 7.0])
    figure = image_sheet(plain_images(shades, channels), shades // 100, ["dark", "light"], scores, per_class=2)
    easiest, hardest = figure.axes
    assert shades_shown(easiest, 2, 2) == [[20, 40], [120, 130]]
    assert shades_shown(hardest, 2, 2) == [[30, 10], [140, 110]]
    assert [tick.get_text() for tick in easiest.get_yticklabels()] == ["dark", "light"]
    assert (easiest.get_title(loc="left"), hardest.get_title(loc="right")) == ("easiest", "hardest")


def test_a_small_class_leaves_blanks_inside():
    figure = image_sheet(plain_images([10, 20]), np.array([0, 0]), ["a", "none"], np.array([1.0, 2.0]), per_class=3)
    easiest, hardest = figure.axes
    assert shades_shown(easiest, 3, 2) == [[10, 20, 255], [255, 255, 255]]
    assert shades_shown(hardest, 3, 2) == [[255, 10, 20], [255, 255, 255]]


def test_colours_are_kept():
    images = np.zeros((1, 4, 4, 3), np.uint8)
    images[...] = (250, 130, 5)
    sheet = image_sheet(images, np.array([0]), ["a"], np.array([1.0]), per_class=1).axes[0].images[0].get_array()
    assert tuple(sheet[2, 2]) == (250, 130, 5)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 4, 4), np.uint8), r"got uint8 of shape \[2, 4, 4\]"),
        (np.zeros((2, 4, 4, 2), np.uint8), r"\[n, H, W, 1 or 3\]"),
        (np.zeros((2, 4, 4, 3), np.float32), "got float32"),
        (np.zeros((3, 4, 4, 3), np.uint8), "got 3 images, 2 labels and 2 scores"),
    ],
)
def test_wrong_images_are_named(images, message):
    with pytest.raises(ShapeError, match=message):
        image_sheet(images, np.array([0, 0]), ["a"], np.array([1.0, 2.0]))
