"""The hardest and the easiest images of each class, side by side."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from winnow.core.arrays import Images
from winnow.core.errors import ShapeError
from winnow.core.types import Floats, Ints
from winnow.figures.style import house_style

GAP = 0.08  # of an image's side


def image_sheet(images: Images, labels: Ints, class_names: Sequence[str], scores: Floats, per_class: int = 6) -> Figure:
    """One line for each class: its easiest images on the left, its hardest on the right, the extreme ones outermost.

    images: [n, H, W, C] uint8, C = 1 (grey) or 3 (red, green, blue); of a stream, those that are shown are decoded.
    labels: [n], index into class_names. scores: [n], higher = harder. A class of fewer than per_class images leaves the
    rest of its line blank.

    Raises ShapeError when images have another shape or type, or labels and scores are not one for each image.
    """
    if images.ndim != 4 or images.shape[3] not in (1, 3) or images.dtype != np.uint8:
        raise ShapeError(
            f"images must be uint8 of shape [n, H, W, 1 or 3]; got {images.dtype} of shape {list(images.shape)}."
        )
    if not images.shape[0] == len(labels) == len(scores):
        raise ShapeError(
            f"give one label and one score for each image; got {images.shape[0]} images, "
            f"{len(labels)} labels and {len(scores)} scores."
        )
    members = [np.flatnonzero(labels == label) for label in range(len(class_names))]
    ranked = [member[np.argsort(scores[member], kind="stable")] for member in members]
    easiest = _mosaic(images, [order[:per_class] for order in ranked], per_class, from_right=False)
    hardest = _mosaic(images, [order[-per_class:] for order in ranked], per_class, from_right=True)

    height, width = easiest.shape[:2]
    inches = 0.55 * per_class
    with house_style():
        figure = Figure(figsize=(2 * inches + 1.3, inches * height / width + 0.3), layout="constrained")
        left, right = figure.subplots(1, 2)
        for axes, mosaic, title, side in ((left, easiest, "easiest", "left"), (right, hardest, "hardest", "right")):
            axes.imshow(mosaic, interpolation="nearest")
            axes.set_title(title, loc=side)
            axes.set_xticks([])
            axes.spines[:].set_visible(False)
            axes.grid(False)
            axes.tick_params(length=0)
        line = height / len(class_names)
        left.set_yticks(line * (np.arange(len(class_names)) + 0.5), class_names)
        right.set_yticks([])
    return figure


def _mosaic(images: Images, lines: list[Ints], per_class: int, *, from_right: bool) -> NDArray[np.uint8]:
    """Tiles [lines * (H + gap), per_class * (W + gap), 3] on white; a short line is set to the left or the right."""
    _, high, wide, _ = images.shape
    gap = max(1, round(GAP * high))
    sheet = np.full((len(lines) * (high + gap), per_class * (wide + gap), 3), 255, dtype=np.uint8)
    for row, chosen in enumerate(lines):
        first = per_class - len(chosen) if from_right else 0
        for column, index in enumerate(chosen, start=first):
            top, left = row * (high + gap) + gap // 2, column * (wide + gap) + gap // 2
            sheet[top : top + high, left : left + wide] = images[index]  # one grey channel spreads over three
    return sheet
