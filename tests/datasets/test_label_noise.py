"""Labels moved by confusion: counts, proportions, files, names and errors."""

import re
from dataclasses import dataclass

import numpy as np
import pytest
from scipy.stats import chisquare

from winnow.core.errors import DatasetError, OptionError
from winnow.datasets.base import DatasetSpec, ImageDataset
from winnow.datasets.label_noise import confused
from winnow.store.artifacts import ArtifactStore

N, CLASSES = 60, 3
RNG = np.random.default_rng(0)
LABELS = RNG.permutation(np.arange(N) % CLASSES)
IMAGES = RNG.integers(0, 256, (N, 4, 4, 1), dtype=np.uint8)
MATRIX = np.array([[90, 8, 2], [0, 50, 10], [1, 1, 0]])


@dataclass(frozen=True, kw_only=True)
class Made(DatasetSpec):
    def read(self, store):
        parts = {"train_images": IMAGES, "test_images": IMAGES, "train_labels": LABELS, "test_labels": LABELS}
        return ImageDataset(name="made", class_names=("a", "b", "c"), **parts)


@pytest.fixture
def store(tmp_path):
    return ArtifactStore(tmp_path / "artifacts")


@pytest.fixture
def matrix(tmp_path):
    path = tmp_path / "matrix.csv"
    np.savetxt(path, MATRIX, delimiter=",")
    return str(path)


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "rows.npy"
    np.save(path, np.random.default_rng(1).dirichlet(np.ones(CLASSES), N).astype(np.float32))
    return str(path)


def test_labels_are_moved_in_proportion_and_exactly_as_many():
    n, noise = 6000, 0.1
    labels = np.arange(n) % CLASSES
    flipped, moved = confused(labels, MATRIX[labels] / MATRIX.sum(axis=1)[labels, None], noise, seed=0)
    assert np.array_equal(np.flatnonzero(moved != labels), flipped)
    assert flipped.size == 600
    pairs = np.zeros((CLASSES, CLASSES))
    np.add.at(pairs, (labels[flipped], moved[flipped]), 1)
    # Of each class 2,000: rates 0.1 (8 to 2), 1/6 (all to c), 1 (even).
    rates = np.array([[0, 0.08, 0.02], [0, 0, 1 / 6], [0.5, 0.5, 0]])
    assert pairs[1, 0] == 0
    some = rates > 0
    assert chisquare(pairs[some], 600 * rates[some] / rates.sum()).pvalue > 0.01
    # The draw is systematic, so the classes' shares are met far closer than by chance.
    np.testing.assert_allclose(pairs.sum(axis=1), 600 * rates.sum(axis=1) / rates.sum(), atol=20)


def test_the_chance_of_an_example_is_its_own():
    labels, chance = np.zeros(6, dtype=int), np.array([0, 0.1, 0.2, 0.3, 0.4, 1.0])
    confusion = np.stack([np.ones(6), chance, np.zeros(6)], axis=1)
    drawn = [confused(labels, confusion, 2 / 6, seed) for seed in range(2000)]
    assert all(each.flipped.size == 2 and set(each.labels[each.flipped]) == {1} for each in drawn)
    found = np.bincount(np.concatenate([each.flipped for each in drawn]), minlength=6) / 2000
    np.testing.assert_allclose(found, chance, atol=4 * 0.5 / np.sqrt(2000))
    assert found[0] == 0
    assert found[5] == 1


def test_those_above_certainty_are_certain_and_the_others_share_the_rest():
    confusion = np.stack([np.zeros(4), [8.0, 1, 1, 2]], axis=1)
    drawn = [confused(np.zeros(4, dtype=int), confusion, 0.5, seed).flipped for seed in range(2000)]
    np.testing.assert_allclose(np.bincount(np.concatenate(drawn)) / 2000, [1, 0.25, 0.25, 0.5], atol=0.04)


