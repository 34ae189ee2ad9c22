"""Batch norm of several processors, where there is one: it is torch's own."""

import copy

import pytest
import torch
from torch import nn

from winnow.training.sync_batchnorm import GlooBatchNorm


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_it_is_torchs(kind):
    """In bfloat16 too, as autocast gives it: statistics are of float32."""
    torch.manual_seed(0)
    own, ours = nn.BatchNorm2d(4), GlooBatchNorm(4)
    images = 3 + 5 * torch.randn(2, 70, 4, 6, 7)
    for image in images.to(kind):
        inputs = [image.clone().requires_grad_() for _ in range(2)]
        outputs = [norm(each) for norm, each in zip((own, ours), inputs, strict=True)]
        for output in outputs:
            output.float().square().mul(torch.linspace(0, 1, output.numel()).view(output.shape)).sum().backward()
        assert outputs[1].dtype == kind
        close = {"rtol": 1e-4, "atol": 1e-4} if kind == torch.float32 else {"rtol": 2e-2, "atol": 2e-2}
        torch.testing.assert_close(outputs[1], outputs[0], **close)
        torch.testing.assert_close(inputs[1].grad, inputs[0].grad, **close)
    for name, value in own.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value, rtol=1e-4, atol=1e-5)
    other = copy.deepcopy(ours).eval()
    torch.testing.assert_close(other(images[0]), own.eval()(images[0]), rtol=1e-4, atol=1e-4)
