"""How many threads a training step is fastest with: wall clock, and what the processors spent, by number of threads.

    python scripts/bench/threads.py [--models smallconv resnet8] [--steps 20] [--rounds 5] [--minutes 2]

Numbers of threads take turns within each round, in one process. A step is that of a recipe's batch: forward, backward,
update, on made-up images; smallconv's are of the digits' size, the others' of CIFAR's. One JSON line a model: the
medians of a step's milliseconds for each number of threads, by the clock, of processor time of all threads, and of the
calling thread alone; and the ratios to one thread. Threads wait passively, as in the commands: so on a machine that
does nothing else the clock goes with the calling thread, and on a busy one that thread's time is what can be told.
"""

import argparse
import json
import os
import statistics
import time
from collections import defaultdict

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch is imported

import joblib
import torch
import torch.nn.functional as F

from winnow.core.machine import processor_name
from winnow.models.base import ModelSpec
from winnow.models.resnet_cifar import ResNetCifar
from winnow.models.resnet_torchvision import ResNetTorchvision
from winnow.models.smallconv import SmallConv
from winnow.training.recipe import Recipe

CASES: dict[str, tuple[ModelSpec, tuple[int, int, int], int]] = {
    "smallconv": (SmallConv(), (8, 8, 1), 64),
    "smallconv_256": (SmallConv(), (8, 8, 1), 256),
    "smallconv16": (SmallConv(), (16, 16, 3), 128),
    "smallconv32": (SmallConv(), (32, 32, 3), 128),
    "resnet8": (ResNetCifar(depth=8), (32, 32, 3), 128),
    "resnet18": (ResNetTorchvision(depth=18), (32, 32, 3), 128),
}


def measure(name: str, *, steps: int, rounds: int, until: float) -> dict[str, object]:
    spec, shape, batch = CASES[name]
    torch.manual_seed(0)
    model = spec.build(shape, 10).to(memory_format=torch.channels_last)
    optimiser, _ = Recipe(epochs=1, batch_size=batch, lr=0.1).optimiser(model, steps=1)
    images = torch.randn(batch, shape[2], *shape[:2]).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(10, (batch,))
    model.train()

    def step() -> None:
        optimiser.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        optimiser.step()

    cores = joblib.cpu_count()
    counts = sorted({min(2**power, cores) for power in range(cores.bit_length() + 1)})
    wall, spent, calling = defaultdict(list), defaultdict(list), defaultdict(list)
    for number in range(rounds + 1):
        if number > 1 and time.monotonic() > until:
            break
        for threads in counts:
            torch.set_num_threads(threads)
            step()
            clock, processor, thread = time.perf_counter(), time.process_time(), time.thread_time()
            for _ in range(steps):
                step()
            if number:  # the first round warms up
                wall[threads].append((time.perf_counter() - clock) / steps)
                spent[threads].append((time.process_time() - processor) / steps)
                calling[threads].append((time.thread_time() - thread) / steps)
    medians = [{n: 1000 * statistics.median(taken) for n, taken in each.items()} for each in (wall, spent, calling)]
    clock_ms, all_ms, calling_ms = medians
    return {
        "benchmark": "threads",
        "model": name,
        "image": shape,
        "batch": batch,
        "multiply_adds": spec.multiply_adds(shape, 10) * batch,
        "device": processor_name(),
        "rounds": len(wall[1]),
        "ms": {n: round(value, 2) for n, value in clock_ms.items()},
        "processor_ms": {n: round(value, 2) for n, value in all_ms.items()},
        "calling_ms": {n: round(value, 2) for n, value in calling_ms.items()},
        "to_one_thread": {n: round(value / clock_ms[1], 2) for n, value in clock_ms.items()},
        "calling_to_one_thread": {n: round(value / calling_ms[1], 2) for n, value in calling_ms.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "--models",
        nargs="+",
        choices=CASES,
        default=["smallconv", "smallconv_256", "smallconv16", "smallconv32", "resnet8"],
    )
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=2.0, help="after which no further round begins")
    asked = parser.parse_args()
    until = time.monotonic() + 60 * asked.minutes
    for name in asked.models:
        print(json.dumps(measure(name, steps=asked.steps, rounds=asked.rounds, until=until)), flush=True)


if __name__ == "__main__":
    main()
