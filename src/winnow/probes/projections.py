"""Random projections of per-example gradients, made layer by layer, so that no model's gradient is ever held.

The gradient of a layer's weights is Σ_t b_t a_tᵀ, a its input, b the gradient of its output, t the positions (one in a
linear layer). Two random matrices S [s, out] and R [s, in] with E SᵀS = I, E RᵀR = I take it to
S (Σ_t b_t a_tᵀ) Rᵀ = Σ_t (S b_t)(R a_t)ᵀ, [s, s]: the projection by the Kronecker product of S and R, which is never
made. Layers have matrices of their own, and their projections are summed; as those are independent and have mean zero,
E⟨φ_i, φ_j⟩ = ⟨g_i, g_j⟩ for the gradients g of all parameters together.
"""

import functools
import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from winnow.core.seeds import derive
from winnow.datasets.loader import Batch
from winnow.models.base import Classifier
from winnow.probes.gradients import (
    Objective,
    all_known,
    bias_gradient,
    layer_gradients,
    parameter_gradients,
    standardised,
)

Draw = Callable[[str, int], Tensor]
"""(name, columns) -> a random matrix [s, columns]."""


def margins(outputs: Tensor, labels: Tensor) -> Tensor:
    """log(p / (1 − p)) of the true class, [B]: its logit minus the log-sum-exp of the others, which cannot saturate."""
    mine = labels[:, None]
    return outputs.gather(1, mine).squeeze(1) - outputs.scatter(1, mine, -torch.inf).logsumexp(dim=1)


def exact_losses(outputs: Tensor, labels: Tensor) -> Tensor:
    """−log p, [B], by the margins, so that its gradient −(1 − p) ∇ log(p / (1 − p)) is not rounded to 0 near p = 1."""
    return F.softplus(-margins(outputs, labels))


def projected_gradients(
    model: Classifier, batch: Batch, *, size: int = 1024, seed: int = 0, objective: Objective = margins
) -> Tensor:
    """φ [B, size]: the gradients of the margins log(p / (1 − p)) in all parameters, projected.

    size: the square of s above. A side of a layer that is no wider than s is turned, not compressed, so a small layer
    is kept exactly. The same seed gives the same projection, for any batch, on any device. objective: another function
    of outputs [B, C] and labels, [B], to take the gradients of.
    """
    side, total = math.isqrt(size), None

    def drawing(number: int) -> Draw:
        image = batch.image
        return lambda name, columns: _projection(
            side, columns, derive(seed, "projection", number, name), image.dtype, image.device
        )

    if all_known(model):
        for number, (layer, inputs, gradients) in enumerate(layer_gradients(model, batch, objective)):
            part = _of_layer(layer, inputs, gradients, drawing(number))
            total = part if total is None else total + part
    else:
        for number, gradient in enumerate(parameter_gradients(model, batch, objective)):
            matrix = gradient.reshape(len(gradient), (*gradient.shape[1:], 1)[0], -1)
            draw = drawing(number)
            part = draw("out", matrix.shape[1]) @ matrix @ draw("in", matrix.shape[2]).T
            total = part if total is None else total + part
    assert total is not None, "a model without parameters"
    return total.flatten(1)


def scratch(layer: nn.Module, output: Tensor, *, size: int = 1024, seed: int = 0) -> int:
    """Numbers that projecting one example's gradient of a layer needs beside its input and output."""
    groups = layer.groups if isinstance(layer, nn.Conv2d) else 1
    return 2 * math.isqrt(size) * groups * output[0, 0].numel() + 2 * size


@functools.lru_cache(maxsize=4096)
def _projection(side: int, columns: int, seed: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """[side, columns]: random and orthogonal (Haar), scaled so that E RᵀR = I; RᵀR = I where columns ≤ side.

    Orthogonal rows vary less than independent ones.
    """
    matrix = torch.empty(side, columns, dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    nn.init.orthogonal_(matrix, gain=math.sqrt(max(1.0, columns / side)), generator=generator)
    return matrix.to(device=device, dtype=dtype)


def _of_layer(layer: nn.Module, a: Tensor, b: Tensor, draw: Draw) -> Tensor:
    """The projected gradient of what a layer learns, [B, s, s]; a bias is the weight of an input that is 1."""
    if not layer.weight.requires_grad:
        return draw("out", b.shape[1]) @ bias_gradient(b)[..., None] @ draw("in", 1).T
    assert layer.bias is None or layer.bias.requires_grad, "a layer with a fixed bias and a weight that is learnt"
    if isinstance(layer, nn.Linear):
        matrix, width = draw("in", layer.in_features + (layer.bias is not None)), layer.in_features
        bias = matrix[:, width] if layer.bias is not None else None
        right = F.linear(a, matrix[:, :width], bias)
        return torch.einsum("bo,bi->boi", F.linear(b, draw("out", layer.out_features)), right)
    if isinstance(layer, nn.Conv2d):
        return _of_convolution(layer, a, b, draw)
    assert isinstance(layer, _BatchNorm)
    normed = standardised(layer, a)
    both = torch.stack([bias_gradient(b * normed), bias_gradient(b)], dim=2)  # of scale and shift, [B, C, 2]
    return draw("out", both.shape[1]) @ both @ draw("in", 2).T


def _of_convolution(layer: nn.Conv2d, a: Tensor, b: Tensor, draw: Draw) -> Tensor:
    """R a_t for all positions is a convolution with the rows of R as its filters, so no patch is ever unfolded."""
    groups, patch, biased = layer.groups, layer.weight[0].numel(), layer.bias is not None
    filters = torch.stack([draw(f"in{group}", patch + biased) for group in range(groups)])  # [G, s, patch + 1]
    weight = filters[..., :patch].reshape(-1, *layer.weight.shape[1:])
    bias = filters[..., patch].reshape(-1) if biased else None
    right = F.conv2d(a, weight, bias, layer.stride, layer.padding, layer.dilation, groups)
    outs = torch.stack([draw(f"out{group}", len(layer.weight) // groups) for group in range(groups)])  # [G, s, out]
    left = torch.einsum("gso,bgot->bgst", outs, b.reshape(len(b), groups, outs.shape[2], -1))
    return torch.einsum("bgst,bgit->bsi", left, right.reshape(len(a), groups, filters.shape[1], -1))
