"""How fast `fit` trains, against a bare PyTorch loop of the same model, data and augmentation.

    python scripts/bench/training.py [--model smallconv|fastnet|resnet8|resnet18] [--images 10000] [--rounds 5]

Both run in turn in one process, one epoch each, and the medians are compared; a first round of each is not counted. On
a CPU seconds are the processor's (OMP_NUM_THREADS=1: those of one core). The bare loop takes the same batches from the
same loader and calls the same optimiser, and nothing else. One JSON line: images/s of both, and their ratio;
`overhead_ms_per_step`, the median over the rounds of what a step of `fit` takes longer, with what Lightning sets up
before the first and after the last stated apart (`set_up_ms`, of a training); and the size of a checkpoint of a
training that has recorded `--recorded` epochs of 50,000 examples, with the median of the seconds of a clock that taking
one costs. Where a step is long, its own noise hides the overhead: `--size 8 --batch-size 16` shows it.
"""

import argparse
import json
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
import torch.nn.functional as F
from made import colour_images
from pytorch_lightning import Callback, Trainer

from winnow.core.machine import device_name
from winnow.core.types import Subset
from winnow.datasets.augmentation import Augmentation
from winnow.datasets.base import ImageDataset
from winnow.datasets.loader import InMemoryLoader, on_device
from winnow.models.base import ModelSpec
from winnow.models.fastnet import FastNet
from winnow.models.resnet_cifar import ResNetCifar
from winnow.models.resnet_torchvision import ResNetTorchvision
from winnow.models.smallconv import SmallConv
from winnow.training.callbacks.forgetting import Forgetting
from winnow.training.devices import TrainerSpec
from winnow.training.fit import fit
from winnow.training.precision import settled
from winnow.training.recipe import Recipe

MODELS: dict[str, ModelSpec] = {
    "smallconv": SmallConv(),
    "fastnet": FastNet(),
    "resnet8": ResNetCifar(depth=8),
    "resnet18": ResNetTorchvision(depth=18),
}


def now() -> float:
    """Processor seconds of all threads, which other work on the machine leaves alone; on a GPU those of a clock."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


class _Clock(Callback):
    """Seconds of a training, and those from its first step to its last: what Lightning sets up is not in these."""

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        self.set_up = now()

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        self.started = now()

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        self.steps = now() - self.started

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        self.whole = now() - self.set_up


def bare(dataset: ImageDataset, spec: ModelSpec, recipe: Recipe, device: torch.device) -> float:
    """Seconds of one epoch of a plain loop."""
    torch.manual_seed(0)
    model = spec.build(dataset.image_shape, dataset.n_classes).to(device).to(memory_format=torch.channels_last)
    train, _ = on_device(dataset, device)
    loader = InMemoryLoader(train, batch_size=recipe.batch_size, augmentation=recipe.augmentation, seed=0)
    optimiser, schedule = recipe.optimiser(model, len(loader))
    assert schedule is not None
    model.train()
    started = now()
    for batch in loader:
        optimiser.zero_grad()
        with torch.autocast(device.type, torch.bfloat16, enabled=recipe.precision == "bfloat16"):
            logits = model(batch.image)
        F.cross_entropy(logits.float(), batch.label).backward()
        optimiser.step()
        schedule.step()
    return now() - started


def fitted(
    dataset: ImageDataset,
    spec: ModelSpec,
    recipe: Recipe,
    *,
    recorder: Callback | None = None,
    file: Path | None = None,
) -> tuple[float, float]:
    """Seconds of one epoch by `fit`, and those of its steps alone. file: of a checkpoint before each step."""
    subset = Subset.full(dataset.n)
    clock = _Clock()
    callbacks = [clock] if recorder is None else [recorder, clock]
    options = TrainerSpec(progress=False, checkpoint_seconds=1e-9, checkpoint_share=1.0)
    asked: dict[str, Any] = {"subset": subset, "model": spec, "recipe": recipe, "seed": 0, "checkpoint": file}
    fit(dataset, **asked, trainer=options, callbacks=callbacks)
    return clock.whole, clock.steps


def checkpointed(spec: ModelSpec, recipe: Recipe, recorded: int, examples: int = 50_000) -> dict[str, float]:
    """The size of a checkpoint in an epoch after so many recorded ones, and the seconds that taking one costs."""
    seconds, save = [], Trainer.save_checkpoint
    dataset = colour_images(examples, size=8)
    recorder = Forgetting().build(np.arange(dataset.n), dataset.n_classes)
    for name, rows in recorder.rows.items():
        kind = np.int8 if name == "correct" else np.float32
        rows.extend(np.random.default_rng(0).integers(0, 2, (recorded, dataset.n)).astype(kind))

    def timed(*arguments: Any, **options: Any) -> None:
        started = time.perf_counter()
        save(*arguments, **options)
        seconds.append(time.perf_counter() - started)

    with tempfile.TemporaryDirectory() as folder, patch.object(Trainer, "save_checkpoint", timed):
        file = Path(folder) / "training.ckpt"
        fitted(dataset, spec, replace(recipe, total_steps=4), recorder=recorder, file=file)
        return {"megabytes": round(file.stat().st_size / 1e6, 1), "seconds": round(statistics.median(seconds), 4)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", choices=MODELS, default="resnet8")
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--recorded", type=int, default=200)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--precision", default="float32", help="or bfloat16, or auto")
    asked = parser.parse_args()
    spec = MODELS[asked.model]
    dataset = colour_images(asked.images, size=asked.size)
    augmentation = Augmentation(shift=0.125, flip=True)
    asked_for = Recipe(epochs=1, batch_size=asked.batch_size, augmentation=augmentation, precision=asked.precision)
    recipe = settled(asked_for)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

    rounds: list[dict[str, float]] = []
    for _ in range(asked.rounds + 1):
        seconds = {"bare": bare(dataset, spec, recipe, device)}
        seconds["fit"], seconds["steps"] = fitted(dataset, spec, recipe)
        recorder = Forgetting().build(np.arange(dataset.n), dataset.n_classes)
        seconds["fit_recording"], _ = fitted(dataset, spec, recipe, recorder=recorder)
        rounds.append(seconds)
    rounds = rounds[1:]  # the first warms up
    median = {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}
    longer = statistics.median(each["steps"] - each["bare"] for each in rounds)
    set_up = statistics.median(each["fit"] - each["steps"] for each in rounds)
    result = {
        "benchmark": "training",
        "model": spec.name,
        "images": dataset.n,
        "batch": recipe.batch_size,
        "precision": recipe.precision,
        "device": device_name(device.type),
        "rounds": asked.rounds,
        "images_per_second": {name: round(dataset.n / value) for name, value in median.items()},
        "fit_to_bare": round(median["bare"] / median["fit"], 3),
        "steps_to_bare": round(median["bare"] / median["steps"], 3),
        "overhead_ms_per_step": round(1e3 * longer / recipe.steps(dataset.n, dataset.n), 3),
        "set_up_ms": round(1e3 * set_up, 1),
        "checkpoint": checkpointed(spec, recipe, asked.recorded),
        "recording_to_fit": round(median["fit"] / median["fit_recording"], 3),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
