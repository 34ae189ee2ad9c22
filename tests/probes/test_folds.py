import numpy as np
import pytest

from helpers.training import CPU, tiny_dataset, tiny_probe
from winnow.core.errors import ShapeError
from winnow.core.types import FoldFeatures
from winnow.probes import subset_runs
from winnow.probes.ensemble import gather
from winnow.probes.folds import folds
from winnow.store.artifacts import ArtifactStore
from winnow.training.loggers import NoLog


def test_each_model_sees_all_but_its_fold_and_gives_features_of_everything(tmp_path, monkeypatch):
    dataset, probe = tiny_dataset(), tiny_probe(members=3, epochs=2, evaluate_at=(1,))
    trained, stops, fit = [], [], subset_runs.fit

    def counted(*args, subset, **options):
        trained.append(subset.indices)
        stops.append(options["stop_after"])
        return fit(*args, subset=subset, **options)

    monkeypatch.setattr(subset_runs, "fit", counted)
    given = {"needs": frozenset({"fold_features"}), "store": ArtifactStore(tmp_path), "trainer": CPU, "logger": NoLog()}
    evidence = gather(dataset, probe, **given)
    found = evidence.fold_features
    assert [len(of_fold) for of_fold in found.features] == [dataset.n] * 3
    assert sorted(np.bincount(found.fold)) == [20, 20, 20]
    for j, indices in enumerate(trained):
        assert np.array_equal(indices, np.flatnonzero(found.fold != j))
    assert stops == [1, 1, 1]  # no longer than it is read
    assert not (tmp_path / "probe").exists()  # the members themselves are not needed
    assert len(evidence.source) == 3
    # After the evaluated epoch, not the last.
    last = gather(dataset, tiny_probe(members=3, epochs=2), **given).fold_features
    assert not np.array_equal(last.features[0], found.features[0])


def test_folds_are_the_ensembles_own():
    assert np.array_equal(folds(10, tiny_probe(members=3)), folds(10, tiny_probe(members=3, epochs=7)))
    assert not np.array_equal(folds(50, tiny_probe(members=3)), folds(50, tiny_probe(members=3, seed=1)))


@pytest.mark.parametrize(("fold", "rows"), [([0, 0, 0], 3), ([0, 1, 2], 3), ([0, 1, 1], 4)])
def test_features_that_do_not_fit_the_folds(fold, rows):
    with pytest.raises(ShapeError, match="fold_features"):
        FoldFeatures(fold=np.array(fold), features=(np.zeros((rows, 2), dtype=np.float32),) * 2)
