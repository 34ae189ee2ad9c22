import numpy as np
import pytest

from helpers.training import CPU, tiny_dataset, tiny_probe, tiny_recipe
from winnow.core.errors import OptionError
from winnow.metrics.memorization import Memorization
from winnow.probes import subset_runs
from winnow.probes.ensemble import gather
from winnow.probes.subset_runs import membership
from winnow.store.artifacts import ArtifactStore
from winnow.training.loggers import NoLog

NEEDS = frozenset({"subset_runs"})


def gathered(dataset, probe, store):
    return gather(dataset, probe, needs=NEEDS, store=store, trainer=CPU, logger=NoLog())


def test_models_train_once_on_their_part_and_answer_everything(tmp_path, monkeypatch):
    dataset, store, trained, fit = tiny_dataset(), ArtifactStore(tmp_path), [], subset_runs.fit

    def counted(*args, subset, **options):
        trained.append(subset.indices)
        return fit(*args, subset=subset, **options)

    monkeypatch.setattr(subset_runs, "fit", counted)
    runs = gathered(dataset, tiny_probe(members=3), store).subset_runs
    assert runs.membership.shape == runs.correct.shape == (3, dataset.n)
    assert runs.test_correct.shape == (3, dataset.n_test)
    for inside, indices in zip(runs.membership, trained, strict=True):
        assert np.array_equal(np.flatnonzero(inside), indices)
        assert indices.size == int(0.7 * dataset.n + 0.5)
    assert not store.path("probe", "").exists()  # the ordinary probes are not needed
    more = gathered(dataset, tiny_probe(members=4), store)
    assert len(trained) == 4
    assert np.array_equal(more.subset_runs.correct[:3], runs.correct)
    assert len(more.source) == 4


def test_parts_are_independent_of_the_number_of_models_and_of_each_other():
    parts = np.array([membership(1000, tiny_probe(members=k), 0) for k in (1, 5)])
    assert np.array_equal(parts[0], parts[1])
    many = np.array([membership(1000, tiny_probe(), member) for member in range(200)])
    assert np.all(many.sum(axis=1) == 700)
    assert abs(np.corrcoef(many[0], many[1])[0, 1]) < 0.1
    assert many.mean(axis=0).std() == pytest.approx(np.sqrt(0.21 / 200), rel=0.15)


def test_memorization_finds_the_mislabelled(tmp_path):
    dataset = tiny_dataset(mislabelled=0.2)
    probe = tiny_probe(members=8, epochs=16, subset_fraction=0.5, recipe=tiny_recipe(lr=0.2))
    scores = Memorization()(gathered(dataset, probe, ArtifactStore(tmp_path)))
    wrong = np.isin(np.arange(dataset.n), dataset.planted["mislabelled"])
    of_mean = scores.standard_error[wrong].mean() / np.sqrt(wrong.sum())
    assert scores.values[wrong].mean() > scores.values[~wrong].mean() + 3 * of_mean


def test_fraction_outside_its_range():
    with pytest.raises(OptionError, match="subset_fraction"):
        tiny_probe(subset_fraction=1.0)
