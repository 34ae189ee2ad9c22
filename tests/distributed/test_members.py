"""Probes by two processes: each has members of its own, on a device each or both on one, or its part of every batch."""

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers.parallel import TWO, NoBatchNorm, all_equal, places
from helpers.scripts import finished_artifacts
from helpers.training import CPU, same_state, tiny_probe, tiny_recipe
from winnow.core.errors import DivergedError, OptionError
from winnow.datasets.augmentation import Augmentation
from winnow.datasets.synthetic import Synthetic
from winnow.parallel import workers
from winnow.pipeline.scoring import probe_dataset
from winnow.probes import ensemble
from winnow.probes.ensemble import member_keys
from winnow.store.artifacts import ArtifactStore
from winnow.store.records import load_trajectory
from winnow.training.fit import fit


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return Synthetic(n=61, n_test=20, n_classes=3).load(ArtifactStore(tmp_path_factory.mktemp("data")))


def test_members_on_two_devices_are_those_of_one(tmp_path, dataset, monkeypatch):
    mine = []
    monkeypatch.setattr(
        ensemble, "fit", lambda *args, **options: mine.append(options["title"]) or fit(*args, **options)
    )
    asked = {"needs": frozenset({"trajectories", "logits", "subset_runs"}), "probe": tiny_probe(members=3)}
    stores = {spec: ArtifactStore(tmp_path / str(spec.devices)) for spec in (CPU, TWO)}
    asked["probe"] = tiny_probe(members=3, parallel="members")
    one, two = (probe_dataset(dataset, **asked, store=store, trainer=spec) for spec, store in stores.items())
    assert mine == [f"probe {member + 1} of 3" for member in (0, 1, 2)] + ["probe 1 of 3", "probe 3 of 3"]
    assert one.source == two.source
    assert np.array_equal(one.logits[2], two.logits[2])
    assert np.array_equal(one.trajectories.loss, two.trajectories.loss)
    assert np.array_equal(one.subset_runs.correct, two.subset_runs.correct)
    for stage in ("probe", "subset_run"):
        assert len(finished_artifacts(stores[TWO].root, stage)) == 3


def test_two_at_once_on_one_device_leave_what_one_leaves(tmp_path, dataset, monkeypatch):
    mine, threads = [], torch.get_num_threads()
    monkeypatch.setattr(
        ensemble, "fit", lambda *args, **options: mine.append(options["title"]) or fit(*args, **options)
    )
    needs = frozenset({"trajectories", "logits"})
    alone, at_once = (ArtifactStore(tmp_path / name) for name in ("alone", "at once"))
    for store, parallel in ((alone, 1), (at_once, 2)):
        probe_dataset(dataset, probe=tiny_probe(parallel=parallel), needs=needs, store=store, trainer=CPU)
    assert mine == ["probe 1 of 2", "probe 2 of 2", "probe 1 of 2"]
    assert workers.group.state.current is None  # the other process is gone, and what it held
    assert torch.get_num_threads() == threads
    for key in member_keys(dataset, tiny_probe()):
        one, two = (store.load("probe", key) for store in (alone, at_once))
        assert one.parts() == two.parts()
        files = [path.name for path in one.folder.iterdir() if path.suffix in (".npy", ".safetensors")]
        assert len(files) > 5
        for name in files:
            assert (one.folder / name).read_bytes() == (two.folder / name).read_bytes(), name


def test_a_number_at_once_is_of_one_device(tmp_path, dataset):
    asked = {"needs": frozenset({"logits"}), "store": ArtifactStore(tmp_path), "trainer": TWO}
    with pytest.raises(OptionError, match=r"use probe\.parallel=members"):
        probe_dataset(dataset, probe=tiny_probe(parallel=2), **asked)


@pytest.mark.parametrize("parallel", ["data", "members"])
def test_two_processes_go_on_from_a_stop(tmp_path, dataset, parallel, caplog):
    """To the same bits as two that train at once, and where each has a member of its own, as one process."""
    recipe = tiny_recipe(ema=0.5, augmentation=Augmentation(shift=0.125, flip=True))
    probe = tiny_probe(model=NoBatchNorm(), recipe=recipe, epochs=4, evaluate_at=(2, 4), parallel=parallel)
    probe = replace(probe, members=2 if parallel == "members" else 1)
    at_once, gone_on = (ArtifactStore(tmp_path / name) for name in ("at once", "gone on"))
    needs = frozenset({"trajectories", "logits"})
    alone = CPU if parallel == "members" else TWO
    whole = probe_dataset(dataset, probe=probe, needs=needs, store=at_once, trainer=alone)
    stopped = replace(probe, stop_after=2, evaluate_at=None)
    probe_dataset(dataset, probe=stopped, needs=needs, store=gone_on, trainer=TWO)
    with caplog.at_level(logging.INFO):
        longer = probe_dataset(dataset, probe=probe, needs=needs, store=gone_on, trainer=TWO)
    assert "going on at step 8 of 16" in caplog.text
    assert sorted(gone_on.keys("probe")) == sorted(member_keys(dataset, probe) + member_keys(dataset, stopped))
    for epoch in (2, 4):
        np.testing.assert_array_equal(longer.logits[epoch], whole.logits[epoch])
    for key in member_keys(dataset, probe):
        one, two = (store.load("probe", key) for store in (at_once, gone_on))
        assert all_equal(load_trajectory(one), load_trajectory(two))
        assert same_state(one.tensors("weights_4"), two.tensors("weights_4"))


def test_a_failure_of_any_is_told(tmp_path, dataset):
    diverging = tiny_probe(members=2, parallel="members", recipe=tiny_recipe(lr=1e30))
    needs = frozenset({"trajectories"})
    TWO.call_on_all(places, leader_only={"kept": 0}, given=0)
    (follower,) = workers.group.state.current.followers
    with pytest.raises(DivergedError, match=r"recipe\.lr"):
        probe_dataset(dataset, probe=diverging, needs=needs, store=ArtifactStore(tmp_path), trainer=TWO)
    assert TWO.call_on_all(places, leader_only={"kept": 0}, given=0)[1][0] == 1
    assert workers.group.state.current.followers == [follower]  # it is a mistake of the user's, and lost nobody
