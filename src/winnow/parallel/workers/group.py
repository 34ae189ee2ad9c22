"""Several processes that train and evaluate as one: a leader, which runs everything, and followers, which lend devices.

The pipeline, the store, configuration and logging live in the leader alone (rank 0). A follower waits for a function
and its arguments, calls it at the same time as the leader, and waits again; only trainings and passes over data are
called so. The leader starts its followers on its own machine when it first needs them. Under torchrun or srun with
several tasks they are there already: `follow_if_called` (called.py) turns every process but the first into a follower.

What travels is pickled between processes of the same run; nothing on disk is. A data set travels as its description
and is loaded again (see ImageDataset.origin).
"""

import atexit
import os
import platform
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from winnow.parallel import interruption, processes
from winnow.parallel.workers import state
from winnow.parallel.workers.place import (
    ADDRESS,
    KIND,
    LOCAL,
    PORT,
    RANK,
    WORLD,
    Place,
    check_processes,
    place_from_environment,
)
from winnow.parallel.workers.state import Group, inside, is_distributed

T = TypeVar("T")

PATIENCE = timedelta(days=7)  # a follower waits for as long as the leader scores and selects; a death is seen at once
PATIENCE_TO_DISMISS = timedelta(minutes=1)
SECONDS_TO_UNWIND = 10.0


def call_on_all(
    function: Callable[..., T],
    *,
    devices: int,
    nodes: int,
    gpu: bool,
    one_device: bool = False,
    leader_only: Mapping[str, Any],
    **shared: Any,
) -> T:
    """Call `function(**shared, **leader_only)` in all processes at once; what it gives in the leader.

    leader_only: arguments that only the leader has, such as an open logger; followers get None. With one process, or
    from within such a call, this is a plain call. one_device: all processes, `devices` of them, have this one's
    device, each for itself: they talk through the host, since NCCL refuses two processes on a GPU.

    Raises what the function raises in the leader; RuntimeError where a follower is lost; OptionError as
    check_processes does.
    """
    if devices * nodes == 1 or is_distributed():
        return function(**shared, **leader_only)
    try:
        group = _join(devices, nodes, gpu and not one_device, one_device)
        assert group.place.rank == 0, "only the leader calls"
        dist.broadcast_object_list([(function, shared | dict.fromkeys(leader_only))], src=0)
        with inside(group):
            return function(**shared, **leader_only)
    except BaseException:
        stop()  # they stand in the middle of the function, are not met yet, or are lost
        raise


def follow() -> None:
    """Serve the leader until it ends, or is killed."""
    place = place_from_environment()
    assert place is not None
    assert place.rank > 0
    _meet(place)
    assert state.current is not None
    interruption.ignore()  # the leader is told too, and ends or goes on
    while True:
        box: list[Any] = [None]
        try:
            dist.broadcast_object_list(box, src=0)
        except RuntimeError as error:
            sys.exit(f"the leader of process {place.rank} is gone ({error})")
        if box[0] is None:
            _leave()
            return
        function, arguments = box[0]
        with inside(state.current):
            function(**arguments)


def stop() -> None:
    """End the followers that this process started, and forget the group."""
    if state.current is None:
        return
    group, state.current = state.current, None
    group.over = True
    for follower in group.followers:
        follower.send_signal(signal.SIGTERM if group.independent else signal.SIGKILL)  # apart: it takes a checkpoint
    for follower in group.followers:
        if follower.wait(SECONDS_TO_UNWIND) is None:
            follower.send_signal(signal.SIGKILL)
    _leave(others_are_gone=True)


def dismiss() -> None:
    """Let the followers that this process started go, once no call is to come; the next call starts others."""
    _dismiss()
    state.current = None


def _join(devices: int, nodes: int, gpu: bool, one_device: bool) -> Group:
    """The group of this size and kind, met at the first call."""
    there = state.current
    if there is not None and (there.place.world, there.one_device) != (devices * nodes, one_device):
        stop()
    if state.current is None:
        check_processes(*((1, 1) if one_device else (devices, nodes)))
        place = place_from_environment()
        if place is not None:
            _meet(place)
        else:
            _lead(devices, gpu=gpu, one_device=one_device)
    assert state.current is not None
    return state.current


