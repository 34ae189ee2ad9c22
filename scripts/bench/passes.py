"""How many images a pass without gradients should take at once.

    python scripts/bench/passes.py [--models resnet8 resnet18] [--images 4000] [--batches 125 1000 4000] [--rounds 3]

One JSON line a model: images/s of `pass_into` for logits with so many at once (on a CPU a processor second), medians of
interleaved rounds after one that is not counted; the number that winnow takes; and the largest difference of a logit
from those of the first number, over the largest logit.
"""

import argparse
import json
import statistics
import time

import numpy as np
import torch
from made import colour_images

from winnow.core.machine import device_name
from winnow.datasets.loader import at_once
from winnow.models.base import ModelSpec
from winnow.models.fastnet import FastNet
from winnow.models.resnet_cifar import ResNetCifar
from winnow.models.resnet_torchvision import ResNetTorchvision
from winnow.probes.forward import pass_into
from winnow.training.devices import TrainerSpec

MODELS: dict[str, ModelSpec] = {
    "fastnet": FastNet(),
    "resnet8": ResNetCifar(depth=8),
    "resnet18": ResNetTorchvision(depth=18),
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", nargs="+", choices=MODELS, default=["resnet8", "resnet18"])
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--batches", nargs="+", type=int, default=[125, 250, 1000, 4000])
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    kind = "cuda" if torch.cuda.is_available() else "cpu"
    clock = time.process_time if kind == "cpu" else time.perf_counter
    dataset, trainer = colour_images(asked.images), TrainerSpec(progress=False)
    for name in asked.models:
        torch.manual_seed(0)
        model = MODELS[name].build(dataset.image_shape, dataset.n_classes)
        seconds: dict[int, list[float]] = {size: [] for size in asked.batches}
        logits = {size: np.empty((1, dataset.n, dataset.n_classes), dtype=np.float32) for size in asked.batches}
        for number in range(asked.rounds + 1):
            for size in asked.batches:
                started = clock()
                pass_into(logits[size], [model], dataset, trainer=trainer, batch_size=size, channels_last=True)
                if number:
                    seconds[size].append(clock() - started)
        first = logits[asked.batches[0]]
        apart = max(float(np.abs(each - first).max() / np.abs(first).max()) for each in logits.values())
        rates = {size: round(dataset.n / statistics.median(taken)) for size, taken in seconds.items()}
        line = {"benchmark": "passes", "model": MODELS[name].name, "device": device_name(kind), "images": dataset.n}
        line |= {"images_per_second": rates, "taken": at_once(dataset.image_shape, kind), "largest_difference": apart}
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
