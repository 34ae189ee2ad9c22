"""How fast `fit` trains, against a bare PyTorch loop of the same model, data and augmentation.

    python scripts/bench/training.py [--model resnet8] [--images 10000] [--rounds 5]

Both run in turn in one process, one epoch each, and the medians are compared; a first round of each is not counted. The
bare loop takes the same batches from the same loader and calls the same optimiser, and nothing else. One JSON line:
images/s of both, and their ratio.
"""

import argparse
import json
import statistics
import time

import torch
import torch.nn.functional as F

from winnow.artifacts import ArtifactStore, device_name
from winnow.datasets.augmentation import Augmentation
from winnow.datasets.base import ImageDataset
from winnow.datasets.loader import InMemoryLoader, on_device
from winnow.datasets.synthetic import Synthetic
from winnow.models.base import ModelSpec
from winnow.models.resnet_cifar import ResNetCifar
from winnow.models.resnet_torchvision import ResNetTorchvision
from winnow.training.callbacks.forgetting import Forgetting
from winnow.training.fit import TrainerSpec, fit
from winnow.training.recipe import Recipe
from winnow.types import Subset

MODELS: dict[str, ModelSpec] = {"resnet8": ResNetCifar(depth=8), "resnet18": ResNetTorchvision(depth=18)}


def bare(dataset: ImageDataset, spec: ModelSpec, recipe: Recipe, device: torch.device) -> float:
    """Seconds of one epoch of a plain loop."""
    torch.manual_seed(0)
    model = spec.build(dataset.image_shape, dataset.n_classes).to(device).to(memory_format=torch.channels_last)
    train, _ = on_device(dataset, device)
    loader = InMemoryLoader(train, batch_size=recipe.batch_size, augmentation=recipe.augmentation, seed=0)
    optimiser, schedule = recipe.optimiser(model, len(loader))
    assert schedule is not None
    model.train()
    started = time.perf_counter()
    for batch in loader:
        optimiser.zero_grad()
        with torch.autocast(device.type, torch.bfloat16, enabled=recipe.precision == "bfloat16"):
            logits = model(batch.image)
        F.cross_entropy(logits.float(), batch.label).backward()
        optimiser.step()
        schedule.step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def fitted(dataset: ImageDataset, spec: ModelSpec, recipe: Recipe, *, record: bool) -> float:
    """Seconds of one epoch by `fit`, Lightning's set-up included."""
    subset = Subset.full(dataset.n)
    callbacks = [Forgetting().build(subset.indices, dataset.n_classes)] if record else []
    options = TrainerSpec(progress=False)
    return fit(dataset, subset=subset, model=spec, recipe=recipe, seed=0, trainer=options, callbacks=callbacks).seconds


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", choices=MODELS, default="resnet8")
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    spec = MODELS[asked.model]
    dataset = Synthetic(n=asked.images, n_test=100, n_classes=10, size=32).load(ArtifactStore())
    recipe = Recipe(epochs=1, batch_size=256, augmentation=Augmentation(shift=0.125, flip=True))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

    seconds: dict[str, list[float]] = {"bare": [], "fit": [], "fit_recording": []}
    for number in range(asked.rounds + 1):
        taken = {
            "bare": bare(dataset, spec, recipe, device),
            "fit": fitted(dataset, spec, recipe, record=False),
            "fit_recording": fitted(dataset, spec, recipe, record=True),
        }
        for name in seconds:
            if number:  # the first round warms up
                seconds[name].append(taken[name])
    median = {name: statistics.median(values) for name, values in seconds.items()}
    result = {
        "benchmark": "training",
        "model": spec.name,
        "images": dataset.n,
        "device": device_name(device.type),
        "rounds": asked.rounds,
        "images_per_second": {name: round(dataset.n / value) for name, value in median.items()},
        "fit_to_bare": round(median["bare"] / median["fit"], 3),
        "recording_to_fit": round(median["fit"] / median["fit_recording"], 3),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
