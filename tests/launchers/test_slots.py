"""Which device and how many threads a job of the pool gets."""

import pytest
import torch

from hydra_plugins.winnow_launchers.slots import Slots, find_slots, visible_gpus
from winnow.core.errors import OptionError

SHARE = {"WINNOW_THREADS_ARE_A_SHARE": "1"}


@pytest.fixture(autouse=True)
def _no_threads_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_jobs_are_spread_over_devices_before_they_share_one() -> None:
    slots = Slots(["0", "1", "2"], 2, cores=24)
    given = [slots.take(1) for _ in range(7)]
    assert given == [(0,), (1,), (2,), (0,), (1,), (2,), None]
    slots.give((1,))
    assert slots.take(1) == (1,)
    assert slots.total == 6


def test_a_job_of_several_devices_gets_different_ones() -> None:
    slots = Slots(["0", "GPU-7a", "2"], 2, cores=12)
    assert slots.take(2) == (0, 1)
    assert slots.take(2) == (0, 2)
    assert slots.take(2) == (1, 2)
    assert slots.take(1) is None
    assert slots.environment((0, 1)) == {"CUDA_VISIBLE_DEVICES": "0,GPU-7a", "OMP_NUM_THREADS": "2", **SHARE}
    slots.give((0, 1))
    assert slots.take(3) is None  # two devices have room


def test_threads_are_shared_out_unless_the_user_says_how_many(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Slots([""] * 3, 1, cores=8).environment((0,)) == {"OMP_NUM_THREADS": "2", **SHARE}
    assert Slots([""] * 3, 1, cores=2).environment((0,)) == {"OMP_NUM_THREADS": "1", **SHARE}
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert Slots([""] * 3, 1, cores=8).environment((0,)) == {}


@pytest.mark.parametrize(
    ("named", "count", "names"),
    [(None, 3, ["0", "1", "2"]), ("5, 3", 2, ["5", "3"]), ("GPU-a,MIG-b", 2, ["GPU-a", "MIG-b"]), ("4,-1,2", 1, ["4"]),
     ("", 0, []), (None, 0, [])],
)  # fmt: skip
def test_gpus_are_called_what_the_user_calls_them(
    monkeypatch: pytest.MonkeyPatch, named: str | None, count: int, names: list[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    if named is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert visible_gpus() == names


def test_slots_of_a_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("joblib.cpu_count", lambda: 8)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert find_slots(None, 1, use_gpus=True).devices == ["0", "1", "2", "3"]
    two = find_slots(2, 2, use_gpus=True)
    assert (two.devices, two.total, two.threads) == (["0", "1"], 4, 2)
    assert find_slots(None, 1, use_gpus=False).devices == [""] * 8
    three = find_slots(3, 2, use_gpus=False)
    assert (three.devices, three.total, three.threads) == ([""] * 6, 6, 1)
    assert three.take(5) == (0, 1, 2, 3, 4)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert find_slots(None, 1, use_gpus=True).total == 8


@pytest.mark.parametrize(
    ("devices", "jobs", "said"), [(5, 1, "4 GPUs are visible"), (0, 1, "devices=0"), (1, 0, "jobs_per_device=0")]
)
def test_what_cannot_be_is_refused(monkeypatch: pytest.MonkeyPatch, devices: int, jobs: int, said: str) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    with pytest.raises(OptionError, match=said):
        find_slots(devices, jobs, use_gpus=True)
