"""How well half-precision passes keep the ranks of scores: Spearman's correlation with float32, on a trained ResNet-8.

    python scripts/bench/half_passes.py --root DIR [--images 4000] [--epochs 4] [--scored 2000] [--device cpu]

DIR: an image folder, such as data/cifar10. The model is trained by `fit` in float32; then the logits and the
all-parameter gradient norms of the first images of its training set are computed in float32 and under autocast in
bfloat16 and float16. One JSON line: of each precision the correlation of el2n, margin, loss and grand, and what a pass
for logits takes in that of float32, by the processor's time on a CPU. Ranks stay where all are at least 0.9999.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy.stats import spearmanr
from torch import Tensor

from winnow.core.machine import device_name
from winnow.core.types import Subset
from winnow.datasets.base import load_once
from winnow.datasets.batches import batches
from winnow.datasets.imagefolder import ImageFolder
from winnow.models.base import Classifier
from winnow.models.resnet_cifar import ResNetCifar
from winnow.probes.gradients import gradient_norms
from winnow.store.artifacts import ArtifactStore
from winnow.training.devices import TrainerSpec
from winnow.training.fit import fit
from winnow.training.recipe import Recipe

PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}


def scores(model: Classifier, parts: list[Any], half: torch.dtype | None, kind: str) -> tuple[dict[str, Any], float]:
    """Scores by name, [n] each, and the seconds that the logits took."""
    clock = time.process_time if kind == "cpu" else time.perf_counter
    logits: list[Tensor] = []
    with torch.autocast(kind, half or torch.bfloat16, enabled=half is not None):
        with torch.no_grad():
            model(parts[0].image)
            started = clock()
            for part in parts:
                logits.append(model(part.image).float().cpu())
            seconds = clock() - started
        grand = torch.cat([gradient_norms(model, part).float().cpu() for part in parts])
    values, labels = torch.cat(logits).double(), torch.cat([part.label for part in parts]).cpu()
    own = values.gather(1, labels[:, None])[:, 0]
    others = values.scatter(1, labels[:, None], -torch.inf).amax(1)
    wrong = values.softmax(1) - F.one_hot(labels, values.shape[1])
    found = {
        "el2n": wrong.norm(dim=1),
        "margin": others - own,
        "loss": F.cross_entropy(values, labels, reduction="none"),
    }
    return {name: value.numpy() for name, value in (found | {"grand": grand}).items()}, seconds


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", required=True)
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--scored", type=int, default=2000)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        spec = ImageFolder(root=asked.root, limit=asked.images)
        dataset = load_once(spec, ArtifactStore(Path(folder)))
    trainer = TrainerSpec(accelerator="gpu" if asked.device == "cuda" else "cpu", progress=False)
    options: dict[str, Any] = {"model": ResNetCifar(depth=8), "recipe": Recipe(epochs=asked.epochs, lr=0.1), "seed": 0}
    fitted = fit(dataset, subset=Subset.full(dataset.n), trainer=trainer, **options)
    model = fitted.model.to(asked.device).eval()
    first = Subset(np.arange(asked.scored), np.ones(asked.scored), np.zeros(asked.scored, dtype=bool), dataset.n)
    parts = list(batches(dataset, "train", device=torch.device(asked.device), subset=first, batch_size=100))
    made = {name: scores(model, parts, half, asked.device) for name, half in PRECISIONS.items()}
    whole, seconds = made["float32"]
    result: dict[str, Any] = {"benchmark": "half_passes", "device": device_name(asked.device), "scored": asked.scored}
    result["correct"] = round(float((whole["margin"] < 0).mean()), 3)
    for name in ("bfloat16", "float16"):
        found, taken = made[name]
        result[name] = {each: round(float(spearmanr(found[each], whole[each])[0]), 6) for each in whole}
        result[name] |= {"time_to_float32": round(taken / seconds, 2)}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
