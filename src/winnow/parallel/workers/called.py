"""How a process begins: as a follower, where it was started as one; else without torch, which most need not."""

import atexit

from winnow.parallel.workers import state
from winnow.parallel.workers.place import called_to


def follow_if_called() -> bool:
    """Serve the leader, where torchrun, srun or a leader started this process as a follower, and say so at its end."""
    place = called_to()
    if place is None or state.current is not None:
        return False
    from winnow.parallel.workers import group

    if place.rank == 0:
        atexit.register(group.dismiss_unmet, place)
        return False
    group.follow()
    return True
