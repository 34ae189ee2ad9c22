"""On what a model is trained."""

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch

from winnow.core.errors import OptionError, check_choice
from winnow.datasets.loader import Shard
from winnow.parallel import workers

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class TrainerSpec:
    """On what to train. It is no part of a key: on another device the same training differs by rounding alone. That
    is no little, since a training carries a last bit into its result; rows and provenance name the device.

    accelerator: "auto" takes a GPU where there is one, "cpu" or "gpu" force it. devices: how many, each with a process
    of its own that takes its part of every batch; nodes: machines with as many each, whose processes torchrun or srun
    starts. sync_batchnorm: batch norm over the whole batch instead of each process's part, which makes the training
    that of one process but for rounding. progress: a bar (None: where standard error is a terminal) or plain log
    lines. memory_gb: what a pass for per-example gradients may hold; it sets how many examples go at once, and no
    result depends on it. threads: of the CPU, of each process (None: what OMP_NUM_THREADS says, else one for each core,
    but one alone for trainings of small steps, see winnow.training.threads). checkpoint_seconds: between checkpoints of
    a training that has a file for them, and more where one takes so long that they would take more than
    checkpoint_share of its time.

    Raises OptionError for a value outside its range or a GPU that is not there.
    """

    accelerator: str = "auto"
    devices: int = 1
    nodes: int = 1
    sync_batchnorm: bool = False
    progress: bool | None = None
    memory_gb: float = 2.0
    threads: int | None = None
    checkpoint_seconds: float = 300.0
    checkpoint_share: float = 0.01

    def __post_init__(self) -> None:
        check_choice("trainer.accelerator", self.accelerator, ("auto", "cpu", "gpu"))
        if self.accelerator == "gpu" and not torch.cuda.is_available():
            raise OptionError("trainer.accelerator=gpu, but torch finds no GPU; use trainer.accelerator=auto.")
        if not self.memory_gb > 0:
            raise OptionError(f"trainer.memory_gb={self.memory_gb} must be positive.")
        if self.threads is not None and self.threads < 1:
            raise OptionError(f"trainer.threads={self.threads} must be at least 1, or null.")
        if not self.checkpoint_seconds > 0:
            raise OptionError(f"trainer.checkpoint_seconds={self.checkpoint_seconds} must be positive.")
        if not 0 < self.checkpoint_share <= 1:
            raise OptionError(f"trainer.checkpoint_share={self.checkpoint_share} must be in (0, 1]; 1 sets no limit.")
        if self.devices < 1 or self.nodes < 1:
            raise OptionError(f"trainer.devices={self.devices} and trainer.nodes={self.nodes} must be at least 1.")
        if self.on_gpu and self.devices > torch.cuda.device_count():
            raise OptionError(
                f"trainer.devices={self.devices}, but torch finds {torch.cuda.device_count()} GPUs; ask for as many."
            )

    @property
    def on_gpu(self) -> bool:
        return self.accelerator != "cpu" and torch.cuda.is_available()

    @property
    def kind(self) -> str:
        """Of the devices: "cuda", "mps" or "cpu"."""
        if self.on_gpu:
            return "cuda"
        return "mps" if self.accelerator == "auto" and torch.backends.mps.is_available() else "cpu"

    @property
    def device(self) -> torch.device:
        """This process's own."""
        return torch.device("cpu") if self.kind == "cpu" else torch.device(self.kind, workers.local_rank())

    @property
    def single_device(self) -> "TrainerSpec":
        """The same, on one device."""
        return replace(self, devices=1, nodes=1)

    def call_on_all(self, function: Callable[..., T], *, leader_only: Mapping[str, Any], **shared: Any) -> T:
        """Call a function in all processes that this asks for, the result of the first (see workers.call_on_all)."""
        return workers.call_on_all(
            function, devices=self.devices, nodes=self.nodes, gpu=self.on_gpu, leader_only=leader_only, **shared
        )


def shard() -> Shard:
    """The part of every batch that is this process's."""
    return Shard(workers.rank(), workers.world_size())


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Lightning's hints about data loader workers, GPUs and logging intervals from the users of many trainings."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "pytorch_lightning")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"pytorch_lightning\..*|lightning\..*")
            warnings.filterwarnings("ignore", message=r".*lr_scheduler\.step\(\).*")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
