"""Members of an ensemble that were stopped before the end of their schedule, and longer ones that go on from them.

A longer training of the same (data, model, recipe, seed) begins as the shorter one did, so where a shorter one is
finished, and kept what it takes (Probe.continuable), it goes on from there instead of anew and ends the same, to the
bit. The shorter one stays as it is, with its own key; of several the longest is taken. It must have kept the weights of
those epochs of its own that the longer one is evaluated after or keeps: the last it always has, 0 and others only where
they were in its evaluate_at or checkpoint_at.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from winnow.store.artifacts import Artifact, ArtifactStore
from winnow.store.keys import make_key

_OF_THE_STOP = ("stop_after", "evaluate_at", "checkpoint_at")


class Stopped(NamedTuple):
    """A finished member that was stopped after so many epochs."""

    key: str
    epochs: int


def member_key(prefix: str, inputs: Mapping[str, Any]) -> str:
    """The key of a member. That of a stopped one begins with what all stops of its training have in common."""
    stop = inputs.get("stop_after")
    return make_key(prefix if stop is None else f"{_common(prefix, inputs)}{stop}", inputs)


def _common(prefix: str, inputs: Mapping[str, Any]) -> str:
    same = {name: value for name, value in inputs.items() if name not in _OF_THE_STOP}
    return f"{make_key(prefix, same)}-stop"


def shorter_members(prefix: str, inputs: Mapping[str, Any], epochs: int, *, store: ArtifactStore) -> Iterator[Stopped]:
    """Those that the member of these inputs, which is trained for `epochs`, can go on from, the longest first."""
    keys, common = store.keys("probe"), _common(prefix, inputs)
    kept = {*inputs["evaluate_at"], *inputs["checkpoint_at"]}
    for stop in range(epochs - 1, 0, -1):
        needed = {"continuation", *(f"weights_{epoch}" for epoch in kept if epoch < stop)}
        for key in keys:
            if key.startswith(f"{common}{stop}-") and needed <= Artifact(store.path("probe", key)).parts():
                yield Stopped(key, stop)
