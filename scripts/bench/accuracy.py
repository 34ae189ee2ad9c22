"""What test accuracy a training reaches, and what it costs: models and recipes beside each other.

    python scripts/bench/accuracy.py data/cifar10 [--trainings "fastnet fast" "resnet8 images recipe.epochs=6"]

A training is a model and a recipe of conf/ and, if any, overrides of theirs. The folder is one of dataset=imagefolder.
One JSON line each: accuracies in percent of every seed; of their trainings and tests the median seconds and processor
minutes (of all threads), all included but imports and decoding, and images/s in training. --peer: after a warm-up of
both, airbench's own train94 on the same device (a GPU) and images, three times as well; it has to be importable
(`pip install airbench`, or its folder on PYTHONPATH).
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from winnow.cli.configuration import CONF
from winnow.core.machine import device_name
from winnow.core.types import Subset
from winnow.datasets.base import ImageDataset
from winnow.datasets.imagefolder import ImageFolder
from winnow.models.base import ModelSpec
from winnow.store.artifacts import ArtifactStore
from winnow.training.devices import TrainerSpec
from winnow.training.fit import Fitted, fit, measure
from winnow.training.precision import settled
from winnow.training.recipe import Recipe

TRAININGS = (
    "resnet8 images recipe.epochs=6 recipe.precision=auto",
    "fastnet fast model.stride=2 model.width=32 recipe.epochs=8",
    "fastnet fast model.stride=2 recipe.epochs=8",
    "fastnet fast model.width=32 recipe.epochs=8",
    "fastnet fast",
    "resnet18 images recipe.epochs=1 recipe.precision=auto",
)


def read(training: str) -> tuple[ModelSpec, Recipe]:
    """The model and the recipe of a training as it is named above."""
    model, recipe, *overrides = training.split()
    with initialize_config_dir(CONF, version_base="1.3"):
        named = {"model": f"model/{model}", "recipe": f"recipe/{recipe}"}
        parts = {
            group: compose(name, overrides=[each for each in overrides if each.startswith(f"{group}.")])[group]
            for group, name in named.items()
        }
    return instantiate(parts["model"]), instantiate(parts["recipe"])


def ours(dataset: ImageDataset, model: ModelSpec, recipe: Recipe, seed: int) -> tuple[float, Fitted]:
    """Test accuracy in [0, 1], and the training."""
    trainer = TrainerSpec(progress=False)
    recipe = settled(recipe, trainer)
    given: dict[str, Any] = {"subset": Subset.full(dataset.n), "model": model, "recipe": recipe, "seed": seed}
    fitted = fit(dataset, **given, trainer=trainer)
    return 1 - measure(dataset, fitted.model, recipe=recipe, trainer=trainer).error, fitted


def timed(call: Callable[[], Any]) -> tuple[Any, float, float]:
    """What a call gives, its seconds, and its processor seconds."""
    wall, processor = time.perf_counter(), time.process_time()
    result = call()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return result, time.perf_counter() - wall, time.process_time() - processor


def report(name: str, runs: list[tuple[float, float, float]], **facts: Any) -> None:
    """runs: (accuracy, seconds, processor seconds) of each seed."""
    accuracies, seconds, processor = zip(*runs, strict=True)
    line = {
        "benchmark": "accuracy",
        "training": name,
        "device": device_name("cuda" if torch.cuda.is_available() else "cpu"),
        "accuracy": [round(100 * each, 2) for each in accuracies],
        "seconds": round(statistics.median(seconds), 2),
        "processor_minutes": round(statistics.median(processor) / 60, 2),
        **facts,
    }
    print(json.dumps(line), flush=True)


def peer(dataset: ImageDataset, seeds: int) -> None:
    """airbench94 as it is published, on these images, which its loader reads from files of its own."""
    import airbench

    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        Path("cifar10").mkdir()
        for part, images, labels in (
            ("train", dataset.train_images, dataset.train_labels),
            ("test", dataset.test_images, dataset.test_labels),
        ):
            tensors = {"images": torch.tensor(images), "labels": torch.tensor(labels)}
            torch.save(tensors | {"classes": list(dataset.class_names)}, f"cifar10/{part}.pt")
        airbench.train94(verbose=False, epochs=2)
        runs = []
        for _ in range(seeds):
            accuracy, wall, processor = timed(lambda: _evaluated(airbench, airbench.train94(verbose=False)))
            runs.append((accuracy, wall, processor))
        report("airbench94", runs, test_views=6)


def _evaluated(airbench: Any, model: Any) -> float:
    return airbench.evaluate(model, airbench.CifarLoader("cifar10", train=False, batch_size=2000), tta_level=2)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--trainings", nargs="+", default=TRAININGS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--limit", type=int, help="training images; all, if not given")
    parser.add_argument("--size", type=int, default=32, help="pixels a side")
    parser.add_argument("--peer", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as store:
        dataset = ImageFolder(root=asked.folder, size=asked.size, limit=asked.limit).load(ArtifactStore(Path(store)))
        for training in asked.trainings:
            model, recipe = read(training)
            if torch.cuda.is_available():  # the first steps of a process choose kernels
                ours(dataset, model, Recipe(epochs=1, batch_size=recipe.batch_size, lr=1e-3), 0)
            runs = []
            for seed in range(asked.seeds):
                (accuracy, fitted), wall, processor = timed(partial(ours, dataset, model, recipe, seed))
                runs.append((accuracy, wall, processor))
            facts = {"model": model.name, "epochs": recipe.epochs, "precision": settled(recipe).precision}
            facts |= {"test_views": recipe.test_views, "images": dataset.n}
            report(training, runs, **facts, images_per_second=round(fitted.examples_seen / fitted.seconds))
        if asked.peer:
            peer(dataset, asked.seeds)


if __name__ == "__main__":
    main()