def test_a_draw_is_seeded(matrix, store):
    made = [
        Made(label_noise=0.2, noise_kind="class", confusion=matrix, noise_seed=seed).load(store) for seed in (0, 0, 1)
    ]
    assert made[0].fingerprint == made[1].fingerprint != made[2].fingerprint
    for dataset in made:
        assert np.array_equal(np.flatnonzero(dataset.train_labels != LABELS), dataset.planted["flipped"])
        assert dataset.planted["flipped"].size == 12
        assert np.array_equal(dataset.test_labels, LABELS)


def test_the_name_tells_kinds_and_files_apart(matrix, rows, store, tmp_path):
    uniform = Made(label_noise=0.2).load(store)
    assert uniform.name == "made-noise0.2"
    kinds = [Made(label_noise=0.2, noise_kind=kind, confusion=rows).load(store) for kind in ("class", "example")]
    kinds.append(Made(label_noise=0.2, noise_kind="class", confusion=matrix).load(store))
    assert len({dataset.name for dataset in kinds}) == len({dataset.slug for dataset in kinds}) == 3
    assert re.fullmatch("made-noise0.2-example-[0-9a-f]{6}", kinds[1].name)
    moved = tmp_path / "moved.csv"
    moved.write_bytes((tmp_path / "matrix.csv").read_bytes())
    again = Made(label_noise=0.2, noise_kind="class", confusion=str(moved)).load(store)
    assert again.fingerprint == kinds[2].fingerprint


def test_uniform_noise_stays_what_it_was(store):
    assert Made(label_noise=0.25).load(store).fingerprint == "made-noise0.25-2cad342c8c5a"


def test_rows_of_examples_averaged_by_class_are_a_matrix(rows, store, tmp_path):
    given = np.load(rows).astype(np.float64)
    np.save(tmp_path / "matrix.npy", np.stack([given[label == LABELS].mean(axis=0) for label in range(CLASSES)]))
    options = {"label_noise": 0.3, "noise_kind": "class"}
    one, other = (Made(confusion=str(path), **options).load(store) for path in (rows, tmp_path / "matrix.npy"))
    assert np.array_equal(one.train_labels, other.train_labels)


def test_rows_of_all_examples_serve_a_part(rows, store, tmp_path):
    options = {"label_noise": 0.3, "noise_kind": "example", "limit": 30}
    part = Made(confusion=rows, **options).load(store)
    np.save(tmp_path / "part.npy", np.load(rows)[part.source_index])
    own = Made(confusion=str(tmp_path / "part.npy"), **options).load(store)
    assert part.planted["flipped"].size == 9
    assert np.array_equal(part.train_labels, own.train_labels)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"noise_kind": "gaussian"}, "uniform, class, example"),
        ({"noise_kind": "class"}, r"give dataset\.confusion"),
        ({"confusion": "matrix.csv"}, "reads no dataset.confusion"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, match):
    with pytest.raises(OptionError, match=match):
        Made(label_noise=0.1, **options)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (None, "No such file"),
        ("a,b,c\n1,2,3\n", "no array of numbers"),
        ("1,2\n3,4\n", r"3 numbers in each of 3 or 60 rows .* \[2, 2\]"),
        ("1,2,3\n1,-2,3\n1,2,3\n", "not negative"),
        ("1,2,3\n1,nan,3\n1,2,3\n", "finite"),
        ("1,0,0\n0,1,0\n0,1,1\n", "moves 30 labels, but .* only 20"),
    ],
)
def test_files_that_do_not_fit_are_refused(content, match, store, tmp_path):
    path = tmp_path / "given.csv"
    if content is not None:
        path.write_text(content)
    with pytest.raises(DatasetError, match=match):
        Made(label_noise=0.5, noise_kind="class", confusion=str(path)).load(store)


def test_a_matrix_of_classes_says_nothing_of_examples(matrix, store, tmp_path):
    with pytest.raises(OptionError, match="choose noise_kind=class"):
        Made(label_noise=0.1, noise_kind="example", confusion=matrix).load(store)
    np.save(tmp_path / "words.npy", np.array(["a"]))
    (tmp_path / "empty.npy").touch()
    for name in ("words.npy", "empty.npy"):
        with pytest.raises(DatasetError, match="no array of numbers"):
            Made(label_noise=0.1, noise_kind="class", confusion=str(tmp_path / name)).load(store)
