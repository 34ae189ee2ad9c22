"""What processes that work together tell each other. In a process that works alone each of these is a plain answer."""

import time
from collections.abc import Callable
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from winnow.core.errors import Interrupted
from winnow.parallel.workers.state import is_distributed, rank, world_size

T = TypeVar("T")
SECONDS_BETWEEN_LOOKS = 0.02


def sum_over_ranks(tensor: Tensor) -> Tensor:
    """The sum over all processes, in place; what was given where there is one."""
    if is_distributed():
        dist.all_reduce(tensor)
    return tensor


def flags_of_leader(*flags: bool) -> tuple[bool, ...]:
    """The flags of the leader, in every process."""
    if not is_distributed():
        return flags
    sent = torch.tensor(flags, dtype=torch.uint8)
    dist.broadcast(sent, src=0)
    return tuple(bool(flag) for flag in sent)


def result_of_leader(function: Callable[[], T]) -> T:
    """What the function gives in the leader, who alone calls it, in every process."""
    if not is_distributed():
        return function()
    box: list[Any] = [function() if rank() == 0 else None]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def call_in_leader(function: Callable[[], None]) -> None:
    """Call the function in the leader alone; where that ends it, the others end too, as interrupted."""
    if rank() == 0:
        try:
            function()
        except BaseException:
            flags_of_leader(False)
            raise
    (goes_on,) = flags_of_leader(True)
    if not goes_on:
        raise Interrupted


def wait_for_all() -> None:
    """Wait until every process of the group is here, also while each works alone; a signal ends the waiting."""
    if not dist.is_initialized():
        return
    all_here = dist.all_reduce(torch.zeros(1), async_op=True)
    while not all_here.is_completed():
        time.sleep(SECONDS_BETWEEN_LOOKS)  # in here a signal is heard, and in the wait of the exchange it is not
    all_here.wait()


def gathered(value: Any) -> list[Any]:
    """The values of all processes by rank, in each of them."""
    if not is_distributed():
        return [value]
    values: list[Any] = [None] * world_size()
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
