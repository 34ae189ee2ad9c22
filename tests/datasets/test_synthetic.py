"""Made images: planted kinds, what the options change, and that the images are what the docstring says."""

import numpy as np
import pytest
import torch
from torch import nn

from winnow.core.errors import OptionError
from winnow.datasets.synthetic import CONTRAST, Synthetic


def load(**options):
    return Synthetic(**options).load(None)


def nearest(dataset, images, **options) -> np.ndarray:
    """The class of the nearest prototype: the best classifier of easy examples, blind to labels."""
    prototypes = Synthetic(**options)._prototypes()
    return (((images.reshape(len(images), -1) / 255) - 0.5) @ prototypes.T).argmax(1)


def test_shapes_and_balanced_classes():
    dataset = load(n=403, n_test=101, n_classes=5, size=10)
    assert dataset.train_images.shape == (403, 10, 10, 1)
    assert dataset.test_images.shape == (101, 10, 10, 1)
    assert np.ptp(np.bincount(dataset.test_labels)) == 1
    clean = load(n=403, n_classes=5, mislabelled=0.0)
    assert np.ptp(np.bincount(clean.train_labels)) == 1


@pytest.mark.parametrize(("hard", "mislabelled"), [(0.2, 0.05), (0.0, 0.0), (1.0, 0.0), (0.5, 0.5), (0.25, 0.75)])
@pytest.mark.parametrize("n", [10, 403])
def test_every_example_is_of_exactly_one_planted_kind(n, hard, mislabelled):
    planted = load(n=n, hard=hard, mislabelled=mislabelled).planted
    assert set(planted) == {"easy", "hard", "mislabelled"}
    np.testing.assert_array_equal(np.sort(np.concatenate(list(planted.values()))), np.arange(n))
    assert abs(planted["hard"].size - hard * n) <= 1
    assert abs(planted["mislabelled"].size - mislabelled * n) <= 1
    assert all(np.all(np.diff(indices) > 0) for indices in planted.values())


def test_prototypes_are_equally_far_apart():
    prototypes = Synthetic(n_classes=6)._prototypes()
    np.testing.assert_allclose(prototypes @ prototypes.T, np.eye(6) * CONTRAST**2 * 64, atol=1e-12)
    np.testing.assert_allclose(prototypes.mean(axis=1), 0, atol=1e-12)


def test_easy_examples_are_clear_hard_ones_are_not_and_mislabelled_ones_are_clear_but_wrong():
    dataset = load(n=4000)
    wrong = nearest(dataset, dataset.train_images) != dataset.train_labels
    assert wrong[dataset.planted["easy"]].mean() < 0.002
    assert 0.08 < wrong[dataset.planted["hard"]].mean() < 0.22
    assert wrong[dataset.planted["mislabelled"]].mean() > 0.998


def test_test_labels_are_correct_and_as_many_are_hard():
    dataset = load(n_test=4000, hard=0.5)
    wrong = nearest(dataset, dataset.test_images) != dataset.test_labels
    assert 0.04 < wrong.mean() < 0.11


def test_difficulty_and_pixel_noise_make_hard_examples_harder():
    def error(**options):
        dataset = load(n=4000, hard=1.0, mislabelled=0.0, **options)
        return (nearest(dataset, dataset.train_images) != dataset.train_labels).mean()

    by_difficulty = [error(difficulty=d) for d in (0.0, 0.4, 0.7, 1.0)]
    assert by_difficulty == sorted(by_difficulty)
    assert by_difficulty[0] < 0.01
    assert by_difficulty[-1] > 0.4
    assert error(pixel_noise=0.3) > error(pixel_noise=0.15) + 0.05


def test_seed_decides_everything_and_n_leaves_the_test_set_alone():
    assert load().fingerprint == load().fingerprint
    assert load().fingerprint != load(seed=1).fingerprint
    np.testing.assert_array_equal(load(n=100).test_images, load(n=200, mislabelled=0.3).test_images)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"hard": 1.2}, "hard"),
        ({"mislabelled": -0.1}, "mislabelled"),
        ({"difficulty": 1.5}, "difficulty"),
        ({"hard": 0.7, "mislabelled": 0.5}, "sum"),
        ({"pixel_noise": -1.0}, "pixel_noise"),
        ({"size": 3}, "size"),
        ({"n_classes": 1}, "n_classes"),
        ({"n_classes": 33}, "n_classes"),
        ({"n": 3}, "n=3"),
        ({"n_test": 0}, "n_test"),
        ({"label_noise": 2.0}, "label_noise"),
    ],
)
def test_options_out_of_range_are_refused(options, named):
    with pytest.raises(OptionError, match=named):
        Synthetic(**options)


def test_a_small_network_learns_it_in_a_second():
    dataset = load(n=1000, n_test=1000, hard=0.2)
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, padding=1, stride=2), nn.ReLU(),
        nn.Flatten(), nn.Linear(32 * 16, 4),
    )  # fmt: skip

    def batch(images):
        return torch.tensor(images).permute(0, 3, 1, 2).float() / 255 - 0.5

    images, labels = batch(dataset.train_images), torch.tensor(dataset.train_labels)
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    for _ in range(5):
        for indices in torch.randperm(dataset.n).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(images[indices]), labels[indices]).backward()
            optimizer.step()
    with torch.no_grad():
        predicted = net(batch(dataset.test_images)).argmax(1).numpy()
    clear = nearest(dataset, dataset.test_images) == dataset.test_labels
    assert (predicted != dataset.test_labels)[clear].mean() < 0.08
    assert (predicted != dataset.test_labels).mean() < 0.15
