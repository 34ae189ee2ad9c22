"""How fast images are streamed from files, in how much memory, and that a whole cell runs on a stream.

    python scripts/bench/stream.py [--images 20000] [--size 224] [--folder DIR]

It first makes a folder of JPEGs of 10 classes, from about 60x80 to 500x400 pixels, with seeds: each class has a grating
of a direction and a colour of its own under noise. Then, one pass each over the training images with random crops and
mirrors: StreamLoader with 0, 1 and 2 workers; torchvision's ImageFolder with the same transforms in torch's DataLoader,
with 0 and 2; and InMemoryLoader over decoded images with shifts and mirrors. Every loader runs in a process of its own,
whose memory, with that of its workers (proportional set size), is sampled. Last a cell: probes, scores, subset and
training of a small model. One JSON line.
"""

import argparse
import json
import logging
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder as TorchImageFolder
from torchvision.io import decode_image
from torchvision.transforms import v2

from winnow.core.machine import device_name
from winnow.core.seeds import stream
from winnow.datasets.augmentation import Augmentation
from winnow.datasets.batches import batches
from winnow.datasets.imagefolder import ImageFolder
from winnow.metrics.el2n import EL2N
from winnow.models.resnet_cifar import ResNetCifar
from winnow.pipeline import CellSpec, train_cell
from winnow.probes.probe import Probe
from winnow.selectors.alpha import Fixed
from winnow.selectors.calibrated import Calibrated
from winnow.selectors.compression import Fraction
from winnow.store.artifacts import ArtifactStore
from winnow.training.devices import TrainerSpec
from winnow.training.recipe import Recipe

CLASSES, TEST_SHARE, BATCH = 10, 0.1, 128
LOADERS = ("stream-0", "stream-1", "stream-2", "torchvision-0", "torchvision-2", "memory")


