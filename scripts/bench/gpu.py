"""All that a GPU is to be asked, in one command: the parts one after another, the most valuable first.

    python scripts/bench/gpu.py --images cifar10-jpeg.tar.xz --out DIR [--minutes 8] [--parts chip accuracy ...]

Each part is a benchmark of this folder, in a process of its own with a limit of its own. What it prints goes to
DIR/results.jsonl as it comes, with the part's name, so that nothing is lost where the time ends; a part that has
finished there is passed over, so that a second call does what the first had no time for. No part begins that has less
than half of its limit left. images: a folder of dataset=imagefolder or an archive of one, without which the parts that
need photographs are left out. --small: the same at a size for a rehearsal on a CPU.

Needs torch, torchvision, Lightning, numpy, scipy, pandas, pyarrow, scikit-learn, psutil, rich and safetensors, and of
what can be carried as wheels hydra-core, omegaconf, antlr4-python3-runtime, filelock and lazy-loader.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
RESULTS, LOG = "results.jsonl", "log.txt"
IMAGES = "IMAGES"  # stands for the folder in a part's arguments


class Part(NamedTuple):
    """minutes: its limit. small: its arguments in a rehearsal."""

    name: str
    script: str
    arguments: Sequence[str]
    small: Sequence[str]
    minutes: float


def parts() -> list[Part]:
    """In the order of their value."""
    fast = "fastnet fast recipe.test_views=6"
    wide = "fastnet fast model.width=128 model.last=3 recipe.epochs=15 recipe.lr=1.3 recipe.test_views=6"
    resnet = "resnet18 images recipe.epochs=15 recipe.batch_size=512 recipe.lr=0.4 recipe.precision=auto"
    tiny = "fastnet fast model.width=2 recipe.epochs=1 recipe.batch_size=64"
    small_training = (IMAGES, "--seeds", "1", "--limit", "128", "--trainings", tiny)
    small_steps = ("--model", "smallconv", "--images", "128", "--rounds", "1", "--batch-size", "32", "--size", "8")
    steps = ("--images", "50000", "--rounds", "3", "--precision", "auto")
    small_chip = ("--models", "resnet8", "--batch", "8", "--ways", "eager")
    small_members = ("--models", "smallconv", "--members", "2", "--steps", "1", "--rounds", "1")
    small_gradients = ("--models", "smallconv", "--examples", "8", "--rounds", "1", "--size", "8")
    small_table: tuple[str, ...] = (
        IMAGES,
        "--jobs",
        "1",
        "metric=el2n",
        "selector=threshold",
        "compression.r=0.5,1.0",
        "seed=0",
    )
    small_table += ("dataset.limit=128", "model.width=2", "recipe.epochs=1", "probe.epochs=1", "recipe.batch_size=64")
    small_passes = ("--models", "resnet8", "--images", "64", "--batches", "32", "--rounds", "1")
    passes = ("--images", "50000", "--batches", "1000", "4000", "16000")
    return [
        Part("chip", "chip.py", ("--minutes", "0.8"), small_chip, 1.2),
        Part("fastnet", "accuracy.py", (IMAGES, "--peer", "--trainings", fast), small_training, 1.5),
        Part("resnet18", "training.py", ("--model", "resnet18", "--batch-size", "512", *steps), small_steps, 1.2),
        Part("steps of fastnet", "training.py", ("--model", "fastnet", *steps), small_steps, 0.6),
        Part("steps of resnet8", "training.py", ("--model", "resnet8", *steps), small_steps, 0.6),
        Part("steps of smallconv", "training.py", ("--model", "smallconv", *steps), small_steps, 0.6),
        Part("members", "members.py", ("--minutes", "0.8"), small_members, 1.0),
        Part("gradients", "gradients.py", ("--examples", "2000"), small_gradients, 0.8),
        Part("passes", "passes.py", passes, small_passes, 0.8),
        Part("table", "table.py", (IMAGES, "--jobs", "3", "--minutes", "2"), small_table, 2.5),
        Part("wider", "accuracy.py", (IMAGES, "--seeds", "1", "--trainings", wide, resnet), small_training, 2.0),
    ]


class Results:
    """The lines that have been written, and the file that takes more."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path, self.log = folder / RESULTS, folder / LOG
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        self.finished = {line["part"] for line in map(json.loads, lines) if "finished" in line}

    def add(self, part: str, line: dict[str, Any]) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps({"part": part, **line}) + "\n")

    def note(self, text: str) -> None:
        with self.log.open("a") as file:
            file.write(text.rstrip("\n") + "\n")


def run(part: Part, arguments: Sequence[str], seconds: float, results: Results) -> str:
    """Run a part for at most so many seconds, and say how it ended."""
    command = [sys.executable, str(HERE / part.script), *arguments]
    results.note(f"$ {' '.join(command[1:])}")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    ended = threading.Timer(seconds, process.kill)
    ended.start()
    assert process.stdout is not None
    for line in process.stdout:
        results.note(line)
        if line.startswith("{"):
            print(line, end="", flush=True)
            results.add(part.name, json.loads(line))
    code = process.wait()
    late = not ended.is_alive()
    ended.cancel()
    if code == 0:
        return "finished"
    return f"stopped at its limit of {seconds:.0f} s" if late else f"failed with status {code}; see {LOG}"


def unpacked(images: Path, folder: Path) -> Path:
    """The folder that holds train/ and test/, of an archive unpacked below `folder`."""
    if images.is_dir():
        return images
    with tarfile.open(images) as archive:
        archive.extractall(folder, filter="data")
    return next(found.parent for found in folder.rglob("train") if found.is_dir())


def facts() -> dict[str, Any]:
    """What the numbers were measured with."""
    import torch

    there = torch.cuda.is_available()
    return {
        "device": torch.cuda.get_device_name() if there else platform.processor() or platform.machine(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "lightning": version("pytorch-lightning"),
        "cuda": torch.version.cuda if there else None,
        "processors": os.cpu_count(),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    known = {part.name: part for part in parts()}
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=Path)
    parser.add_argument("--out", type=Path, default=Path("outputs/gpu"))
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--parts", nargs="+", choices=known, default=list(known))
    parser.add_argument("--small", action="store_true")
    asked = parser.parse_args(arguments)
    until = time.monotonic() + 60 * asked.minutes
    results = Results(asked.out)
    results.add("facts", facts())
    with tempfile.TemporaryDirectory() as folder:
        images = unpacked(asked.images, Path(folder)) if asked.images else None
        for part in (known[name] for name in asked.parts):
            arguments = part.small if asked.small else part.arguments
            left = until - time.monotonic()
            if part.name in results.finished:
                print(f"{part.name}: finished before", flush=True)
            elif IMAGES in arguments and images is None:
                print(f"{part.name}: needs --images", flush=True)
            elif left < 30 * part.minutes:
                print(f"{part.name}: {left:.0f} s are left, too few", flush=True)
            else:
                given = [str(images) if each == IMAGES else each for each in arguments]
                started = time.monotonic()
                ended = run(part, given, min(left, 60 * part.minutes), results)
                seconds = round(time.monotonic() - started, 1)
                print(f"{part.name}: {ended}, {seconds} s", flush=True)
                if ended == "finished":
                    results.add(part.name, {"finished": seconds})
                else:
                    results.add(part.name, {"stopped": ended, "seconds": seconds})


if __name__ == "__main__":
    main()
