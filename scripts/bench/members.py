"""Training K small models on one device: one after another, by several processes, or as one stacked model.

    python scripts/bench/members.py [--models smallconv resnet8] [--members 2 5 10] [--steps 8] [--minutes 3]

All three are bare loops over the same made-up batches, other ones for each model: what Lightning adds is left out.
"processes" is as in winnow.probes.members_at_once, at most one a thread of the CPU, with the threads shared out, all
started before the clock runs. "stacked" is torch.func: one step of all K by vmap over stacked weights; before it
counts, its weights after two steps are compared with the sequential ones. On a CPU both have all threads, and as
"..._one_thread" one. One JSON line a model and K: the medians of
milliseconds for one step of one model by the clock and, on a CPU, of processor time, and each way's in those of the
first, which are medians of ratios within a round.
"""

import argparse
import copy
import json
import os
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from multiprocessing import connection, get_context
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch is imported

import joblib
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call, grad, stack_module_state, vmap

from winnow.core.machine import processor_name
from winnow.models.base import Classifier, ModelSpec
from winnow.models.fastnet import FastNet
from winnow.models.resnet_cifar import ResNetCifar
from winnow.models.smallconv import SmallConv
from winnow.training.recipe import Recipe

CASES: dict[str, tuple[ModelSpec, tuple[int, int, int], int]] = {
    "smallconv": (SmallConv(), (8, 8, 1), 64),
    "resnet8": (ResNetCifar(depth=8), (32, 32, 3), 128),
    "fastnet": (FastNet(), (32, 32, 3), 256),
}
"""name -> model, (H, W, C) of its images, batch size"""
Train = Callable[[int], None]
"""Trains for so many steps, and waits for the device."""


def _model(spec: ModelSpec, shape: tuple[int, int, int], device: str, member: int) -> Classifier:
    torch.manual_seed(member)
    return spec.build(shape, 10).to(device).to(memory_format=torch.channels_last).train()


