"""Batch norm over the whole batch of several processes: torch's own on GPUs, and one of ours where it has none."""

from typing import Any

import torch
from torch import Tensor, nn

from winnow.models.base import Classifier
from winnow.parallel import workers


def synchronised(model: Classifier, device: torch.device) -> Classifier:
    """The same model, with every batch norm normalising by the statistics of all processes' parts of a batch."""
    if device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(model)
    for part in list(model.modules()):
        for name, child in part.named_children():
            if type(child) is nn.BatchNorm2d:
                setattr(part, name, _of(child))
    return model


class _Sum(torch.autograd.Function):
    """The sum over all processes; the gradient of a summand is the sum of all gradients."""

    @staticmethod
    def forward(ctx: Any, summand: Tensor) -> Tensor:
        return workers.sum_over_ranks(summand.clone())

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return workers.sum_over_ranks(gradients[0].clone())


class GlooBatchNorm(nn.BatchNorm2d):
    """SyncBatchNorm for processors, which torch's own refuses: two sums over all processes in each direction."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        assert self.momentum is not None
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        kind, x = x.dtype, x.float()  # under autocast it has few digits
        count = workers.sum_over_ranks(x.new_tensor(x.numel() / x.shape[1]))
        mean = _Sum.apply(x.sum((0, 2, 3))) / count
        centred = x - mean[:, None, None]
        var = _Sum.apply(centred.square().sum((0, 2, 3))) / count
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(var * count / (count - 1), self.momentum)
        scale = self.weight * (var + self.eps).rsqrt()
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(kind)


def _of(norm: nn.BatchNorm2d) -> GlooBatchNorm:
    replacement = GlooBatchNorm(norm.num_features, eps=norm.eps, momentum=norm.momentum)
    for name, parameter in norm.named_parameters():  # themselves: one that is fixed stays so
        setattr(replacement, name, parameter)
    replacement.load_state_dict(norm.state_dict())
    return replacement
