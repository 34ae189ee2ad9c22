"""What the command `doctor` says: a fact a line, to paste into a report of a bug. No secret is among them."""

import argparse
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

Fact = tuple[str, str]

PACKAGES = (
    "torch", "torchvision", "torchdata", "pytorch-lightning", "torchmetrics", "hydra-core", "omegaconf", "numpy",
    "scipy", "scikit-learn", "faiss-cpu", "pandas", "pyarrow", "matplotlib", "pillow", "safetensors", "filelock",
    "wandb",
)  # fmt: skip
EXTRAS = {
    "timm": "timm", "duckdb": "duckdb", "ray": "hydra-ray-launcher", "slurm": "hydra-submitit-launcher",
    "optuna": "hydra-optuna-sweeper", "tensorboard": "tensorboard", "dashboard": "wandb-workspaces",
}  # fmt: skip
VARIABLES = (
    "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA",
    "MKL_ENABLE_INSTRUCTIONS", "HYDRA_FULL_ERROR", "WANDB_MODE", "SLURM_JOB_ID",
)  # fmt: skip
"""What changes how things run, of what the environment says; none of them is a secret."""
GB = 10**9


def doctor() -> None:
    """Print what this machine has and what is installed. sys.argv: overrides, such as paths.artifacts=DIR."""
    parser = argparse.ArgumentParser(description="Say what this machine has and what is installed, a fact a line.")
    parser.add_argument("overrides", nargs="*", help="as commands take them, such as paths.artifacts=DIR")
    overrides = parser.parse_args().overrides
    from winnow.cli.entry import MISTAKES, one_line

    try:
        for name, fact in facts(overrides):
            print(f"{name}: {fact}", flush=True)
    except MISTAKES as error:
        sys.exit(f"error: {one_line(error)}")


def facts(overrides: list[str]) -> Iterator[Fact]:
    """All of them, the quick ones first. Raises what composing the overrides raises."""
    from winnow.cli.configuration import CONF

    cfg = _composed(overrides)
    yield from _software(Path(CONF))
    yield from _devices()
    yield from _store(Path(str(cfg.paths.artifacts)))
    yield from _wandb()
    yield from ((name, os.environ[name]) for name in VARIABLES if name in os.environ)


def _composed(overrides: list[str]) -> Any:
    from hydra import compose, initialize_config_dir

    from winnow.cli.configuration import CONF

    with initialize_config_dir(CONF, version_base="1.3"):
        return compose("config", overrides=overrides)


def _software(conf: Path) -> Iterator[Fact]:
    from winnow.store.provenance import git_commit

    yield "winnow", _version("winnow")
    yield "commit", git_commit() or "none, it is an installed copy"
    yield "code", str(Path(__file__).parents[1])
    yield "configurations", str(conf)
    yield "python", f"{platform.python_version()} ({sys.executable})"
    yield "platform", platform.platform()
    for package in PACKAGES:
        yield package, _version(package)
    for extra, package in EXTRAS.items():
        yield f"extra {extra}", _version(package)


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _devices() -> Iterator[Fact]:
    import joblib
    import psutil
    import torch

    from winnow.core.machine import device_name, trains_faster_in_bfloat16

    yield "processor", device_name("cpu")
    yield "cores", f"{joblib.cpu_count()} for this process, {os.cpu_count()} in all"
    memory = psutil.virtual_memory()
    yield "memory", f"{memory.available / GB:.1f} GB free of {memory.total / GB:.1f} GB"
    yield "bfloat16 on the processor", _bfloat16("cpu", torch.ops.mkldnn._is_mkldnn_bf16_supported())
    yield "CUDA", f"{torch.version.cuda or 'not in this torch'}, {torch.cuda.device_count()} GPUs"
    try:
        for i in range(torch.cuda.device_count()):
            about = torch.cuda.get_device_properties(i)
            capability = f"compute capability {about.major}.{about.minor}"
            yield f"GPU {i}", f"{about.name}, {about.total_memory / GB:.1f} GB, {capability}"
        if torch.cuda.is_available():
            yield "bfloat16 on GPUs", _bfloat16("cuda", trains_faster_in_bfloat16("cuda"))
    except RuntimeError as error:  # such as a driver that is too old, which is what a report may be about
        yield "GPUs", f"cannot be used: {' '.join(str(error).split())}"
    if torch.backends.mps.is_available():
        yield "MPS", "available"


def _bfloat16(kind: str, native: bool) -> str:
    from winnow.core.machine import trains_faster_in_bfloat16

    faster = "faster" if trains_faster_in_bfloat16(kind) else "not faster"
    return f"{'with' if native else 'without'} instructions for it, {faster} than float32"


def _store(root: Path) -> Iterator[Fact]:
    """root: of the artifacts, or where it would be made."""
    there = next(folder for folder in (root.absolute(), *root.absolute().parents) if folder.exists())
    yield "store", f"{root.absolute()}{'' if root.exists() else ' (not there yet)'}"
    yield "room in the store", f"{shutil.disk_usage(there).free / GB:.1f} GB free"
    writable = there.is_dir() and os.access(there, os.W_OK)
    yield "writable store", "yes" if writable else f"no, {there} is {'read-only' if there.is_dir() else 'a file'}"


def _wandb() -> Iterator[Fact]:
    from winnow.training import wandb_server

    host = wandb_server.address().hostname
    yield "wandb server", f"{host} {'answers' if wandb_server.answers() else 'does not answer: runs are kept offline'}"
    yield "wandb key", "set" if wandb_server.has_key() else "none: runs are kept offline"
