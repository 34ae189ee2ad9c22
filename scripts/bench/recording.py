"""What recording trajectories costs of an epoch that several processes train: what each step adds, and the merging.

    python scripts/bench/recording.py [--model resnet8] [--images 10000] [--devices 2] [--epochs 4]

Both shares are of the leader's time for an epoch, in the same run, the medians of all epochs but the first; the merging
is the one exchange at the end of an epoch, in which a process that is ahead also waits for the slowest, so the wait is
taken out by a barrier before it. One JSON line.
"""

import argparse
import json
import statistics
import time
from typing import Any

import torch
import torch.distributed as dist
from pytorch_lightning import Callback, LightningModule, Trainer

from winnow.core.machine import device_name
from winnow.core.types import Subset
from winnow.datasets.augmentation import Augmentation
from winnow.datasets.synthetic import Synthetic
from winnow.models.base import ModelSpec
from winnow.models.resnet_cifar import ResNetCifar
from winnow.models.resnet_torchvision import ResNetTorchvision
from winnow.parallel import workers
from winnow.store.artifacts import ArtifactStore
from winnow.training.callbacks.forgetting import Forgetting
from winnow.training.devices import TrainerSpec
from winnow.training.fit import fit
from winnow.training.recipe import Recipe

MODELS: dict[str, ModelSpec] = {"resnet8": ResNetCifar(depth=8), "resnet18": ResNetTorchvision(depth=18)}
spent: dict[str, list[float]] = {"epoch": [], "steps": [], "merging": []}
exchanges: list[int] = []
now: dict[str, float] = {}


class Stopwatch(Callback):
    """One before the recorder (begins) and one after it: between them is what the recorder takes."""

    def __init__(self, *, begins: bool) -> None:
        self.begins = begins

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.begins:
            now["epoch"], now["steps"] = time.perf_counter(), 0.0

    def on_train_batch_end(self, *_: Any) -> None:
        self._synchronise()
        now["steps"] += -time.perf_counter() if self.begins else time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._synchronise()
        if self.begins:
            if workers.is_distributed():
                dist.barrier()
            now["merging"] = time.perf_counter()
            exchanges.append(0)
            return
        done = time.perf_counter()
        spent["merging"].append(done - now["merging"])
        spent["steps"].append(now["steps"])
        spent["epoch"].append(done - now["epoch"])

    def _synchronise(self) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()


def counted(all_reduce: Any) -> Any:
    """all_reduce, counted between the beginning of the merging and the end of the epoch."""

    def call(*arguments: Any, **options: Any) -> Any:
        if exchanges and len(spent["epoch"]) < len(exchanges):
            exchanges[-1] += 1
        return all_reduce(*arguments, **options)

    return call


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", choices=MODELS, default="resnet8")
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--devices", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=4)
    asked = parser.parse_args()
    dataset = Synthetic(n=asked.images, n_test=100, n_classes=10, size=32).load(ArtifactStore())
    recipe = Recipe(epochs=asked.epochs, batch_size=256, augmentation=Augmentation(shift=0.125, flip=True))
    spec, subset = MODELS[asked.model], Subset.full(dataset.n)
    recorder = Forgetting().build(subset.indices, dataset.n_classes)
    dist.all_reduce = counted(dist.all_reduce)
    fitted = fit(
        dataset,
        subset=subset,
        model=spec,
        recipe=recipe,
        seed=0,
        trainer=TrainerSpec(progress=False, devices=asked.devices),
        callbacks=[Stopwatch(begins=True), recorder, Stopwatch(begins=False)],
    )
    epoch, steps, merging = (statistics.median(spent[name][1:]) for name in ("epoch", "steps", "merging"))
    result = {
        "benchmark": "recording",
        "model": spec.name,
        "images": dataset.n,
        "device": fitted.device if asked.devices > 1 else device_name("cuda" if torch.cuda.is_available() else "cpu"),
        "seconds_an_epoch": round(epoch, 3),
        "exchanges_an_epoch": statistics.median(exchanges),
        "merging_share": round(merging / epoch, 5),
        "steps_share": round(steps / epoch, 5),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    import recording  # by its name, under which the other processes find the stopwatches

    recording.main()
