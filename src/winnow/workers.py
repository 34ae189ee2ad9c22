"""Several processes that train and evaluate as one: a leader, which runs everything, and followers, which lend devices.

The pipeline, the store, configuration and logging live in the leader alone (rank 0). A follower waits for a function
and its arguments, calls it at the same time as the leader, and waits again; only trainings and passes over data are
called so. The leader starts its followers on its own machine when it first needs them. Under torchrun or srun with
several tasks they are there already: `follow_if_called` turns every process but the first into a follower.

What travels is pickled between processes of the same run; nothing on disk is. A data set travels as its description
and is loaded again (see ImageDataset.origin).
"""

import atexit
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from winnow import interruption
from winnow.errors import Interrupted, OptionError

log = logging.getLogger(__name__)
T = TypeVar("T")

PATIENCE = timedelta(days=7)  # a follower waits for as long as the leader scores and selects; a death is seen at once
SECONDS_TO_UNWIND = 10.0
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


@dataclass
class _Group:
    """The processes of this run, once they have met. inside: they are calling the same function now."""

    place: Place
    followers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    inside: bool = False
    apart: bool = False
    over: bool = False


_group: _Group | None = None


def together() -> bool:
    """Whether several processes call the same function at this moment."""
    return _group is not None and _group.inside


def rank() -> int:
    """0 in the leader, and in a process that works alone."""
    return _group.place.rank if together() and _group else 0


def world() -> int:
    """How many processes work together at this moment."""
    return _group.place.world if together() and _group else 1


def local_rank() -> int:
    """Which of its machine's GPUs is this process's own: also of one that, among others, works alone for a while."""
    return _group.place.local if _group else 0


def node_rank() -> int:
    """The number of this process's machine; each has as many processes."""
    return _group.place.node if _group else 0


def everywhere(
    function: Callable[..., T], *, devices: int, nodes: int, gpu: bool, alone: Mapping[str, Any], **shared: Any
) -> T:
    """Call `function(**shared, **alone)` in all processes at once; what it gives in the leader.

    alone: arguments that only the leader has, such as an open logger; followers get None. With one process, or from
    within such a call, this is a plain call.

    Raises what the function raises in the leader; RuntimeError where a follower is lost; OptionError as
    check_processes does.
    """
    if devices * nodes == 1 or together():
        return function(**shared, **alone)
    group = _join(devices, nodes, gpu)
    assert group.place.rank == 0, "only the leader calls"
    try:
        dist.broadcast_object_list([(function, shared | dict.fromkeys(alone))], src=0)
        with _inside(group):
            return function(**shared, **alone)
    except BaseException:
        stop()  # they stand in the middle of the function, or are lost
        raise


@contextmanager
def apart() -> Iterator[None]:
    """Each process works alone in here, though all are in a common call; followers hear signals themselves."""
    group = _group
    if group is None or not group.inside:
        yield
        return
    group.inside, group.apart = False, True
    with interruption.heard():
        yield
    group.inside, group.apart = True, False  # after an error there is no common call to go back to


def sum_over_ranks(tensor: Tensor) -> Tensor:
    """The sum over all processes, in place; what was given where there is one."""
    if together():
        dist.all_reduce(tensor)
    return tensor


def as_leader(*flags: bool) -> tuple[bool, ...]:
    """The flags of the leader, in every process."""
    if not together():
        return flags
    sent = torch.tensor(flags, dtype=torch.uint8)
    dist.broadcast(sent, src=0)
    return tuple(bool(flag) for flag in sent)


def of_leader(function: Callable[[], T]) -> T:
    """What the function gives in the leader, who alone calls it, in every process."""
    if not together():
        return function()
    box: list[Any] = [function() if rank() == 0 else None]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def with_leader(function: Callable[[], None]) -> None:
    """Call the function in the leader alone; where that ends it, the others end too, as interrupted."""
    if rank() == 0:
        try:
            function()
        except BaseException:
            as_leader(False)
            raise
    (goes_on,) = as_leader(True)
    if not goes_on:
        raise Interrupted


