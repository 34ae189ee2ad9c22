"""Seeded keys, one for each example, that decide what scores do not."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from winnow.core.arrays import blocks
from winnow.core.seeds import stream
from winnow.core.types import Floats, Ints

DRAWN = 2**20
"""Keys that are drawn at a time where they are not held, 8 MB."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Keys:
    """The n uniform numbers in [0, 1) of the stream called by seed and names, one for each example.

    held: whether they are drawn once and kept, 8n bytes, which pays where many strata ask in turn; else each asking
    draws all n again, in parts. The numbers are the same.
    """

    seed: int
    names: tuple[str, ...]
    n: int
    held: bool

    @cached_property
    def _all(self) -> Floats:
        return stream(self.seed, *self.names).random(self.n)

    def __getitem__(self, members: Ints) -> Floats:
        """[k]: the keys of the members, in any order."""
        if self.held:
            return self._all[members]
        order = np.argsort(members)
        keys = np.empty(members.size)
        keys[order] = np.concatenate(list(self._parts(members[order])))
        return keys

    def smallest(self, members: Ints, count: int) -> Ints:
        """The `count` of the members, sorted [k], that have the smallest keys: in any order; 0 < count <= k."""
        if self.held:
            return members[np.argpartition(self._all[members], count - 1)[:count]]
        share = count / members.size
        # The count-th smallest of k uniform numbers is near count/k, by √(share (1 − share) / k). Within eight times
        # that it is looked for, and only where it is not there, among all.
        spread = 8 * (share * (1 - share) / members.size) ** 0.5
        for low, high in ((share - spread, share + spread), (0.0, 1.0)):
            kept, near, keys, done = np.zeros(members.size, dtype=bool), [], [], 0
            for drawn in self._parts(members):
                kept[done : done + drawn.size] = drawn < low
                between = np.flatnonzero((drawn >= low) & (drawn < high))
                near.append(between + done)
                keys.append(drawn[between])
                done += drawn.size
            positions, room = np.concatenate(near), count - int(np.count_nonzero(kept))
            if 0 <= room <= positions.size:
                break
        if room:
            kept[positions[np.argpartition(np.concatenate(keys), room - 1)[:room]]] = True
        return members[kept]

    def _parts(self, members: Ints) -> Iterator[Floats]:
        """The keys of sorted members, in parts."""
        draws = stream(self.seed, *self.names)
        for part in blocks(self.n, DRAWN):
            first, last = np.searchsorted(members, (part.start, part.stop))
            drawn = draws.random(part.stop - part.start)
            yield drawn if last - first == drawn.size else drawn[members[first:last] - part.start]