def _batch(shape: tuple[int, int, int], size: int, device: str, member: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(member)
    images = torch.randn(size, shape[2], *shape[:2], generator=generator).to(device)
    return images.contiguous(memory_format=torch.channels_last), torch.randint(10, (size,), generator=generator).to(
        device
    )


def one_after_another(name: str, device: str, members: range) -> tuple[Train, list[Classifier]]:
    spec, shape, size = CASES[name]
    models = [_model(spec, shape, device, member) for member in members]
    batches = [_batch(shape, size, device, member) for member in members]
    recipe = Recipe(epochs=1, batch_size=size, lr=0.1)
    optimisers = [recipe.optimiser(model, steps=10**6)[0] for model in models]

    def train(steps: int) -> None:
        for model, optimiser, (images, labels) in zip(models, optimisers, batches, strict=True):
            for _ in range(steps):
                optimiser.zero_grad()
                F.cross_entropy(model(images), labels).backward()
                optimiser.step()
        _wait(device)

    return train, models


def stacked(name: str, device: str, members: range) -> tuple[Train, dict[str, Tensor]]:
    spec, shape, size = CASES[name]
    models = [_model(spec, shape, device, member) for member in members]
    parameters, buffers = stack_module_state(models)
    skeleton = copy.deepcopy(models[0]).to("meta")
    drawn = [_batch(shape, size, device, member) for member in members]
    images, labels = (torch.stack(each) for each in zip(*drawn, strict=True))
    recipe = Recipe(epochs=1, batch_size=size, lr=0.1)
    decayed = [parameter for parameter in parameters.values() if parameter.dim() > 2]
    rest = [parameter for parameter in parameters.values() if parameter.dim() <= 2]
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": rest, "weight_decay": 0.0}]
    by_name, _ = recipe.optimiser(models[0], steps=10**6)
    optimiser = torch.optim.SGD(groups, lr=by_name.param_groups[0]["lr"], momentum=recipe.momentum, nesterov=True)

    def loss(parameters: Any, buffers: Any, images: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(functional_call(skeleton, (parameters, buffers), (images,)), labels)

    gradients = vmap(grad(loss))

    def train(steps: int) -> None:
        for _ in range(steps):
            found = gradients(parameters, buffers, images, labels)
            for each, parameter in parameters.items():
                parameter.grad = found[each]
            optimiser.step()
        _wait(device)

    return train, parameters


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def _work(pipe: "connection.Connection", name: str, device: str, members: range, threads: int) -> None:
    """A process that trains its models when it is told for how many steps."""
    torch.set_num_threads(threads)
    train, _ = one_after_another(name, device, members)
    train(1)
    pipe.send(0.0)
    while steps := pipe.recv():
        spent = time.process_time()
        train(steps)
        pipe.send(time.process_time() - spent)


def by_processes(name: str, device: str, count: int, processes: int) -> tuple[Callable[[int], float], list[Any]]:
    """Trains for so many steps; the processor seconds of all. And the pipes, which end the processes by a 0."""
    context, pipes = get_context("spawn"), []
    threads = max(1, joblib.cpu_count() // processes)
    for number in range(processes):
        here, there = context.Pipe()
        members = range(number, count, processes)
        context.Process(target=_work, args=(there, name, device, members, threads), daemon=True).start()
        pipes.append(here)
    for pipe in pipes:
        pipe.recv()

    def train(steps: int) -> float:
        for pipe in pipes:
            pipe.send(steps)
        return sum(pipe.recv() for pipe in pipes)

    return train, pipes


def check_equal(name: str, device: str, count: int) -> float:
    """The largest difference in a weight after two steps, stacked and one after another, in units of the largest."""
    train, models = one_after_another(name, device, range(count))
    other, parameters = stacked(name, device, range(count))
    train(2)
    other(2)
    apart = [
        (parameters[each][member] - value).abs().max() / value.abs().max().clamp(min=1e-3)
        for member, model in enumerate(models)
        for each, value in model.named_parameters()
    ]
    return torch.stack(apart).max().item()


def measure(name: str, count: int, device: str, *, steps: int, rounds: int, until: float) -> dict[str, object]:
    apart = check_equal(name, device, count)
    assert apart < 0.02, f"stacked training differs by {apart}"
    processes = min(count, joblib.cpu_count())
    alone, _ = one_after_another(name, device, range(count))
    together, _ = stacked(name, device, range(count))
    at_once, pipes = by_processes(name, device, count, processes)
    ways: dict[str, Callable[[int], float | None]] = {"sequential": alone, "processes": at_once, "stacked": together}
    if device == "cpu":
        ways |= {"sequential_one_thread": alone, "stacked_one_thread": together}
    clock, spent = defaultdict(list), defaultdict(list)
    for number in range(rounds + 1):
        if number > 1 and time.monotonic() > until:
            break
        for way, train in ways.items():
            torch.set_num_threads(1 if way.endswith("one_thread") else joblib.cpu_count())
            started, processor = time.perf_counter(), time.process_time()
            children = train(1 if number == 0 else steps) or 0.0
            if number:  # the first round warms up
                each = 1000 / (steps * count)
                clock[way].append((time.perf_counter() - started) * each)
                spent[way].append((time.process_time() - processor + children) * each)
    for pipe in pipes:
        pipe.send(0)
    measured = {"ms": clock} if device == "cuda" else {"ms": clock, "processor_ms": spent}
    result: dict[str, object] = {
        "benchmark": "members",
        "model": name,
        "members": count,
        "processes": processes,
        "device": torch.cuda.get_device_name()
        if device == "cuda"
        else f"{processor_name()}, {joblib.cpu_count()} cores",
        "rounds": len(clock["sequential"]),
    }
    for unit, taken in measured.items():
        result[unit] = {way: round(statistics.median(values), 2) for way, values in taken.items()}
        ratios = {way: [v / s for v, s in zip(taken[way], taken["sequential"], strict=True)] for way in ways}
        result[f"{unit}_to_sequential"] = {way: round(statistics.median(values), 2) for way, values in ratios.items()}
    return result


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--members", nargs="+", type=int, default=[2, 5, 10])
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=3.0, help="after which no further round begins")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    asked = parser.parse_args()
    until = time.monotonic() + 60 * asked.minutes
    for name in asked.models:
        for count in asked.members:
            measured = measure(name, count, asked.device, steps=asked.steps, rounds=asked.rounds, until=until)
            print(json.dumps(measured), flush=True)


if __name__ == "__main__":
    main()
