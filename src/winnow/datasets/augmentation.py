"""Augmentation of a whole batch on its device, each example with its own draw and no loop over examples."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from winnow.core.errors import OptionError, check_choice
from winnow.core.seeds import derive
from winnow.store.keys import LATER, Component


@dataclass(frozen=True, kw_only=True)
class Augmentation(Component):
    """Random shift, horizontal flip and cutout.

    shift: largest shift in each direction, as a fraction of the image side (0.125 is 4 of 32 pixels, the usual padded
    crop). padding: what comes in from outside: the data set's "mean" colour, "black", or the image "reflect"-ed about
    its border pixels. flip: mirror half of the images; not for classes that a mirror changes, such as digits.
    alternate: with flip, mirror each image in every other of its presentations, from the first or the second on by a
    draw of its own (Jordan 2024, 2404.00498), so that two of them show both. cutout: side of the square
    that is blanked with the mean colour, as a fraction of the image side (DeVries & Taylor 2017, 1708.04552), centred
    anywhere and clipped at the border.

    Raises OptionError for a fraction outside [0, 1), for a reflection of more than half an image, and for alternate
    without flip.
    """

    shift: float = 0.0
    flip: bool = False
    cutout: float = 0.0
    padding: str = field(default="mean", metadata=LATER)
    alternate: bool = field(default=False, metadata=LATER)

    def __post_init__(self) -> None:
        check_choice("recipe.augmentation.padding", self.padding, ("mean", "black", "reflect"))
        if self.padding == "reflect" and self.shift > 0.5:
            raise OptionError(f"recipe.augmentation.shift={self.shift} must be at most 0.5 with padding=reflect.")
        if self.alternate and not self.flip:
            raise OptionError("recipe.augmentation.alternate=true says when to mirror, and needs flip=true.")
        for name in ("shift", "cutout"):
            if not 0 <= getattr(self, name) < 1:
                raise OptionError(f"recipe.augmentation.{name}={getattr(self, name)} must be a fraction in [0, 1).")

    def take(
        self,
        images: Tensor,
        chosen: Tensor,
        generator: torch.Generator,
        mine: slice = slice(None),
        mirrored: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Augmented copies of images[chosen]; images [n, H, W, C] uint8, chosen [B].

        mine: the part of the batch to make, as if all of it were made. mirrored [B]: which to mirror; drawn where not
        given.
        Returns the pixels [B, H, W, C] uint8 and a mask [B, H, W, 1], False where a pixel is to be the mean colour
        (None where every pixel stands). One gather does selection, shift and flip: nothing is padded or copied twice.
        """
        drawn, device = chosen.numel(), images.device
        chosen = chosen[mine]
        size = chosen.numel()
        height, width = images.shape[1:3]

        def draw(low: int, high: int) -> Tensor:
            return torch.randint(low, high + 1, (drawn, 1), generator=generator, device=device)[mine]

        rows = torch.arange(height, device=device).expand(size, height)
        columns = torch.arange(width, device=device).expand(size, width)
        inside = black = None
        if self.cutout:
            out_rows = _outside(rows - draw(0, height - 1), round(self.cutout * height))
            out_columns = _outside(columns - draw(0, width - 1), round(self.cutout * width))
            inside = out_rows[:, :, None] | out_columns[:, None, :]
        if self.flip:
            turned = draw(0, 1).bool() if mirrored is None else mirrored[mine, None]
            columns = torch.where(turned, width - 1 - columns, columns)
        if self.shift:
            down, right = round(self.shift * height), round(self.shift * width)
            rows, columns = rows + draw(-down, down), columns + draw(-right, right)
            if self.padding == "reflect":
                rows, columns = _reflected(rows, height), _reflected(columns, width)
            else:
                held_rows, held_columns = rows.clamp(0, height - 1), columns.clamp(0, width - 1)
                in_frame = (rows == held_rows)[:, :, None] & (columns == held_columns)[:, None, :]
                if self.padding == "black":
                    black = ~in_frame
                else:
                    inside = in_frame if inside is None else inside & in_frame
                rows, columns = held_rows, held_columns
        if self.shift or self.flip:
            pixels = images[chosen[:, None, None], rows[:, :, None], columns[:, None, :]]
        else:
            pixels = images[chosen]
        if black is not None:
            pixels = pixels.masked_fill(black[..., None], 0)
        return pixels, None if inside is None else inside[..., None]


def first_mirrored(augmentation: object, n: int, seed: int | None) -> Tensor | None:
    """Which of n examples an alternating augmentation mirrors in passes 0, 2, 4, ...; the others in 1, 3, 5, ...

    None where it does not alternate, or nothing is augmented, without a seed.
    """
    if seed is None or not (isinstance(augmentation, Augmentation) and augmentation.alternate):
        return None
    return torch.rand(n, generator=torch.Generator().manual_seed(derive(seed, "mirror"))) < 0.5


def _reflected(places: Tensor, size: int) -> Tensor:
    """Places beyond 0..size − 1 by their mirror image in the border pixel, which is not repeated."""
    places = places.abs()
    return torch.where(places < size, places, 2 * (size - 1) - places)


def _outside(offset: Tensor, side: int) -> Tensor:
    """True where an offset from the centre lies outside a square of `side` pixels."""
    return (offset < -(side // 2)) | (offset >= side - side // 2)
