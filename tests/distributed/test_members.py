"""probe.parallel=members: one model on each device."""

import numpy as np
import pytest

from helpers.parallel import TWO, places
from helpers.scripts import finished_artifacts
from helpers.training import CPU, tiny_probe, tiny_recipe
from winnow import workers
from winnow.artifacts import ArtifactStore
from winnow.datasets.synthetic import Synthetic
from winnow.errors import DivergedError
from winnow.probes import ensemble
from winnow.scoring import probe_dataset
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


def test_a_failure_of_any_is_told(tmp_path, dataset):
    diverging = tiny_probe(members=2, parallel="members", recipe=tiny_recipe(lr=1e30))
    needs = frozenset({"trajectories"})
    TWO.everywhere(places, alone={"kept": 0}, given=0)
    (follower,) = workers.group.state.current.followers
    with pytest.raises(DivergedError, match=r"recipe\.lr"):
        probe_dataset(dataset, probe=diverging, needs=needs, store=ArtifactStore(tmp_path), trainer=TWO)
    assert TWO.everywhere(places, alone={"kept": 0}, given=0)[1][0] == 1
    assert workers.group.state.current.followers == [follower]  # it is a mistake of the user's, and lost nobody
