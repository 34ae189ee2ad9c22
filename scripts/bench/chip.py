"""How much of a chip a training step uses, and what would use more of it.

    python scripts/bench/chip.py [--models fastnet resnet18] [--batch 512] [--ways eager compiled ...] [--minutes 2]

First the chip's rate, by products of square matrices in the training's precision (recipe.precision=auto). Then steps of
each model on one fixed batch of 32x32x3, data left out, in each way: "eager" is what winnow does (channels_last, SGD's
usual kernels); "contiguous", "fused" and "single" change the memory layout and SGD's kernels; "compiled" is
torch.compile; "graph" one CUDA graph of the whole step (GPUs); "torchvision" torchvision's own ResNet-18 with a 3x3
stem, eager. One JSON line each: images/s (on a CPU a processor second, of which others take none), that rate over
eager's, and the share of the chip's rate that the model's multiplications take (6 operations for a multiply-add,
forward and backward).
"""

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from winnow.core.machine import device_name, trains_faster_in_bfloat16
from winnow.models.base import ModelSpec
from winnow.models.fastnet import FastNet
from winnow.models.resnet_cifar import ResNetCifar
from winnow.models.resnet_torchvision import ResNetTorchvision

MODELS: dict[str, ModelSpec] = {
    "fastnet": FastNet(),
    "resnet8": ResNetCifar(depth=8),
    "resnet18": ResNetTorchvision(depth=18),
}
WAYS = ("eager", "contiguous", "fused", "single", "compiled", "graph", "torchvision")
SHAPE, CLASSES = (32, 32, 3), 10
WARM, LEAST_SECONDS = 3, 0.3


def rate(call: Callable[[], Any], device: torch.device) -> float:
    """Calls a second: after a few to warm up, as many as take a moment."""
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    for _ in range(WARM):
        call()
    calls = 1
    while True:
        _wait(device)
        started = clock()
        for _ in range(calls):
            call()
        _wait(device)
        seconds = clock() - started
        if seconds >= LEAST_SECONDS:
            return calls / seconds
        calls = max(2 * calls, int(1.2 * calls * LEAST_SECONDS / max(seconds, 1e-6)))


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def matrix_rate(device: torch.device, kind: torch.dtype) -> float:
    """Floating-point operations a second in products of square matrices."""
    side = 8192 if device.type == "cuda" else 1024
    left, right = (torch.ones(side, side, device=device, dtype=kind) for _ in range(2))
    return 2 * side**3 * rate(lambda: left @ right, device)


def step_of(way: str, spec: ModelSpec, batch: int, device: torch.device, kind: torch.dtype) -> Callable[[], Any] | None:
    """One training step; None where a way is not for this model or device."""
    if (way == "graph" and device.type != "cuda") or (way == "torchvision" and spec != MODELS["resnet18"]):
        return None
    layout = torch.contiguous_format if way == "contiguous" else torch.channels_last
    model: nn.Module = _torchvisions() if way == "torchvision" else spec.build(SHAPE, CLASSES)
    model = model.to(device).to(memory_format=layout).train()
    options = {"fused": {"fused": True}, "single": {"foreach": False}}.get(way, {})
    learnt = [each for each in model.parameters() if each.requires_grad]
    optimiser = torch.optim.SGD(learnt, lr=1e-3, momentum=0.9, nesterov=True, weight_decay=5e-4, **options)
    images = torch.randn(batch, SHAPE[2], *SHAPE[:2], device=device).contiguous(memory_format=layout)
    labels = torch.randint(CLASSES, (batch,), device=device)
    forward = torch.compile(model) if way == "compiled" else model

    def step() -> None:
        optimiser.zero_grad()
        with torch.autocast(device.type, kind, enabled=kind != torch.float32):
            logits = forward(images)
        F.cross_entropy(logits.float(), labels).backward()
        optimiser.step()

    if way != "graph":
        return step
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(WARM):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def _torchvisions() -> nn.Module:
    model = torchvision.models.resnet18(num_classes=CLASSES)
    model.conv1, model.maxpool = nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.Identity()
    return model


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", nargs="+", choices=MODELS, default=["fastnet", "resnet18"])
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--minutes", type=float, default=2.0, help="after which no other way begins")
    asked = parser.parse_args()
    until = time.monotonic() + 60 * asked.minutes
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind = torch.bfloat16 if trains_faster_in_bfloat16(device.type) else torch.float32
    whole = matrix_rate(device, kind)
    facts = {"benchmark": "chip", "device": device_name(device.type), "precision": str(kind).removeprefix("torch.")}
    print(json.dumps(facts | {"matrices_tflops": round(whole / 1e12, 2)}), flush=True)
    for name in asked.models:
        spec, eager = MODELS[name], None
        operations = 6 * spec.multiply_adds(SHAPE, CLASSES) * asked.batch
        for way in asked.ways:
            step = step_of(way, spec, asked.batch, device, kind) if time.monotonic() < until else None
            if step is None:
                continue
            steps = rate(step, device)
            eager = steps if way == "eager" else eager
            line: dict[str, Any] = facts | {"model": spec.name, "batch": asked.batch, "way": way}
            line |= {
                "images_per_second": round(steps * asked.batch),
                "share_of_chip": round(operations * steps / whole, 3),
            }
            print(json.dumps(line | {"to_eager": eager and round(steps / eager, 3)}), flush=True)


if __name__ == "__main__":
    main()
