"""Where a process stands among those that work together, as whoever started it says."""

import os
from dataclasses import dataclass

from winnow.core.errors import OptionError

RANK, WORLD, LOCAL, ADDRESS, PORT, KIND = (
    "WINNOW_RANK", "WINNOW_WORLD", "WINNOW_LOCAL_RANK", "WINNOW_ADDRESS", "WINNOW_PORT", "WINNOW_BACKEND"
)  # fmt: skip


@dataclass(frozen=True)
class Place:
    """Where a process stands among `world`. local: its number on its machine (node), and of its GPU there."""

    rank: int
    world: int
    local: int
    node: int
    address: str
    port: int


def called_to() -> Place | None:
    """The place that the environment gives to this process; None where it was started alone."""
    if RANK in os.environ:
        names = (RANK, WORLD, LOCAL)
        number, size, local = (int(os.environ[name]) for name in names)
        return Place(number, size, local, 0, os.environ[ADDRESS], int(os.environ[PORT]))
    # Lightning knows how torchrun and SLURM say it. A batch script or a shell in an allocation is not a task of srun.
    by_torchrun = "TORCHELASTIC_RUN_ID" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1
    if not by_torchrun and int(os.environ.get("SLURM_STEP_NUM_TASKS", "1")) == 1:
        return None  # mostly so, and then known without the seconds that Lightning takes
    from pytorch_lightning.plugins.environments import ClusterEnvironment, SLURMEnvironment, TorchElasticEnvironment

    environment: ClusterEnvironment = TorchElasticEnvironment() if by_torchrun else SLURMEnvironment(auto_requeue=False)
    return Place(
        environment.global_rank(), environment.world_size(), environment.local_rank(), environment.node_rank(),
        environment.main_address, environment.main_port,
    )  # fmt: skip


def check_processes(devices: int, nodes: int) -> None:
    """Raise OptionError where a starter made another number of processes than are asked for."""
    place = called_to()
    if place is not None and place.world != devices * nodes:
        raise OptionError(
            f"{place.world} processes were started, but trainer.devices={devices} and trainer.nodes={nodes} ask for "
            f"{devices * nodes}; start as many, or one, which starts the others of its machine itself."
        )
    if place is None and nodes > 1:
        raise OptionError(
            f"trainer.nodes={nodes} needs a process a device on each node; start them by torchrun or srun."
        )
