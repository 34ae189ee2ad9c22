"""Random views of a whole batch on its device, for contrastive learning: no label says what a view must keep."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from winnow.core.errors import OptionError
from winnow.store.keys import Component

GREY = (0.299, 0.587, 0.114)
"""Luma of red, green and blue (ITU-R BT.601)."""
TO_YIQ = ((0.299, 0.587, 0.114), (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))
ASPECT = 4 / 3


@dataclass(frozen=True, kw_only=True)
class Views(Component):
    """Random resized crop, mirror, colour jitter and grey, each example with its own draw.

    Chen et al. 2020 (2002.05709), appendix A, in the form for CIFAR-10 (no blur, jitter strength 0.5). least_area: the
    smallest part of the image that a crop may show; its sides' ratio is up to 4:3 either way. flip: mirror half of the
    views. jitter: the paper's strength s, applied to `jittered` of the views: brightness, contrast and saturation are
    scaled by 1 ± 0.8 s, hue is turned by up to ± 0.2 s of the circle. grey: the fraction of views without colour.

    Departures: the four jitters follow each other in one order instead of a random one, hue is turned in the YIQ
    plane, and a crop that would not fit is cut to the image's side instead of drawn again. Grey images have neither
    hue nor saturation.

    Raises OptionError for a value outside its range.
    """

    least_area: float = 0.08
    flip: bool = True
    jitter: float = 0.5
    jittered: float = 0.8
    grey: float = 0.2

    def __post_init__(self) -> None:
        if not 0 < self.least_area <= 1:
            raise OptionError(f"embedding.views.least_area={self.least_area} must be a fraction in (0, 1].")
        if not 0 <= self.jitter <= 1.25:
            raise OptionError(f"embedding.views.jitter={self.jitter} must be in [0, 1.25], where 0.8 of it is 1.")
        for name in ("jittered", "grey"):
            if not 0 <= getattr(self, name) <= 1:
                raise OptionError(f"embedding.views.{name}={getattr(self, name)} must be a fraction in [0, 1].")

    def take(
        self, images: Tensor, chosen: Tensor, generator: torch.Generator, mine: slice = slice(None)
    ) -> tuple[Tensor, None]:
        """A view of each of images[chosen], of which `mine` is given; images [n, H, W, C] uint8, chosen [B].

        Returns the pixels [B, H, W, C] float32 in 0..255, and no mask: a crop shows nothing from outside.
        """
        pixels = images[chosen].permute(0, 3, 1, 2).float()
        pixels = self._cropped(pixels, generator)
        if self.jitter:
            hit = _uniform(pixels, generator, 0, 1) < self.jittered
            pixels = torch.where(hit, self._jittered(pixels, generator), pixels)
        if self.grey and pixels.shape[1] == 3:
            hit = _uniform(pixels, generator, 0, 1) < self.grey
            pixels = torch.where(hit, _luma(pixels), pixels)
        return pixels[mine].permute(0, 2, 3, 1), None

    def _cropped(self, pixels: Tensor, generator: torch.Generator) -> Tensor:
        """One resampling does crop, resizing and mirror: a view's corner (±1, ±1) shows the corner of its crop."""
        height, width = pixels.shape[2:]
        area = _uniform(pixels, generator, self.least_area, 1).flatten()
        ratio = _uniform(pixels, generator, -math.log(ASPECT), math.log(ASPECT)).flatten().exp()
        wide = (area * ratio * height / width).sqrt().clamp(max=1)
        tall = (area / ratio * width / height).sqrt().clamp(max=1)
        right = _uniform(pixels, generator, -1, 1).flatten() * (1 - wide)
        down = _uniform(pixels, generator, -1, 1).flatten() * (1 - tall)
        if self.flip:
            wide = torch.where(_uniform(pixels, generator, 0, 1).flatten() < 0.5, -wide, wide)
        none = torch.zeros_like(wide)
        to_source = torch.stack([torch.stack([wide, none, right], 1), torch.stack([none, tall, down], 1)], 1)
        places = F.affine_grid(to_source, list(pixels.shape), align_corners=False)
        return F.grid_sample(pixels, places, mode="bilinear", padding_mode="border", align_corners=False)

    def _jittered(self, pixels: Tensor, generator: torch.Generator) -> Tensor:
        by = 0.8 * self.jitter
        pixels = (pixels * _uniform(pixels, generator, 1 - by, 1 + by)).clamp(0, 255)
        middle = _luma(pixels).mean(dim=(1, 2, 3), keepdim=True)
        pixels = (middle + (pixels - middle) * _uniform(pixels, generator, 1 - by, 1 + by)).clamp(0, 255)
        if pixels.shape[1] != 3:
            return pixels
        luma = _luma(pixels)
        pixels = (luma + (pixels - luma) * _uniform(pixels, generator, 1 - by, 1 + by)).clamp(0, 255)
        angle = 2 * math.pi * _uniform(pixels, generator, -0.2 * self.jitter, 0.2 * self.jitter).flatten()
        return _turned(pixels, angle).clamp(0, 255)


def _uniform(pixels: Tensor, generator: torch.Generator, low: float, high: float) -> Tensor:
    """[B, 1, 1, 1]: one draw an example."""
    return low + (high - low) * torch.rand((len(pixels), 1, 1, 1), generator=generator, device=pixels.device)


def _luma(pixels: Tensor) -> Tensor:
    """[B, 1, H, W]"""
    if pixels.shape[1] != 3:
        return pixels.mean(dim=1, keepdim=True)
    return (pixels * pixels.new_tensor(GREY).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)


def _turned(pixels: Tensor, angle: Tensor) -> Tensor:
    """Colours with their hue turned by `angle` [B], in radians, and their luma as it was."""
    to_yiq = pixels.new_tensor(TO_YIQ)
    turn = torch.zeros(len(pixels), 3, 3, device=pixels.device)
    turn[:, 0, 0] = 1
    turn[:, 1, 1] = turn[:, 2, 2] = angle.cos()
    turn[:, 1, 2], turn[:, 2, 1] = -angle.sin(), angle.sin()
    return torch.einsum("bij,bjhw->bihw", torch.linalg.inv(to_yiq) @ turn @ to_yiq, pixels)