def make_image(path: Path, label: int, rng: np.random.Generator) -> None:
    """A grating whose direction and colour say the class, of random phase, width, place of its light and noise."""
    height, width = int(rng.integers(60, 401)), int(rng.integers(80, 501))
    rows, columns = np.mgrid[0:height:2, 0:width:2].astype(np.float32) / 100  # half of the size, to be made quickly
    angle, phase = np.pi * label / CLASSES + rng.normal(0, 0.1), rng.uniform(0, 6)
    wave = np.sin(2 * np.pi * rng.uniform(3, 9) * (rows * np.sin(angle) + columns * np.cos(angle)) + phase)
    colour = 0.5 + 0.3 * np.cos(2 * np.pi * (label / CLASSES + np.arange(3) / 3) + rng.normal(0, 0.5))
    coarse = rng.normal(0, 0.25, (height // 8 + 1, width // 8 + 1)).repeat(4, axis=0).repeat(4, axis=1)
    light = 0.25 * wave + coarse[: rows.shape[0], : rows.shape[1]] + rng.normal(0, 0.05, rows.shape)
    pixels = (255 * (colour + light[..., None]).clip(0, 1)).astype(np.uint8)
    Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR).save(path, quality=85)


def make_folder(root: Path, images: int, part: int, parts: int) -> None:
    """The share `part` of `parts` of root/{train,val}/class<label>/<number>.jpg."""
    for number in range(part, images, parts):
        label, of_test = number % CLASSES, (number // CLASSES) % round(1 / TEST_SHARE) == 0
        folder = root / ("val" if of_test else "train") / f"class{label}"
        folder.mkdir(parents=True, exist_ok=True)
        make_image(folder / f"{number}.jpg", label, stream(0, "bench", "stream", number))


def rgb(path: str) -> torch.Tensor:
    return decode_image(path, "RGB", apply_exif_orientation=True)


def loader_of(kind: str, root: Path, store: ArtifactStore, size: int) -> Iterator[Any]:
    """The batches of one pass."""
    name, _, workers = kind.partition("-")
    if name == "torchvision":
        crop = v2.RandomResizedCrop((size, size), antialias=True)
        mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
        steps = [crop, v2.RandomHorizontalFlip(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean, std)]
        dataset = TorchImageFolder(str(root / "train"), v2.Compose(steps), loader=rgb)
        yield from DataLoader(dataset, BATCH, shuffle=True, num_workers=int(workers))
        return
    options: dict[str, Any] = {"root": str(root), "size": size}
    if name == "stream":
        options |= {"storage": "stream", "workers": int(workers)}
    loader = batches(
        ImageFolder(**options).load(store),
        "train",
        device=torch.device("cpu"),
        batch_size=BATCH,
        augmentation=Augmentation(flip=True, shift=0.0 if name == "stream" else 0.125),
        seed=0,
    )
    yield from loader
    loader.close()


def one_pass(kind: str, root: Path, store: ArtifactStore, size: int) -> dict[str, Any]:
    """Images a second from the second batch on, and the seconds until the first."""
    started, seen = time.perf_counter(), 0
    first = 0.0
    for number, batch in enumerate(loader_of(kind, root, store, size)):
        if number:
            seen += len(batch[0])
        else:
            first = time.perf_counter()
    seconds = time.perf_counter() - first
    return {"images_per_second": round(seen / seconds), "seconds_to_first_batch": round(first - started, 2)}


def megabytes(process: int) -> float:
    """Proportional set size of a process and all below it: what they share counts once."""
    total, children = 0.0, [process]
    while children:
        each = children.pop()
        try:
            text = Path(f"/proc/{each}/smaps_rollup").read_text()
            for task in Path(f"/proc/{each}/task").iterdir():
                children += map(int, (task / "children").read_text().split())
        except OSError:
            continue  # it has just ended
        total += sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")) / 1024
    return total


class Peak:
    """The largest memory of a process tree while it is watched, in MB."""

    def __init__(self, process: int) -> None:
        self.process, self.most, self.over = process, 0.0, threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()

    def _watch(self) -> None:
        while not self.over.wait(0.2):
            self.most = max(self.most, megabytes(self.process))

    def stop(self) -> int:
        self.over.set()
        self.thread.join()
        return round(self.most)


def cell(root: Path, store: ArtifactStore, size: int) -> dict[str, Any]:
    """Two probes of two epochs, EL2N, half of the images, three epochs."""
    recipe = Recipe(epochs=3, batch_size=BATCH, lr=0.1, budget="epochs", augmentation=Augmentation(flip=True))
    model = ResNetCifar(depth=8, width=8)
    dataset = ImageFolder(root=str(root), storage="stream", size=size, name="generated")
    started = time.perf_counter()
    row = train_cell(
        CellSpec(
            dataset=dataset,
            model=model,
            recipe=recipe,
            probe=Probe(model=model, recipe=recipe, members=2, epochs=2),
            metric=EL2N(),
            selector=Calibrated(),
            alpha=Fixed(value=0.5),
            compression=Fraction(r=0.5),
        ),
        store=store,
        trainer=TrainerSpec(progress=False),
    )
    seconds = round(time.perf_counter() - started, 1)
    return {"seconds": seconds, "size": size, "n_kept": row.n_kept, "test_error": row.test_error}


def measured(work: str, *arguments: str) -> dict[str, Any]:
    """What this script says of one piece of work in a process of its own, with its peak memory."""
    process = subprocess.Popen([sys.executable, __file__, "--only", work, *arguments], stdout=subprocess.PIPE)
    peak = Peak(process.pid)
    assert process.stdout is not None
    said = process.stdout.read()
    memory = peak.stop()
    if process.wait():
        sys.exit(process.returncode)
    return json.loads(said) | {"peak_mb": memory}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--cell-size", type=int, default=32)
    parser.add_argument("--folder", help="where the images are, or are made; a temporary one by default")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(asked.folder or temporary) / "images"
        store = ArtifactStore(root.parent / "artifacts")
        if asked.only == "cell":
            print(json.dumps(cell(root, store, asked.cell_size)))
            return
        if asked.only:
            print(json.dumps(one_pass(asked.only, root, store, asked.size)))
            return
        if not root.exists():
            parts = os.cpu_count() or 1
            with ProcessPoolExecutor(parts) as pool:
                list(pool.map(make_folder, [root] * parts, [asked.images] * parts, range(parts), [parts] * parts))
        logging.basicConfig(level=logging.WARNING)
        dataset = ImageFolder(root=str(root), size=asked.size).load(store)  # decoded once, outside the measurements
        given = ["--folder", str(root.parent), "--size", str(asked.size), "--cell-size", str(asked.cell_size)]
        result = {
            "benchmark": "stream",
            "device": device_name("cpu"),
            "processors": os.cpu_count(),
            "load": round(os.getloadavg()[0], 1),
            "images": dataset.n,
            "size": asked.size,
            "jpeg_mb": round(sum(path.stat().st_size for path in root.glob("*/*/*")) / 2**20),
            "decoded_mb": round(dataset.n * asked.size**2 * 3 / 2**20),
            "loaders": {kind: measured(kind, *given) for kind in LOADERS},
            "cell": measured("cell", *given),
        }
        print(json.dumps(result))


if __name__ == "__main__":
    main()
