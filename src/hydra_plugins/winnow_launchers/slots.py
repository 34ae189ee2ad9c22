"""Where the jobs of a sweep run: GPUs shared out by CUDA_VISIBLE_DEVICES, or CPU cores by their number."""

import os
from collections.abc import Sequence

from winnow.parallel.processes import SHARE, THREADS

Taken = tuple[int, ...]


class Slots:
    """Room for jobs: each device takes `per_device` of them at a time.

    devices: their names, as CUDA_VISIBLE_DEVICES takes them; a CPU slot has the name "". cores: shared out as threads.
    """

    def __init__(self, devices: Sequence[str], per_device: int, *, cores: int) -> None:
        self.devices = list(devices)
        self.free = [per_device] * len(self.devices)
        self.total = per_device * len(self.devices)
        self.threads = max(1, cores // self.total)

    def take(self, count: int) -> Taken | None:
        """`count` different devices with room, those with most of it first; None where there are not so many now."""
        roomy = sorted((i for i, room in enumerate(self.free) if room), key=lambda i: -self.free[i])[:count]
        if len(roomy) < count:
            return None
        for i in roomy:
            self.free[i] -= 1
        return tuple(sorted(roomy))

    def give(self, taken: Taken) -> None:
        for i in taken:
            self.free[i] += 1

    def environment(self, taken: Taken) -> dict[str, str]:
        """What a job is told: its GPUs, and its share of the threads where the user does not say how many."""
        told = {} if THREADS in os.environ else {THREADS: str(self.threads), SHARE: "1"}
        if names := [self.devices[i] for i in taken if self.devices[i]]:
            told["CUDA_VISIBLE_DEVICES"] = ",".join(names)
        return told


def find_slots(devices: int | None, jobs_per_device: int, *, use_gpus: bool) -> Slots:
    """Slots on this machine. devices: how many GPUs (None: every visible one), without GPUs how many CPU cores.

    Raises OptionError where there are not so many GPUs, or a number is not positive.
    """
    import joblib

    from winnow.core.errors import OptionError

    for name, value in (("devices", devices), ("jobs_per_device", jobs_per_device)):
        if value is not None and value < 1:
            raise OptionError(f"hydra.launcher.{name}={value} must be at least 1.")
    cores: int = joblib.cpu_count()  # those that this process may use, also in a container
    gpus = visible_gpus() if use_gpus else []
    if not gpus:
        return Slots([""] * (devices or cores) * jobs_per_device, 1, cores=cores)
    if devices is not None and devices > len(gpus):
        raise OptionError(f"hydra.launcher.devices={devices}, but {len(gpus)} GPUs are visible.")
    return Slots(gpus[:devices], jobs_per_device, cores=cores)


def visible_gpus() -> list[str]:
    """The names of the GPUs that this process may use: numbers, or what CUDA_VISIBLE_DEVICES calls them.

    They are counted through NVML, so no GPU memory is taken.
    """
    import torch

    count = torch.cuda.device_count()
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return [name.strip() for name in named.split(",")][:count] if named else [str(i) for i in range(count)]