def gathered(value: Any) -> list[Any]:
    """The values of all processes by rank, in each of them."""
    if not together():
        return [value]
    values: list[Any] = [None] * world()
    dist.all_gather_object(values, value)
    return values


def send(tensors: list[Tensor]) -> None:
    """Send CPU tensors to the leader, who takes them by `receive`."""
    dist.send_object_list([[(tuple(tensor.shape), tensor.dtype) for tensor in tensors]], dst=0)
    for tensor in tensors:
        dist.send(tensor.contiguous(), dst=0)


def receive(source: int) -> list[Tensor]:
    """The CPU tensors that the process of rank `source` sends."""
    described: list[Any] = [None]
    dist.recv_object_list(described, src=source)
    tensors = [torch.empty(shape, dtype=dtype) for shape, dtype in described[0]]
    for tensor in tensors:
        dist.recv(tensor, src=source)
    return tensors


def follow() -> None:
    """Serve the leader until it ends."""
    place = _called_to()
    assert place is not None
    assert place.rank > 0
    _meet(place)
    assert _group is not None
    interruption.ignore()  # the leader is told too, and ends or goes on
    while True:
        box: list[Any] = [None]
        try:
            dist.broadcast_object_list(box, src=0)
        except RuntimeError as error:
            sys.exit(f"the leader of process {place.rank} is gone ({error})")
        if box[0] is None:
            dist.destroy_process_group()
            return
        function, arguments = box[0]
        with _inside(_group):
            function(**arguments)


def follow_if_called() -> bool:
    """Serve the leader, where torchrun, srun or a leader started this process as a follower, and say so at its end."""
    place = _called_to()
    if place is None or _group is not None:
        return False
    if place.rank == 0:
        atexit.register(_dismiss_unmet, place)
        return False
    follow()
    return True


def check_processes(devices: int, nodes: int) -> None:
    """Raise OptionError where a starter made another number of processes than are asked for."""
    place = _called_to()
    if place is not None and place.world != devices * nodes:
        raise OptionError(
            f"{place.world} processes were started, but trainer.devices={devices} and trainer.nodes={nodes} ask for "
            f"{devices * nodes}; start as many, or one, which starts the others of its machine itself."
        )
    if place is None and nodes > 1:
        raise OptionError(
            f"trainer.nodes={nodes} needs a process a device on each node; start them by torchrun or srun."
        )


def stop() -> None:
    """End the followers that this process started, and forget the group."""
    global _group
    if _group is None:
        return
    group, _group = _group, None
    group.over = True
    for follower in group.followers:
        if group.apart:
            follower.terminate()  # it takes a checkpoint of its own work
        else:
            follower.kill()
    for follower in group.followers:
        try:
            follower.wait(SECONDS_TO_UNWIND)
        except subprocess.TimeoutExpired:
            follower.kill()
    dist.destroy_process_group()


def _called_to() -> Place | None:
    """The place that the environment gives to this process; None where it was started alone."""
    if RANK in os.environ:
        names = (RANK, WORLD, LOCAL)
        number, size, local = (int(os.environ[name]) for name in names)
        return Place(number, size, local, 0, os.environ[ADDRESS], int(os.environ[PORT]))
    # Lightning knows how torchrun and SLURM say it. A batch script or a shell in an allocation is not a task of srun.
    from pytorch_lightning.plugins.environments import ClusterEnvironment, SLURMEnvironment, TorchElasticEnvironment

    environment: ClusterEnvironment
    if TorchElasticEnvironment.detect() and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        environment = TorchElasticEnvironment()
    elif int(os.environ.get("SLURM_STEP_NUM_TASKS", "1")) > 1:
        environment = SLURMEnvironment(auto_requeue=False)
    else:
        return None
    return Place(
        environment.global_rank(), environment.world_size(), environment.local_rank(), environment.node_rank(),
        environment.main_address, environment.main_port,
    )  # fmt: skip


