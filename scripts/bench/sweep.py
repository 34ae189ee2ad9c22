"""What one probe run for all cells of a sweep saves, and what several jobs on one device bring.

    python scripts/bench/sweep.py [--slots 2] [OVERRIDE ...]
    python scripts/bench/sweep.py --jobs 1,4 [--model resnet18] [--images 20000] [--epochs 2]

The first runs the same twelve cells of the digits twice, from nothing and in as many processes at once: on the pool,
where they share one probe ensemble, and each with a store of its own, so that each scores anew. Overrides are added to
every cell. One JSON line: seconds of both, and their ratio. The second trains so many models at once on one device, on
made images of 32x32x3, after an epoch to warm up: one JSON line with the images/s of all together for each number of
jobs, from when all are ready until the last one ends. The pool packs so many by hydra.launcher.jobs_per_device.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

import joblib
import torch

from winnow.core.machine import device_name, processor_name
from winnow.core.types import Subset
from winnow.datasets.augmentation import Augmentation
from winnow.datasets.synthetic import Synthetic
from winnow.models.base import ModelSpec
from winnow.models.resnet_cifar import ResNetCifar
from winnow.models.resnet_torchvision import ResNetTorchvision
from winnow.store.artifacts import ArtifactStore
from winnow.training.devices import TrainerSpec
from winnow.training.fit import fit
from winnow.training.recipe import Recipe

READY = "ready\n"
CELLS = {"selector": ("threshold", "calibrated"), "compression.r": ("0.1", "0.3"), "seed": ("0", "1", "2")}
ONE_ENSEMBLE = "probe.seed=0"  # what is measured is the sharing of it


MODELS: dict[str, ModelSpec] = {"resnet8": ResNetCifar(depth=8), "resnet18": ResNetTorchvision(depth=18)}


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what the pool launcher saves.")
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--jobs", help="numbers of jobs at once on one device, such as 1,4")
    parser.add_argument("--model", default="resnet18", choices=MODELS)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--job", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("overrides", nargs="*")
    asked = parser.parse_args()
    if asked.job:
        train_when_told(MODELS[asked.model], asked.images, asked.epochs)
        return
    if asked.jobs:
        rates = {
            jobs: together(jobs, asked.model, asked.images, asked.epochs) for jobs in map(int, asked.jobs.split(","))
        }
        values = list(rates.values())
        kind = "cuda" if torch.cuda.is_available() else "cpu"
        result = {
            "benchmark": "jobs on one device",
            "model": MODELS[asked.model].name,
            "images": asked.images,
            "epochs": asked.epochs,
            "device": device_name(kind) if kind == "cuda" else f"{processor_name()}, {joblib.cpu_count()} cores",
            "images_per_second": {jobs: round(rate) for jobs, rate in rates.items()},
            "last_to_first": round(values[-1] / values[0], 2),
        }
    else:
        with tempfile.TemporaryDirectory() as folder:
            shared = on_the_pool(Path(folder) / "shared", asked.slots, asked.overrides)
            anew = each_anew(Path(folder) / "anew", asked.slots, asked.overrides)
        result = {
            "benchmark": "sweep",
            "cells": 12,
            "slots": asked.slots,
            "threads_of_a_job": environment(asked.slots)["OMP_NUM_THREADS"],
            "overrides": asked.overrides,
            "seconds": {"shared": round(shared, 1), "anew": round(anew, 1)},
            "anew_to_shared": round(anew / shared, 2),
        }
    print(json.dumps(result))


def environment(slots: int) -> dict[str, str]:
    """With the threads that the pool gives each of so many jobs."""
    return {"OMP_NUM_THREADS": str(max(1, joblib.cpu_count() // slots))} | os.environ


def on_the_pool(folder: Path, slots: int, overrides: Sequence[str]) -> float:
    """Seconds of the sweep."""
    listed = [f"{name}={','.join(values)}" for name, values in CELLS.items()]
    pool = ["hydra/launcher=pool", "hydra.launcher.devices=1", f"hydra.launcher.jobs_per_device={slots}"]
    started = time.perf_counter()
    run(
        folder,
        dict(os.environ),
        ["-m", "dataset=digits", *listed, ONE_ENSEMBLE, *overrides, *pool, "hydra.sweep.dir=sweep"],
    )
    return time.perf_counter() - started


def each_anew(folder: Path, slots: int, overrides: Sequence[str]) -> float:
    """Seconds of the same cells, each from an empty store."""
    cells = [
        [f"{name}={value}" for name, value in zip(CELLS, values, strict=True)] for values in product(*CELLS.values())
    ]
    started = time.perf_counter()
    with ThreadPoolExecutor(slots) as threads:
        todo = [
            threads.submit(
                run, folder / str(number), environment(slots), ["dataset=digits", *cell, ONE_ENSEMBLE, *overrides]
            )
            for number, cell in enumerate(cells)
        ]
    for each in todo:
        each.result()
    return time.perf_counter() - started


def run(folder: Path, environment: dict[str, str], arguments: Sequence[str]) -> None:
    """scripts/run.py in a folder of its own, where its store lies too."""
    folder.mkdir(parents=True)
    command = [sys.executable, str(Path(__file__).parents[1] / "run.py"), *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)


def together(jobs: int, model: str, images: int, epochs: int) -> float:
    """Images/s of so many trainings at once, from the moment when all are ready until the last one ends."""
    command = [sys.executable, __file__, "--job", f"--model={model}", f"--images={images}", f"--epochs={epochs}"]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, env=environment(jobs), **pipes) for _ in range(jobs)]
    for process in processes:
        assert process.stdin is not None
        assert process.stdout is not None
        if process.stdout.readline() != READY:
            sys.exit("a job failed; see above.")
    started = time.perf_counter()
    for process in processes:
        process.stdin.close()  # type: ignore[union-attr]
    for process in processes:
        if process.wait():
            sys.exit("a job failed; see above.")
    return jobs * images * epochs / (time.perf_counter() - started)


def train_when_told(model: ModelSpec, images: int, epochs: int) -> None:
    """Train for one epoch to warm up, say so, wait for the end of standard input, train, and leave at once."""
    dataset = Synthetic(n=images, n_test=100, n_classes=10, size=32).load(ArtifactStore())
    options: dict[str, Any] = {"subset": Subset.full(images), "model": model, "trainer": TrainerSpec(progress=False)}
    shown: dict[str, Any] = {"batch_size": 256, "augmentation": Augmentation(shift=0.125, flip=True)}
    fit(dataset, recipe=Recipe(epochs=1, **shown), seed=0, **options)
    print(READY, end="", flush=True)
    sys.stdin.read()
    fit(dataset, recipe=Recipe(epochs=epochs, **shown), seed=0, **options)
    os._exit(0)  # the end of the interpreter takes time that is not training


if __name__ == "__main__":
    main()
