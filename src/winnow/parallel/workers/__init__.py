"""Several processes that work as one; see group.py."""

from winnow.parallel.workers.exchange import as_leader, gathered, of_leader, receive, send, sum_over_ranks, with_leader
from winnow.parallel.workers.group import everywhere, follow_if_called, stop
from winnow.parallel.workers.place import check_processes
from winnow.parallel.workers.state import apart, local_rank, node_rank, rank, sharers, together, world

__all__ = [
    "apart",
    "as_leader",
    "check_processes",
    "everywhere",
    "follow_if_called",
    "gathered",
    "local_rank",
    "node_rank",
    "of_leader",
    "rank",
    "receive",
    "send",
    "sharers",
    "stop",
    "sum_over_ranks",
    "together",
    "with_leader",
    "world",
]
