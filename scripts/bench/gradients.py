"""How fast exact per-example gradient norms are: layer by layer, by torch.func, and one example at a time.

    python scripts/bench/gradients.py [--models resnet8 resnet18] [--ways layers loop] [--size 32] [--examples 128]

All three give the same norms (to 0.1%, in float32); winnow.probes.gradients takes the first where it knows every
layer and the second otherwise, eight images of 32x32 at once on a CPU. Beside them a training epoch of the same model
on the same images takes its turn, in batches of 128. Images are square, of three channels and made up. One JSON line a
model: examples/s of each, medians over rounds that take turns; how many times faster than the loop each is; and in
training epochs what a pass of each takes, by the clock and, on a CPU, in processor time.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable

import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from torch import Tensor

from winnow.cli.configuration import CONF
from winnow.core.machine import device_name
from winnow.datasets.loader import Batch
from winnow.models.base import Classifier, ModelSpec
from winnow.probes.gradients import gradient_norms, losses, parameter_gradients
from winnow.probes.passes import in_cache
from winnow.training.recipe import Recipe

CLASSES, TRAINED = 10, 128
Shape = tuple[int, int, int]


def one_by_one(model: Classifier, batch: Batch) -> Tensor:
    parameters, norms = list(model.parameters()), []
    for image, label in zip(batch.image, batch.label, strict=True):
        loss = torch.nn.functional.cross_entropy(model(image[None]), label[None])
        norms.append(
            torch.stack([g.double().square().sum() for g in torch.autograd.grad(loss, parameters)]).sum().sqrt()
        )
    return torch.stack(norms)


def parts_of(batch: Batch) -> list[Batch]:
    index, image, label, weight, _ = batch
    chunk = in_cache((*image.shape[2:], image.shape[1])) if image.device.type == "cpu" else TRAINED
    runs = [slice(start, start + chunk) for start in range(0, len(label), chunk)]
    return [Batch(index[run], image[run], label[run], weight[run], len(label[run])) for run in runs]


def by_layers(model: Classifier, batch: Batch) -> Tensor:
    return torch.cat([gradient_norms(model, part) for part in parts_of(batch)])


def by_torch_func(model: Classifier, batch: Batch) -> Tensor:
    gradients = [parameter_gradients(model, part, losses) for part in parts_of(batch)]
    return torch.cat([sum(g.double().flatten(1).square().sum(1) for g in each) ** 0.5 for each in gradients])


def training_epoch(spec: ModelSpec, shape: Shape, device: torch.device) -> Callable[[Classifier, Batch], Tensor]:
    """A bare training epoch of a model of the same kind, on the same images."""
    model = spec.build(shape, CLASSES).to(device).to(memory_format=torch.channels_last).train()
    optimiser, _ = Recipe(epochs=1, lr=0.01).optimiser(model, steps=10**6)

    def epoch(_: Classifier, batch: Batch) -> Tensor:
        for image, label in zip(batch.image.split(TRAINED), batch.label.split(TRAINED), strict=True):
            optimiser.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(image), label)
            loss.backward()
            optimiser.step()
        return loss.detach()

    return epoch


WAYS: dict[str, Callable[[Classifier, Batch], Tensor]] = {
    "layers": by_layers,
    "torch_func": by_torch_func,
    "loop": one_by_one,
}


def measure(
    name: str, shape: Shape, examples: int, rounds: int, device: torch.device, named: list[str]
) -> dict[str, object]:
    with initialize_config_dir(CONF, version_base="1.3"):
        spec = instantiate(compose(f"model/{name}").model)
    torch.manual_seed(0)
    model = spec.build(shape, CLASSES).to(device).to(memory_format=torch.channels_last).eval()  # as passes have it
    images = torch.randn(examples, 3, *shape[:2], device=device).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(CLASSES, (examples,), device=device)
    batch = Batch(torch.arange(examples, device=device), images, labels, torch.ones(examples, device=device), examples)
    ways = {way: WAYS[way] for way in named} | {"training": training_epoch(spec, shape, device)}
    taken: dict[str, list[float]] = {way: [] for way in ways}
    spent: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(rounds + 1):
        norms = {}
        for way, norm in ways.items():
            started, processor = time.perf_counter(), time.process_time()
            norms[way] = norm(model, batch).cpu()  # waits for the device
            if number:  # the first round warms up
                taken[way].append(time.perf_counter() - started)
                spent[way].append(time.process_time() - processor)
        for way in named:
            torch.testing.assert_close(norms[way], norms[named[-1]], rtol=1e-3, atol=1e-6)
    rate = {way: examples / statistics.median(seconds) for way, seconds in taken.items()}
    speed = {f"{way}_per_s": round(value, 1) for way, value in rate.items()}
    ratios = {
        f"{way}_to_loop": round(rate[way] / rate["loop"], 2) for way in named if "loop" in named and way != "loop"
    }
    clocks = {"": taken} | ({"_processor": spent} if device.type == "cpu" else {})
    for unit, seconds in clocks.items():
        for way in named:
            epochs = [one / epoch for one, epoch in zip(seconds[way], seconds["training"], strict=True)]
            ratios[f"{way}{unit}_epochs"] = round(statistics.median(epochs), 2)
    about = {"benchmark": "gradients", "model": name, "size": shape[0], "examples": examples, "rounds": rounds}
    return about | {"device": device_name(device.type)} | speed | ratios


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", nargs="+", default=["resnet8", "resnet18"])
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--examples", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    asked = parser.parse_args()
    for name in asked.models:
        shape = (asked.size, asked.size, 3)
        measured = measure(name, shape, asked.examples, asked.rounds, torch.device(asked.device), asked.ways)
        print(json.dumps(measured), flush=True)


if __name__ == "__main__":
    main()
