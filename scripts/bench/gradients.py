"""How fast exact per-example gradient norms are: layer by layer, by torch.func, and one example at a time.

    python scripts/bench/gradients.py [--models resnet8 resnet18] [--examples 64] [--rounds 3] [--device cpu]

All three give the same norms (to 0.1%, in float32); winnow.probes.gradients takes the first where it knows every
layer and the second otherwise, eight examples at once on a CPU. Images are 32x32x3 and made up. One JSON line a model:
examples/s of each, medians over rounds that take turns, and how many times faster than the loop.
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
from winnow.models.base import Classifier
from winnow.probes.gradients import gradient_norms, losses, parameter_gradients
from winnow.probes.passes import IN_CACHE

SHAPE, CLASSES, CHUNK = (32, 32, 3), 10, IN_CACHE


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
    runs = [slice(start, start + CHUNK) for start in range(0, len(label), CHUNK)]
    return [Batch(index[run], image[run], label[run], weight[run], len(label[run])) for run in runs]


def by_layers(model: Classifier, batch: Batch) -> Tensor:
    return torch.cat([gradient_norms(model, part) for part in parts_of(batch)])


def by_torch_func(model: Classifier, batch: Batch) -> Tensor:
    gradients = [parameter_gradients(model, part, losses) for part in parts_of(batch)]
    return torch.cat([sum(g.double().flatten(1).square().sum(1) for g in each) ** 0.5 for each in gradients])


def measure(name: str, examples: int, rounds: int, device: torch.device) -> dict[str, object]:
    with initialize_config_dir(CONF, version_base="1.3"):
        spec = instantiate(compose(f"model/{name}").model)
    torch.manual_seed(0)
    model = spec.build(SHAPE, CLASSES).to(device).eval()
    images, labels = torch.randn(examples, 3, 32, 32, device=device), torch.randint(CLASSES, (examples,), device=device)
    batch = Batch(torch.arange(examples, device=device), images, labels, torch.ones(examples, device=device), examples)
    ways: dict[str, Callable[[Classifier, Batch], Tensor]] = {
        "layers": by_layers,
        "torch_func": by_torch_func,
        "loop": one_by_one,
    }
    taken: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(rounds + 1):
        norms = {}
        for way, norm in ways.items():
            started = time.perf_counter()
            norms[way] = norm(model, batch).cpu()  # waits for the device
            if number:  # the first round warms up
                taken[way].append(time.perf_counter() - started)
        for way in ways:
            torch.testing.assert_close(norms[way], norms["loop"], rtol=1e-3, atol=1e-6)
    rate = {way: examples / statistics.median(seconds) for way, seconds in taken.items()}
    speed = {f"{way}_per_s": round(value, 1) for way, value in rate.items()}
    ratios = {f"{way}_to_loop": round(rate[way] / rate["loop"], 2) for way in ways if way != "loop"}
    about = {"benchmark": "gradients", "model": name, "examples": examples, "rounds": rounds}
    return about | {"device": device_name(device.type)} | speed | ratios


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", nargs="+", default=["resnet8", "resnet18"])
    parser.add_argument("--examples", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    asked = parser.parse_args()
    for name in asked.models:
        print(json.dumps(measure(name, asked.examples, asked.rounds, torch.device(asked.device))), flush=True)


if __name__ == "__main__":
    main()
