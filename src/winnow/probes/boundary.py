"""The way to the decision boundary: DeepFool, batched."""

import torch
from torch import Tensor

from winnow.datasets.loader import Batch
from winnow.models.base import Classifier

OVERSHOOT = 0.02


def boundary_distances(model: Classifier, batch: Batch, *, classes: int = 10, iterations: int = 50) -> Tensor:
    """‖r‖₂ of `smallest_perturbation`, [B], in normalised pixels; infinite where no boundary was found."""
    perturbation, found = smallest_perturbation(model, batch, classes=classes, iterations=iterations)
    lengths = perturbation.double().flatten(1).norm(dim=1)
    return lengths.where(found, torch.inf)


def smallest_perturbation(
    model: Classifier, batch: Batch, *, classes: int = 10, iterations: int = 50
) -> tuple[Tensor, Tensor]:
    """(r [B, C, H, W], found [B]): x + 1.02 r lies on the other side of the boundary that is nearest, to first order.

    Moosavi-Dezfooli, Fawzi & Frossard 2016 (1511.04599), algorithm 2: the step to the nearest of the linearised
    boundaries between the predicted class and each of the next most likely, `classes` with the predicted one; repeated
    from x + 1.02 r until another class is at least as likely as the one predicted for x, at most `iterations` times
    (found is False where that was not enough). As in their code, each linearisation is made at the overshot point.
    Theirs lengthens each step by 1e-4 besides, which would add to the distance from a boundary that is flat. Pixels
    are free to leave the range of an image.
    """
    image = batch.image.detach()
    with torch.no_grad():
        outputs = model(image)
    nearest = outputs.topk(min(classes, outputs.shape[1]), dim=1).indices  # [B, classes], the predicted one first
    total, found = torch.zeros_like(image), torch.zeros(len(image), dtype=torch.bool, device=image.device)
    left = torch.arange(len(image), device=image.device)
    for done in range(iterations + 1):
        moved = image[left] + (1 + OVERSHOOT) * total[left]
        with torch.no_grad():
            outputs = model(moved)
        predicted = nearest[left, :1]
        there = outputs.scatter(1, predicted, -torch.inf).amax(1) >= outputs.gather(1, predicted).squeeze(1)
        found[left] = there
        left, moved = left[~there], moved[~there]
        if done == iterations or not len(left):
            break
        total[left] += _step(model, moved, nearest[left])
    return total, found


def _step(model: Classifier, moved: Tensor, nearest: Tensor) -> Tensor:
    """To the nearest of the linearised boundaries between class nearest[:, 0] and the others; 0 where all are flat."""
    moved = moved.requires_grad_()
    closest = torch.full((len(moved),), torch.inf, dtype=moved.dtype, device=moved.device)
    step = torch.zeros_like(moved)
    with torch.enable_grad():
        chosen = model(moved).gather(1, nearest)
        (mine,) = torch.autograd.grad(chosen[:, 0].sum(), moved, retain_graph=True)
        for other in range(1, nearest.shape[1]):
            (direction,) = torch.autograd.grad(chosen[:, other].sum(), moved, retain_graph=True)
            direction = direction - mine
            squared = direction.flatten(1).square().sum(1)
            gap = (chosen[:, 0] - chosen[:, other]).detach()
            closer = gap / squared.sqrt() < closest
            closest = torch.where(closer, gap / squared.sqrt(), closest)
            factor = torch.where(closer, gap / squared, 0)[:, None, None, None]
            step = torch.where(closer[:, None, None, None], factor * direction, step)
    return step
