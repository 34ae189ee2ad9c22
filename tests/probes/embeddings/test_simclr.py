import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

from helpers.training import CPU, TINY, normalised, tiny_dataset
from winnow.core.errors import DivergedError, OptionError
from winnow.datasets.digits import Digits
from winnow.datasets.views import Views
from winnow.models.smallconv import SmallConv
from winnow.probes.embeddings.simclr import SimCLR
from winnow.probes.embeddings.simclr_training import nt_xent
from winnow.store.artifacts import ArtifactStore
from winnow.training.loggers import CSVLog, NoLog

QUICK = {"model": TINY, "epochs": 2, "batch_size": 16, "projection": 8}


def embedded(dataset, store, logger=None, **options):
    run = SimCLR(**QUICK | options)
    vectors = run.embed(dataset, of_probe=None, store=store, trainer=CPU, logger=logger or NoLog())
    return vectors, store.load("probe", run.keys(dataset)[0])


@pytest.fixture(scope="module")
def dataset():
    return tiny_dataset()


@pytest.mark.parametrize("temperature", [0.1, 0.5, 2.0])
def test_nt_xent_in_closed_form(temperature):
    # Two examples at right angles, views alike: the partner at 1/t, the two others at 0.
    right = torch.eye(2, dtype=torch.float64)
    assert nt_xent(right, right, temperature).item() == pytest.approx(math.log(1 + 2 * math.exp(-1 / temperature)))
    # Views opposite, examples at right angles.
    assert nt_xent(right, -right, temperature).item() == pytest.approx(math.log(1 + 2 * math.exp(1 / temperature)))
    # All alike: nothing tells the partner from the 2B − 1 others.
    alike = torch.ones(5, 3, dtype=torch.float64)
    assert nt_xent(alike, 4 * alike, temperature).item() == pytest.approx(math.log(9))
    assert nt_xent(alike[:1, :2], right[:1], temperature).item() == pytest.approx(0)


def slow(first, second, temperature):
    vectors, size = np.concatenate([first, second]), len(first)
    total = 0.0
    for i, anchor in enumerate(vectors):
        likeness = [
            math.exp(anchor @ other / np.linalg.norm(anchor) / np.linalg.norm(other) / temperature) for other in vectors
        ]
        partner = i + size if i < size else i - size
        total -= math.log(likeness[partner] / (sum(likeness) - likeness[i]))
    return total / len(vectors)


@pytest.mark.parametrize("seed", range(5))
def test_nt_xent_against_the_slow_reference(seed):
    rng = np.random.default_rng(seed)
    first, second = rng.normal(size=(2, 7, 4))
    fast = nt_xent(torch.tensor(first), torch.tensor(second), 0.3).item()
    assert fast == pytest.approx(slow(first, second, 0.3), rel=1e-9)
    assert nt_xent(torch.tensor(second), torch.tensor(5 * first), 0.3).item() == pytest.approx(fast, rel=1e-9)


def nearest_neighbour_accuracy(vectors, labels):
    """Of the second half by the first."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    half = len(unit) // 2
    return KNeighborsClassifier(1).fit(unit[:half], labels[:half]).score(unit[half:], labels[half:])


def test_training_lowers_the_loss_and_neighbours_are_more_alike(tmp_path):
    digits = Digits(limit=700).load(ArtifactStore(tmp_path))
    options = {
        "model": SmallConv(width=16),
        "batch_size": 128,
        "projection": 64,
        "views": Views(least_area=0.5, flip=False),
    }
    before, _ = embedded(digits, ArtifactStore(tmp_path), epochs=1, lr=1e-8, **options)
    after, run = embedded(digits, ArtifactStore(tmp_path), epochs=12, **options)
    loss = run.array("loss")
    assert loss.shape == (12,)
    assert loss[0] > 5
    assert loss[-1] < loss[0] - 0.8
    untrained, trained = (nearest_neighbour_accuracy(vectors, digits.train_labels) for vectors in (before, after))
    assert trained > untrained + 0.015


def test_two_runs_are_equal_and_seeds_differ(dataset, tmp_path):
    one, _ = embedded(dataset, ArtifactStore(tmp_path / "one"))
    torch.rand(3)
    same, _ = embedded(dataset, ArtifactStore(tmp_path / "same"))
    other, _ = embedded(dataset, ArtifactStore(tmp_path / "one"), seed=1)
    assert np.array_equal(one, same)
    assert np.abs(one - other).max() > 0.01


def test_embeddings_are_the_backbones_features_in_evaluation_mode(dataset, tmp_path):
    vectors, run = embedded(dataset, ArtifactStore(tmp_path))
    model = TINY.build(dataset.image_shape, dataset.n_classes)
    model.load_state_dict(run.tensors("weights"))
    with torch.no_grad():
        expected = model.eval().features(normalised(dataset, dataset.train_images)).numpy()
    assert isinstance(vectors, np.memmap)
    np.testing.assert_allclose(vectors, expected, rtol=1e-3, atol=1e-4)
    assert run.array("loss").shape == (2,)


def test_labels_are_not_read(dataset, tmp_path):
    relabelled = replace(dataset, train_labels=dataset.train_labels[::-1].copy(), fingerprint="")
    assert relabelled.fingerprint != dataset.fingerprint
    one, other = (embedded(data, ArtifactStore(tmp_path))[0] for data in (dataset, relabelled))
    assert np.array_equal(one, other)


def test_one_run_serves_all_and_its_training_is_logged(dataset, tmp_path):
    logger = CSVLog(folder=str(tmp_path / "out"))
    for _ in range(2):
        embedded(dataset, ArtifactStore(tmp_path / "store"), logger)
    assert len(list((tmp_path / "out").rglob("metrics.csv"))) == 1


def test_cost_by_hand(dataset):
    run = SimCLR(**QUICK)
    assert run.cost(100) == 2 * 100 * 2 + 100
    assert run.multiply_adds(dataset) == TINY.multiply_adds(dataset.image_shape, dataset.n_classes)


def test_a_run_that_diverges_is_named(dataset, tmp_path):
    with pytest.raises(DivergedError, match=r"lower embedding\.lr"):
        embedded(dataset, ArtifactStore(tmp_path), lr=1e30)
    assert not list((tmp_path / "probe").glob("[!.]*"))


@pytest.mark.parametrize(
    "bad",
    [{"epochs": 0}, {"projection": 0}, {"batch_size": 1}, {"temperature": 0}, {"lr": 0}, {"weight_decay": -1}],
)
def test_values_outside_their_range(bad):
    with pytest.raises(OptionError, match=next(iter(bad))):
        SimCLR(**QUICK | bad)
