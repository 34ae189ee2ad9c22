"""The same work by DeepCore (Guo et al. 2022, 2204.08499) and by winnow, in turn in one process.

    python scripts/bench/deepcore.py FOLDER [--images 2000] [--rounds 3] [--works herding]

FOLDER: of their repository, which is used as it is. Works: an epoch of training of a proxy model (their loop over a
DataLoader with their transforms, crops and mirrors; `fit` with the recorder, on the same made images); their GraNd, of
the last layer, by a trained proxy, scoring only (ours from the features of a pass); greedy k-centers and herding
of a tenth of 10,000 features of 512. One JSON line a work: medians of processor seconds on a CPU, of wall-clock on a
GPU, and theirs over ours.
"""

import argparse
import contextlib
import io
import json
import statistics
import sys
import time
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from made import colour_images
from torch.utils.data import Dataset
from torchvision import transforms

from winnow.core.machine import device_name
from winnow.core.types import Evidence, Subset
from winnow.datasets.augmentation import Augmentation
from winnow.datasets.base import ImageDataset
from winnow.models.base import Classifier, ModelSpec
from winnow.models.resnet_torchvision import ResNetTorchvision
from winnow.probes.forward import features, pass_into
from winnow.selectors.herding import Herding
from winnow.selectors.k_center import KCenter
from winnow.training.callbacks.forgetting import Forgetting
from winnow.training.devices import TrainerSpec
from winnow.training.fit import Fitted, fit
from winnow.training.recipe import Recipe

OURS: dict[str, ModelSpec] = {"ResNet18": ResNetTorchvision(depth=18)}
BATCH = 256
N, D, KEPT = 10_000, 512, 1000


class Pictures(Dataset[Any]):
    """The images as torchvision's CIFAR10 gives them, one at a time."""

    def __init__(self, dataset: ImageDataset) -> None:
        from PIL import Image

        self.data, self.targets, self.image = np.asarray(dataset.train_images), dataset.train_labels, Image.fromarray
        self.classes = list(dataset.class_names)
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop((32, 32), padding=4, padding_mode="reflect"),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize([0.49, 0.48, 0.45], [0.25, 0.24, 0.26]),
            ]
        )

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, number: int) -> tuple[torch.Tensor, int]:
        return self.transform(self.image(self.data[number])), int(self.targets[number])


def theirs(folder: Path, dataset: ImageDataset, model: str, device: torch.device) -> Any:
    """A GraNd of theirs with everything made but its training."""
    sys.path.insert(0, str(folder))
    from deepcore import methods

    given = {
        "num_classes": dataset.n_classes, "channel": 3, "im_size": (32, 32), "print_freq": 10**9, "workers": 0,
        "device": device.type, "gpu": [0] if device.type == "cuda" else None, "model": model,
        "selection_batch": BATCH, "selection_optimizer": "SGD", "selection_lr": 0.1, "selection_momentum": 0.9,
        "selection_weight_decay": 5e-4, "selection_nesterov": True, "selection_test_interval": 0,
    }  # fmt: skip
    method = methods.GraNd(Pictures(dataset), Namespace(**given), fraction=0.1, random_seed=0, epochs=0, repeat=1)
    method.cur_repeat, method.norm_matrix = 0, torch.zeros(len(method.dst_train), 1, device=device)
    method.run()
    return method


def fitted(dataset: ImageDataset, spec: ModelSpec) -> Fitted:
    recipe = Recipe(epochs=1, batch_size=BATCH, augmentation=Augmentation(shift=0.125, flip=True, padding="reflect"))
    recorder = Forgetting().build(np.arange(dataset.n), dataset.n_classes)
    given: dict[str, Any] = {"subset": Subset.full(dataset.n), "model": spec, "recipe": recipe, "seed": 0}
    return fit(dataset, **given, trainer=TrainerSpec(progress=False), callbacks=[recorder])


def last_layer_norms(dataset: ImageDataset, model: Classifier) -> np.ndarray:
    """‖p − y‖ · sqrt(1 + ‖h‖²), from one pass for the features."""
    seen = np.empty((1, dataset.n, model.head.in_features), dtype=np.float32)
    trainer = TrainerSpec(progress=False)
    pass_into(seen, [model], dataset, trainer=trainer, output=features, channels_last=True)
    hidden = torch.tensor(seen[0])
    with torch.no_grad():
        p = F.softmax(F.linear(hidden, model.head.weight.cpu(), model.head.bias.cpu()), dim=1)
    wrong = (p - F.one_hot(torch.tensor(dataset.train_labels), dataset.n_classes)).norm(dim=1)
    return (wrong * (1 + hidden.square().sum(1)).sqrt()).numpy()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", choices=OURS, default="ResNet18")
    parser.add_argument("--works", default="", help="only those with this in their name")
    asked = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dataset = colour_images(asked.images)
    spec = OURS[asked.model]
    with contextlib.redirect_stdout(io.StringIO()):
        method = theirs(asked.folder, dataset, asked.model, device)
        from deepcore.methods.herding import Herding as TheirHerding
        from deepcore.methods.kcentergreedy import k_center_greedy
        from deepcore.methods.methods_utils import euclidean_dist
    model = fitted(dataset, spec).model
    made = torch.randn(N, D, generator=torch.Generator().manual_seed(0))
    labels = np.zeros(N, dtype=np.int64)
    evidence = Evidence(dataset="made-up", labels=labels, embeddings=made.numpy())
    scores = np.zeros(N)

    def selected(selector: Any) -> Any:
        return selector.select(scores, labels, r=KEPT / N, seed=0, evidence=evidence)

    works: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
        f"an epoch of {spec.name}": (
            lambda: method.train(0, list(range(dataset.n))),
            lambda: fitted(dataset, spec),
        ),
        f"grand of the last layer, {spec.name}": (method.finish_run, lambda: last_layer_norms(dataset, model)),
        "k-centers": (
            lambda: k_center_greedy(made.to(device), KEPT, euclidean_dist, device, 0, already_selected=[]),
            lambda: selected(KCenter()),
        ),
        "herding": (lambda: herding(method, made.to(device), KEPT), lambda: selected(Herding())),
    }
    method.metric, herding = euclidean_dist, TheirHerding.herding
    for work, ways in ((name, ways) for name, ways in works.items() if asked.works in name):
        seconds: list[list[float]] = [[], []]
        for _ in range(asked.rounds):
            for way, taken in zip(ways, seconds, strict=True):
                taken.append(timed(way, device))
        them, us = map(statistics.median, seconds)
        line = {"benchmark": "deepcore", "work": work, "device": device_name(device.type), "images": dataset.n}
        line |= {"theirs": round(them, 2), "ours": round(us, 2), "theirs_to_ours": round(them / us, 2)}
        print(json.dumps(line), flush=True)


def timed(call: Callable[[], Any], device: torch.device) -> float:
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    started = clock()
    with contextlib.redirect_stdout(io.StringIO()):
        call()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return clock() - started


if __name__ == "__main__":
    main()
