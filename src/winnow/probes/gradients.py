"""Exact per-example gradients of the loss: their length in the parameters, and in the input.

One backward pass of the summed loss gives, for every layer, its input a and the gradient b of its output for each
example of a batch; what the example alone does to the layer's parameters follows from these two. Models must treat the
examples of a batch apart, which batch norm does in evaluation mode.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn.modules.batchnorm import _BatchNorm

from winnow.datasets.loader import Batch
from winnow.models.base import Classifier

BYTES = 4
LONG_ROW = 8

Objective = Callable[[Tensor, Tensor], Tensor]
"""(logits [B, C], labels [B]) -> [B]: what is differentiated."""

Scratch = Callable[[nn.Module, Tensor], int]
"""(layer, its output [1, ...]) -> numbers that are held for one example beside the layer's input and output."""


def losses(outputs: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy in nats, [B]."""
    return F.cross_entropy(outputs, labels, reduction="none")


def gradient_norms(model: Classifier, batch: Batch) -> Tensor:
    """‖∇_θ ℓ(f(x), y)‖₂ over all parameters θ that are learnt, [B]: exact for each example, whatever the batch.

    Linear, convolution and batch-norm layers are done layer by layer; a model with other parameters goes through
    torch.func, which is exact too, and slower.
    """
    if not all_known(model):
        return torch.stack([_sum_of_squares(g) for g in parameter_gradients(model, batch, losses)]).sum(0).sqrt()
    squares = torch.zeros(len(batch.label), dtype=torch.float64, device=batch.image.device)
    for layer, inputs, output_gradients in layer_gradients(model, batch, losses):
        squares += _squared_norm(layer, inputs, output_gradients)
    return squares.sqrt()


def input_gradient_norms(model: Classifier, batch: Batch) -> Tensor:
    """‖∂ℓ(f(x), y)/∂x‖₂ over the pixels of the normalised image, [B]."""
    image = batch.image.detach().requires_grad_()
    with torch.enable_grad():
        loss = F.cross_entropy(model(image), batch.label, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, image)
    return gradient.double().flatten(1).norm(dim=1)


def unfolding(layer: nn.Module, output: Tensor) -> int:
    """Numbers that a convolution needs beside its input and output: the unfolded input and the example's gradient."""
    if not isinstance(layer, nn.Conv2d):
        return 0
    patch = layer.weight[0].numel() * layer.groups
    return patch * output[0, 0].numel() + layer.weight.numel()


def examples_at_once(
    model: Classifier, image_shape: tuple[int, int, int], memory_gb: float, scratch: Scratch = unfolding
) -> int:
    """The largest batch whose activations, their gradients and the scratch of a layer stay within `memory_gb`, or 1."""
    held = largest = 0
    height, width, channels = image_shape
    image = next(model.parameters()).new_zeros(1, channels, height, width)

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal held, largest
        held += inputs[0].numel() + 3 * output.numel()
        largest = max(largest, scratch(layer, output))

    handles = [layer.register_forward_hook(count) for layer in model.modules() if not list(layer.children())]
    with torch.no_grad(), _evaluating(model):
        model(image)
    for handle in handles:
        handle.remove()
    if not all_known(model):
        held += 2 * sum(p.numel() for p in model.parameters())
    return max(1, int(memory_gb * 1e9 / (BYTES * (held + largest))))


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


def all_known(model: nn.Module) -> bool:
    return all(_is_known(layer) for layer in _learning(model))


def _learning(model: nn.Module) -> list[nn.Module]:
    """The layers that have parameters to learn, of their own."""
    return [layer for layer in model.modules() if any(p.requires_grad for p in layer.parameters(recurse=False))]


def _is_known(layer: nn.Module) -> bool:
    if isinstance(layer, nn.Conv2d):
        return layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
    return isinstance(layer, nn.Linear | _BatchNorm)


def layer_gradients(
    model: Classifier, batch: Batch, objective: Objective
) -> Iterator[tuple[nn.Module, Tensor, Tensor]]:
    """Each layer that has parameters to learn, its input [B, ...] and the objective's gradient in its output."""
    calls: list[tuple[nn.Module, Tensor, Tensor]] = []
    versions: list[int] = []

    def keep(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        calls.append((layer, inputs[0].detach(), output))
        versions.append(inputs[0]._version)
        # The model goes on with a copy: torchvision's ReLU and shortcuts write into the output of batch norm, and the
        # gradient in what they have written is not the gradient in what the layer gave.
        return output.clone()

    layers = _learning(model)
    handles = [layer.register_forward_hook(keep) for layer in layers]
    try:
        with torch.enable_grad():
            outputs = model(batch.image)
            total = objective(outputs, batch.label).sum()
            gradients = torch.autograd.grad(total, [output for *_, output in calls])
    finally:
        for handle in handles:
            handle.remove()
    assert len(calls) == len(layers), "a layer that is called twice would need the sum of its gradients"
    assert [a._version for _, a, _ in calls] == versions, "an input that is written to later is not the layer's input"
    for (layer, inputs, _), gradient in zip(calls, gradients, strict=True):
        yield layer, inputs, gradient


def _squared_norm(layer: nn.Module, a: Tensor, b: Tensor) -> Tensor:
    """Σ g² over the layer's learnt parameters for each example, [B] float64."""
    squares = torch.zeros(len(b), dtype=torch.float64, device=b.device)
    if layer.weight.requires_grad:
        squares += _of_weight(layer, a, b)
    if layer.bias is not None and layer.bias.requires_grad:
        squares += _sum_of_squares(bias_gradient(b))
    return squares


def bias_gradient(b: Tensor) -> Tensor:
    """The gradient in a layer's bias [B, out], by that in its output [B, out, ...]."""
    return b if b.dim() == 2 else b.flatten(2).sum(2)


def _of_weight(layer: nn.Module, a: Tensor, b: Tensor) -> Tensor:
    if isinstance(layer, nn.Linear):
        return _sum_of_squares(a) * _sum_of_squares(b)
    if isinstance(layer, nn.Conv2d):
        return _of_convolution(layer, a, b)
    assert isinstance(layer, _BatchNorm)
    return _sum_of_squares(bias_gradient(b * standardised(layer, a)))


def standardised(layer: _BatchNorm, a: Tensor) -> Tensor:
    """What batch norm in evaluation mode scales and shifts."""
    assert layer.running_mean is not None
    assert layer.running_var is not None
    view = (1, -1, *[1] * (a.dim() - 2))
    return (a - layer.running_mean.view(view)) * (layer.running_var.view(view) + layer.eps).rsqrt()


def _of_convolution(layer: nn.Conv2d, a: Tensor, b: Tensor) -> Tensor:
    """Σ over the weights of (Σ_t b_t a_tᵀ)², t the positions: by the gradient itself, or where positions are few by
    Σ_tt′ ⟨a_t, a_t′⟩⟨b_t, b_t′⟩, which is the same and never makes it.
    """
    batch, groups = len(a), layer.groups
    patches = unfolded(layer, a)
    patches = patches.reshape(batch * groups, -1, patches.shape[-1])  # [B groups, patch, T]
    b = b.reshape(batch * groups, -1, patches.shape[-1])  # [B groups, out, T]
    width, positions, outputs = patches.shape[1], patches.shape[2], b.shape[1]
    if positions * (width + outputs) < width * outputs:
        products = (patches.transpose(1, 2) @ patches) * (b.transpose(1, 2) @ b)
        squares = products.double().sum(dim=(1, 2))
    else:
        squares = _sum_of_squares(b @ patches.transpose(1, 2))
    return squares.reshape(batch, groups).sum(1)


def unfolded(layer: nn.Conv2d, a: Tensor) -> Tensor:
    """The patches of a convolution's input at each place of its output, [B, patch, T], as F.unfold gives them.

    That goes from example to example. Copying all at once out of a view takes 0.3 to 0.8 of its time on a CPU, but of
    maps with short rows three times as long, which are left to it.
    """
    assert not isinstance(layer.padding, str)
    if a.shape[3] // layer.stride[1] < LONG_ROW:
        return F.unfold(a, layer.kernel_size, layer.dilation, layer.padding, layer.stride)
    (down, right), (high, wide) = layer.padding, layer.kernel_size
    padded = F.pad(a.contiguous(), (right, right, down, down))
    windows = padded.unfold(2, layer.dilation[0] * (high - 1) + 1, layer.stride[0])
    windows = windows.unfold(3, layer.dilation[1] * (wide - 1) + 1, layer.stride[1])
    windows = windows[..., :: layer.dilation[0], :: layer.dilation[1]]  # [B, C, rows, columns, high, wide]
    return windows.permute(0, 1, 4, 5, 2, 3).reshape(len(a), -1, windows.shape[2] * windows.shape[3])


def _sum_of_squares(values: Tensor) -> Tensor:
    return values.flatten(1).double().square().sum(1)


def parameter_gradients(model: nn.Module, batch: Batch, objective: Objective) -> list[Tensor]:
    """The objective's gradient in each learnt parameter for each example, [B, ...], by torch.func: any model, slow."""
    learnt = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
    fixed = {name: p.detach() for name, p in model.named_parameters() if not p.requires_grad}
    buffers = fixed | dict(model.named_buffers())

    def of_one(parameters: dict[str, Tensor], image: Tensor, label: Tensor) -> Tensor:
        outputs = functional_call(model, (parameters, buffers), (image[None],))
        return objective(outputs, label[None]).sum()

    of_each: Callable[..., dict[str, Tensor]] = vmap(grad(of_one), in_dims=(None, 0, 0))
    return list(of_each(learnt, batch.image, batch.label).values())
