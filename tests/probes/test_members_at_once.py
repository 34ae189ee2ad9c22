"""How many members are trained at once on one device."""

import psutil
import pytest
import torch

from helpers.training import CPU, tiny_dataset, tiny_probe, tiny_recipe
from winnow.core.errors import OptionError
from winnow.models.resnet_cifar import ResNetCifar
from winnow.probes import members_at_once
from winnow.probes.members_at_once import how_many


@pytest.fixture(autouse=True)
def _four_threads(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)


def long_probe(**options):
    """Of minutes on any CPU."""
    recipe = tiny_recipe(batch_size=60)
    return tiny_probe(**({"model": ResNetCifar(depth=8), "epochs": 100_000, "recipe": recipe} | options))


def test_a_cpu_takes_one_a_thread_where_that_takes_long():
    dataset = tiny_dataset()
    assert how_many(long_probe(), dataset, CPU, 3) == 3
    assert how_many(long_probe(), dataset, CPU, 9) == 4
    assert how_many(tiny_probe(), dataset, CPU, 3) == 1  # to start the processes takes longer
    assert how_many(long_probe(parallel="data"), dataset, CPU, 3) == 1


def test_one_thread_is_for_one_member(monkeypatch):
    """As in a job of a pool that has one: members at once and jobs at once do not multiply."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert how_many(long_probe(), tiny_dataset(), CPU, 3) == 1


def test_large_steps_are_left_to_the_threads_of_a_cpu(monkeypatch):
    monkeypatch.setattr(members_at_once, "CPU_FILLED", 1)
    assert how_many(long_probe(), tiny_dataset(), CPU, 3) == 1


def test_half_of_the_free_memory_must_hold_them(monkeypatch):
    free = int(4.5 * members_at_once.OF_PROCESS)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"available": free}))
    assert how_many(long_probe(), tiny_dataset(), CPU, 4) == 2


def test_a_gpu_takes_few_of_small_steps(monkeypatch):
    class OnGPU:
        on_gpu, kind, device, threads = True, "cuda", torch.device("cuda", 0), None

    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (int(8e10), int(8e10)))
    dataset = tiny_dataset()
    assert how_many(long_probe(epochs=10**6), dataset, OnGPU, 9) == members_at_once.GPU_MOST
    monkeypatch.setattr(members_at_once, "GPU_FILLED", 1e6)
    assert how_many(long_probe(epochs=10**6), dataset, OnGPU, 9) == 1


def test_a_number_is_taken_as_it_is_given():
    assert how_many(tiny_probe(parallel=3), tiny_dataset(), CPU, 9) == 3
    assert how_many(tiny_probe(parallel=3), tiny_dataset(), CPU, 2) == 2
    with pytest.raises(OptionError, match=r"probe\.parallel=0 must be at least 1"):
        tiny_probe(parallel=0)
    with pytest.raises(OptionError, match="auto, data, members"):
        tiny_probe(parallel="all")