def _join(devices: int, nodes: int, gpu: bool) -> _Group:
    """The group of this size, met at the first call."""
    if _group is not None and _group.place.world != devices * nodes:
        stop()
    if _group is None:
        check_processes(devices, nodes)
        place = _called_to()
        if place is not None:
            _meet(place)
        else:
            _lead(devices, gpu=gpu)
    assert _group is not None
    return _group


def _lead(devices: int, *, gpu: bool) -> None:
    """Start the followers of this machine, and meet them."""
    global _group
    store = dist.TCPStore("127.0.0.1", 0, devices, is_master=True, wait_for_workers=False, timeout=PATIENCE)
    place = Place(0, devices, 0, 0, "127.0.0.1", store.port)
    _share_threads(devices)
    given = {WORLD: str(devices), ADDRESS: place.address, PORT: str(place.port), KIND: "gpu" if gpu else "cpu"}
    given["OMP_NUM_THREADS"] = os.environ.get("OMP_NUM_THREADS", str(torch.get_num_threads()))
    # Python looks for modules where this process does.
    given["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    command = [sys.executable, "-m", "winnow.workers"]
    followers = [
        subprocess.Popen(
            command, env=os.environ | given | {RANK: str(each), LOCAL: str(each)}, stdin=subprocess.DEVNULL
        )
        for each in range(1, devices)
    ]
    watched = _Group(place, followers)
    threading.Thread(target=_watch, args=(watched,), daemon=True).start()
    atexit.register(_dismiss)
    _connect(place, gpu=gpu, store=store)
    _group = watched


def _meet(place: Place) -> None:
    """Meet processes that something else started, or, as a follower, the leader that started this one."""
    global _group
    gpu = os.environ[KIND] == "gpu" if KIND in os.environ else torch.cuda.is_available()
    store = None
    if RANK in os.environ:
        store = dist.TCPStore(place.address, place.port, place.world, is_master=False, timeout=PATIENCE)
    elif place.rank == 0:
        atexit.register(_dismiss)
    _connect(place, gpu=gpu, store=store)
    _group = _Group(place)


def _connect(place: Place, *, gpu: bool, store: dist.Store | None) -> None:
    if gpu:
        torch.cuda.set_device(place.local)
    if store is None:  # torchrun keeps a store of its own at this address, which only env:// knows
        os.environ |= {"MASTER_ADDR": place.address, "MASTER_PORT": str(place.port)}
    backend = "cpu:gloo,cuda:nccl" if gpu else "gloo"
    dist.init_process_group(backend, store=store, rank=place.rank, world_size=place.world, timeout=PATIENCE)


def _dismiss() -> None:
    """Let the followers go, at the end of the leader."""
    if _group is None or _group.over:
        return
    _group.over = True
    dist.broadcast_object_list([None], src=0)
    for follower in _group.followers:
        follower.wait()
    dist.destroy_process_group()


def _dismiss_unmet(place: Place) -> None:
    """Let those go that something else started and that were never needed."""
    if _group is None:
        _meet(place)
        _dismiss()


def _watch(group: _Group) -> None:
    """End the leader where a follower is lost and the leader waits for it in vain."""
    while not group.over:
        lost = [follower for follower in group.followers if follower.poll() is not None]
        if lost and not group.over:
            time.sleep(SECONDS_TO_UNWIND)  # a broken connection mostly raises by itself
            if not group.over:
                print("error: a process of this training was lost; its message stands above.", file=sys.stderr)
                os._exit(1)
        time.sleep(0.5)


def _share_threads(processes: int) -> None:
    """Share the processor's cores between the processes of this machine, unless the user has done so."""
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, torch.get_num_threads() // processes))


@contextmanager
def _inside(group: _Group) -> Iterator[None]:
    group.inside = True
    try:
        yield
    finally:
        group.inside = False


if __name__ == "__main__":
    # As a module of this name, or what the leader sends would meet a second copy of its globals.
    from winnow import workers

    workers.follow_if_called()