def _lead(devices: int, *, gpu: bool, one_device: bool) -> None:
    """Start the followers of this machine, and meet them."""
    store = dist.TCPStore("127.0.0.1", 0, devices, is_master=True, wait_for_workers=False, timeout=PATIENCE)
    place = Place(0, devices, 0, 0, "127.0.0.1", store.port)
    if not one_device:
        _share_threads(devices)
    given = {WORLD: str(devices), ADDRESS: place.address, PORT: str(place.port), KIND: "gpu" if gpu else "cpu"}
    if processes.THREADS not in os.environ:
        given[processes.SHARE] = "1"
    given[processes.THREADS] = os.environ.get(processes.THREADS, str(torch.get_num_threads()))
    state.current = group = Group(place, one_device=one_device)
    for each in range(1, devices):
        own = given | {RANK: str(each), LOCAL: "0" if one_device else str(each)}
        title = f"follower {each} of {os.getpid()}"
        group.followers.append(processes.spawn(follow, environment=own, title=title, group=False))
    threading.Thread(target=_watch, args=(group,), daemon=True).start()
    atexit.register(_dismiss)
    _connect(place, gpu=gpu, store=store)
    group.sharers = _sharers()


def _meet(place: Place, *, patience: timedelta = PATIENCE) -> None:
    """Meet processes that something else started, or, as a follower, the leader that started this one."""
    gpu = os.environ[KIND] == "gpu" if KIND in os.environ else torch.cuda.is_available()
    store = None
    if RANK in os.environ:
        store = dist.TCPStore(place.address, place.port, place.world, is_master=False, timeout=PATIENCE)
    elif place.rank == 0:
        atexit.register(_dismiss)
    _connect(place, gpu=gpu, store=store, patience=patience)
    state.current = Group(place, sharers=_sharers())


def _connect(place: Place, *, gpu: bool, store: dist.Store | None, patience: timedelta = PATIENCE) -> None:
    if gpu:
        torch.cuda.set_device(place.local)
    if store is None:  # torchrun keeps a store of its own at this address, which only env:// knows
        os.environ |= {"MASTER_ADDR": place.address, "MASTER_PORT": str(place.port)}
    backend = "cpu:gloo,cuda:nccl" if gpu else "gloo"
    dist.init_process_group(backend, store=store, rank=place.rank, world_size=place.world, timeout=patience)


def _sharers() -> int:
    """How many of the processes that have met run on the same processors: srun may bind each task to its own."""
    processors = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    mine: Any = (platform.node(), processors)
    all_of_them: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(all_of_them, mine)
    return sum(each == mine for each in all_of_them)


def _dismiss() -> None:
    """Let the followers go, at the end of the leader."""
    if state.current is None or state.current.over:
        return
    state.current.over = True
    dist.broadcast_object_list([None], src=0)
    _leave()  # all at the same time: NCCL's communicators end together
    for follower in state.current.followers:
        follower.wait()


def _leave(*, others_are_gone: bool = False) -> None:
    """Leave the process group, where there is one. A communicator of NCCL whose peers are gone could wait for them."""
    if not dist.is_initialized():
        return
    if others_are_gone and "nccl" in str(dist.get_backend_config()):
        with suppress(RuntimeError):
            dist.distributed_c10d._get_default_group()._get_backend(torch.device("cuda")).abort()
    dist.destroy_process_group()


def dismiss_unmet(place: Place) -> None:
    """Let those go that something else started and that were never needed, unless they are gone."""
    if state.current is None:
        with suppress(RuntimeError):
            _meet(place, patience=PATIENCE_TO_DISMISS)
            _dismiss()


def _watch(group: Group) -> None:
    """End the leader where a follower is lost and the leader waits for it in vain."""
    while not group.over:
        lost = [follower for follower in group.followers if follower.poll() is not None]
        if lost and not group.over:
            time.sleep(SECONDS_TO_UNWIND)  # a broken connection mostly raises by itself
            if not group.over:
                print("error: a process of this training was lost; its message stands above.", file=sys.stderr)
                os._exit(1)
        time.sleep(0.5)


def _share_threads(sharers: int) -> None:
    """Share the processor's cores between the processes of this machine, unless the user has done so."""
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, torch.get_num_threads() // sharers))
