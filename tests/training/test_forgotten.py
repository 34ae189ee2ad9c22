import numpy as np

from helpers.training import tiny_dataset
from winnow.training import forgotten
from winnow.training.logger_spec import NoLog


class Shown(NoLog):
    """Keeps what it is shown."""

    def images(self, opened, name, table, images):
        opened.append((name, table, images))


def shown(indices, correct):
    kept = []
    forgotten.show_most_forgotten(Shown(), kept, DATASET, np.array(indices), np.array(correct, dtype=np.int8))
    return kept


DATASET = tiny_dataset()


def test_the_most_forgotten_come_first_by_canonical_index():
    # three epochs of four examples: forgotten once, never, twice in four epochs, once
    correct = [[1, 1, 1, 0], [0, 1, 0, 1], [0, 1, 1, 0], [1, 1, 0, 0]]
    ((name, table, images),) = shown([5, 8, 13, 21], correct)
    assert name == "forgetting/most"
    assert table["index"].tolist() == [13, 5, 21]
    assert table["events"].tolist() == [2, 1, 1]
    assert table["label"].tolist() == DATASET.train_labels[[13, 5, 21]].tolist()
    assert np.array_equal(images, DATASET.train_images[[13, 5, 21]])


def test_at_most_so_many_are_shown_and_nothing_where_none_was_forgotten(monkeypatch):
    monkeypatch.setattr(forgotten, "MOST", 1)
    ((_, table, images),) = shown([5, 8], [[1, 1], [0, 0]])
    assert (table["index"].tolist(), len(images)) == ([5], 1)
    assert shown([5, 8], [[0, 1], [1, 1]]) == []
