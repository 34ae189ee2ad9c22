from types import SimpleNamespace
from typing import Any

import pytest

from hydra_plugins.winnow_launchers.pool_progress import PoolProgress


def running(seconds: float, key: str | None = None) -> Any:
    return SimpleNamespace(seconds=seconds, taken=[0], job=SimpleNamespace(key=key))


def progress(slots: int, *jobs: Any, keys: tuple[str, ...] = ()) -> PoolProgress:
    """Of ten cells, two trained in 20 s each; of the stages, those of `keys`, one took 8 s."""
    schedule: Any = SimpleNamespace(running=list(jobs), keys=set(keys), slots=SimpleNamespace(total=slots))
    told = PoolProgress(10, schedule)
    for _ in range(2):
        told.count("done", "", 20.0)
    told.stages["ended"], told.stages_spent = min(1, len(keys)), 8.0 if keys else 0.0
    return told


def test_the_time_left_is_of_cells_and_stages_shared_by_the_slots() -> None:
    assert progress(4).seconds_left == pytest.approx(8 * 20 / 4)
    assert progress(4, running(5.0)).seconds_left == pytest.approx((8 * 20 - 5) / 4)
    assert progress(4, keys=("a", "b", "c")).seconds_left == pytest.approx((8 * 20 + 2 * 8) / 4)


def test_a_slow_job_takes_no_time_from_the_others_and_the_last_ones_have_no_company() -> None:
    assert progress(4, running(900.0)).seconds_left == pytest.approx(7 * 20 / 4)
    assert progress(4, running(900.0, "a"), keys=("a", "b")).seconds_left == pytest.approx(8 * 20 / 4)
    assert progress(100).seconds_left == pytest.approx(20)
