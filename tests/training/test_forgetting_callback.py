import copy
import threading
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from pytorch_lightning import Callback
from scipy.special import log_softmax

from helpers.training import tiny_dataset, tiny_fit, tiny_recipe
from winnow.core.errors import OptionError
from winnow.core.types import Subset
from winnow.datasets.augmentation import Augmentation
from winnow.training.callbacks import trajectory_recorder
from winnow.training.callbacks.forgetting import FIELDS, Forgetting
from winnow.training.callbacks.trajectory_recorder import merge, observe
from winnow.training.loggers import CSVLog

LN2, LN3 = np.log(2), np.log(3)
FLOATS = [name for name in FIELDS if name != "correct"]


@pytest.fixture(scope="module")
def dataset():
    return tiny_dataset()


class Log:
    """A logger that keeps what it is given."""

    def __init__(self):
        self.lines = []

    def log_metrics(self, metrics, step):
        self.lines.append((step, metrics))


def hand_fed(indices, epochs):
    """The trajectory and the log of a recorder that is fed, epoch by epoch, lists of (index, label, logits)."""
    recorder, log = Forgetting().build(np.array(indices), 3), Log()
    module, trainer = SimpleNamespace(device=torch.device("cpu")), SimpleNamespace(loggers=[log], global_step=0)
    recorder.on_fit_start(trainer, module)
    for epoch in epochs:
        recorder.on_train_epoch_start(trainer, module)
        for batch in epoch:
            index, label, logits = zip(*batch, strict=True)
            recorder.record(torch.tensor(index), torch.tensor(logits), torch.tensor(label))
            trainer.global_step += 1
        recorder.on_train_epoch_end(trainer, module)
    return recorder.trajectory(), log.lines


def test_observe_by_hand():
    # Softmax (1/2, 1/4, 1/4) with true class 0, and (1/5, 3/5, 1/5) with true class 2.
    logits = torch.tensor([[LN2, 0.0, 0.0], [0.0, LN3, 0.0]], dtype=torch.float32)
    previous = torch.tensor([[0.25, 0.25, 0.5], [torch.nan] * 3])
    values, p = observe(logits, torch.tensor([0, 2]), previous)
    by_hand = {
        "p_true": [1 / 2, 1 / 5],
        "margin": [LN2, -LN3],
        "probability_margin": [1 / 4, -2 / 5],
        "el2n": [np.sqrt(1 / 4 + 1 / 16 + 1 / 16), np.sqrt(1 / 25 + 9 / 25 + 16 / 25)],
        "loss": [LN2, np.log(5)],
        "correct": [1, 0],
        # 1/2 ln 2 + 1/4 ln 1 + 1/4 ln(1/2), signed and absolute; nothing at a first presentation.
        "change_kl": [LN2 / 4, 0],
        "change_abs": [3 * LN2 / 4, 0],
    }
    assert values.keys() == by_hand.keys() == set(FIELDS)
    for name, expected in by_hand.items():
        np.testing.assert_allclose(values[name].numpy(), expected, rtol=1e-5, atol=1e-7, err_msg=name)
    np.testing.assert_allclose(p.numpy(), [[0.5, 0.25, 0.25], [0.2, 0.6, 0.2]], rtol=1e-6)
    assert values["correct"].dtype == torch.int8


def test_the_change_is_from_the_previous_to_the_present_output():
    # KL is not symmetric: KL((1/2, 1/2) ‖ (9/10, 1/10)) is 0.511, the other way round it is 0.368.
    values, _ = observe(torch.zeros(1, 2), torch.tensor([0]), torch.tensor([[0.9, 0.1]]))
    assert values["change_kl"].item() == pytest.approx(0.5 * np.log(0.5 / 0.9) + 0.5 * np.log(0.5 / 0.1))


def test_no_previous_output_is_no_change():
    values, _ = observe(torch.randn(4, 3), torch.tensor([0, 1, 2, 0]))
    assert values["change_kl"].tolist() == values["change_abs"].tolist() == [0.0] * 4


def test_underflow_stays_finite():
    certain = torch.tensor([[300.0, 0.0, -300.0], [-1e30, 1e30, 0.0]])
    labels = torch.tensor([2, 0])
    _, p = observe(certain, labels)
    assert (p == 0).any()
    for logits in (certain, -certain, torch.zeros(2, 3)):
        values, _ = observe(logits, labels, p)
        for name, value in values.items():
            assert torch.isfinite(value).all(), name
    assert values["change_kl"].min() > 20  # from certainty to a third each is a large change, not none


def test_recorder_by_hand():
    right, wrong, other = [2.0, 0.0, 1.0], [0.0, 2.0, 1.0], [1.0, 0.0, 2.0]  # of class 0, where the next best differ
    first = [[(7, 0, right), (2, 0, wrong)], [(5, 0, right)]]
    second = [[(5, 0, wrong)], [(2, 0, right), (7, 0, right)]]
    third = [[(2, 0, wrong), (5, 0, other)], [(7, 0, wrong)]]
    fourth = [[(2, 0, right), (7, 0, right)], [(5, 0, right)]]
    fifth = [[(2, 0, other), (7, 0, right), (5, 0, wrong)]]
    trajectory, log = hand_fed([2, 5, 7], [first, second, third, fourth, fifth])
    assert trajectory.correct.tolist() == [[0, 1, 1], [1, 0, 1], [0, 0, 0], [1, 1, 1], [0, 0, 1]]
    # Events until each epoch: [0, 0, 0], [0, 1, 0], [1, 1, 1], the same, [2, 2, 1].
    counts = [[m[f"forgetting/{i}"] for i in range(4)] for _, m in log]
    assert counts == [[3, 0, 0, 0], [2, 1, 0, 0], [0, 3, 0, 0], [0, 3, 0, 0], [0, 1, 2, 0]]
    assert [step for step, _ in log] == [2, 4, 6, 8, 9]
    # Margins say which logits went where, and the change which presentation came before.
    assert trajectory.margin.tolist() == [[-2, 1, 1], [1, -2, 1], [-2, -1, -2], [1, 1, 1], [-1, -2, 1]]
    assert np.array_equal(trajectory.change_kl < 1e-6, [[1, 1, 1], [0, 0, 1], [0, 0, 0], [0, 0, 0], [0, 0, 1]])


def test_events_above_ten_share_the_last_column():
    right, wrong = [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]
    epochs = [[[(0, 0, right if t % 2 == 0 else wrong), (1, 0, right)]] for t in range(25)]
    trajectory, log = hand_fed([0, 1], epochs)
    assert (np.diff(trajectory.correct[:, 0]) == -1).sum() == 12
    last = log[-1][1]
    assert list(last) == [f"forgetting/{i}" for i in [*range(10), "10+"]]
    assert {name: count for name, count in last.items() if count} == {"forgetting/0": 1, "forgetting/10+": 1}


def test_an_example_that_is_not_presented_is_marked():
    out = [2.0, 0.0, 1.0]
    one, two = (0, 0, out), (1, 0, out)
    trajectory, log = hand_fed([0, 1], [[[one, two]], [[two]], [[(0, 0, [0.0, 2.0, 1.0])]]])
    assert trajectory.correct.tolist() == [[1, 1], [-1, 1], [0, -1]]
    for name in FLOATS:
        assert np.isnan(getattr(trajectory, name)).tolist() == [[False, False], [True, False], [False, True]], name
    # What counts is the presentation before, whenever that was.
    assert [metrics["forgetting/1"] for _, metrics in log] == [0, 0, 1]
    assert trajectory.change_kl[2, 0] > 0


class Before(Callback):
    """Keeps a copy of the model before each update, and counts its passes."""

    def __init__(self):
        self.passes, self.steps = 0, []

    def on_fit_start(self, trainer, module):
        def count(*_):
            self.passes += 1

        self.model = copy.deepcopy(module.model)
        module.model.register_forward_hook(count)

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        self.model.load_state_dict(module.model.state_dict())
        with torch.no_grad():
            logits = self.model.train()(batch.image)
        self.steps.append((trainer.current_epoch, batch.index.numpy(), logits.double().numpy()))


def expected_trajectory(dataset, indices, steps, epochs):
    """The fields by numpy, in float64, from the logits [B, C] of each step."""
    rows = {name: np.full((epochs, dataset.n), np.nan) for name in FIELDS}
    before = np.full((dataset.n, dataset.n_classes), np.nan)
    for epoch, index, logits in steps:
        labels = dataset.train_labels[index]
        log_p, onehot = log_softmax(logits, axis=1), np.eye(dataset.n_classes)[labels]
        p = np.exp(log_p)
        change = np.nan_to_num(p * (log_p - before[index]))
        before[index] = log_p

        def margin(outputs, truth=onehot == 1):
            return outputs[truth] - np.where(truth, -np.inf, outputs).max(axis=1)

        values = {
            "p_true": p[onehot == 1],
            "margin": margin(logits),
            "probability_margin": margin(p),
            "el2n": np.linalg.norm(p - onehot, axis=1),
            "loss": -log_p[onehot == 1],
            "correct": logits.argmax(axis=1) == labels,
            "change_kl": change.sum(axis=1),
            "change_abs": np.abs(change).sum(axis=1),
        }
        for name, value in values.items():
            rows[name][epoch, index] = value
    return {name: row[:, indices] for name, row in rows.items()}


@pytest.mark.parametrize("m", [60, 33])
def test_records_what_training_computes_before_each_update(dataset, m):
    indices = np.sort(np.random.default_rng(2).choice(dataset.n, m, replace=False))
    assert np.any(np.diff(dataset.train_labels[indices]) < 0)
    subset = Subset(indices, np.linspace(0.5, 1.5, m), np.zeros(m, dtype=bool), dataset.n)
    recipe = tiny_recipe(lr=0.2, budget="steps", augmentation=Augmentation(shift=0.125))
    recorder, before = Forgetting().build(indices, dataset.n_classes), Before()
    fitted = tiny_fit(dataset, recipe, subset=subset, callbacks=[before, recorder])
    assert before.passes == fitted.steps == 8  # not one pass more than training needs

    trajectory = recorder.trajectory()
    assert trajectory.epochs == {60: 2, 33: 3}[m]
    expected = expected_trajectory(dataset, indices, before.steps, trajectory.epochs)
    presented = ~np.isnan(expected["correct"])
    assert presented.all() == (m == dataset.n)
    assert np.array_equal(trajectory.correct, np.where(presented, expected["correct"], -1))
    for name in FLOATS:
        np.testing.assert_allclose(getattr(trajectory, name), expected[name], rtol=1e-3, atol=1e-4, err_msg=name)


def test_the_last_epoch_may_be_partial(dataset):
    # Batches of 11: two epochs of three, then two of three, so that 11 examples are missing from the last epoch.
    indices = np.arange(33)
    subset = Subset(indices, np.ones(33), np.zeros(33, dtype=bool), dataset.n)
    recorder = Forgetting().build(indices, dataset.n_classes)
    tiny_fit(dataset, tiny_recipe(budget="steps"), subset=subset, callbacks=[recorder])
    trajectory = recorder.trajectory()
    assert (trajectory.correct < 0).sum(axis=1).tolist() == [0, 0, 11]
    assert all(np.isnan(getattr(trajectory, name)).sum(axis=1).tolist() == [0, 0, 11] for name in FLOATS)


def test_the_log_has_the_histogram_of_every_epoch(dataset, tmp_path):
    recorder, spec = Forgetting().build(np.arange(dataset.n), dataset.n_classes), CSVLog(folder=str(tmp_path))
    opened = spec.open("one", kind="cell", config={})
    tiny_fit(dataset, tiny_recipe(epochs=4, lr=1.0), callbacks=[recorder], logger=opened)
    spec.close(opened)
    table = pd.read_csv(tmp_path / "logs" / "cell-one" / "metrics.csv")
    histogram = table[[f"forgetting/{i}" for i in [*range(10), "10+"]]].dropna()
    assert histogram.sum(axis=1).tolist() == [dataset.n] * 4
    assert table.loc[histogram.index, "step"].tolist() == [4, 8, 12, 16]
    events = np.diff(recorder.trajectory().correct, axis=0) == -1
    for epoch in range(4):
        expected = np.bincount(events[:epoch].sum(axis=0), minlength=11)
        assert histogram.iloc[epoch].tolist() == expected.tolist()
    assert events.any()


def test_batches_of_one_stream_are_not_recorded():
    Forgetting().check(tiny_recipe())
    with pytest.raises(OptionError, match=r"every kept example once in each epoch.*recipe\.batches=equal"):
        Forgetting().check(tiny_recipe(batches="constant"))


def test_without_changes_the_rest_is_the_same_and_no_softmax_is_kept(dataset):
    recorders = [
        Forgetting(changes=changes).build(np.arange(dataset.n), dataset.n_classes) for changes in (True, False)
    ]
    for recorder in recorders:
        tiny_fit(dataset, callbacks=[recorder])
    (full, less), kept = (recorder.trajectory() for recorder in recorders), recorders[1].state_dict()
    assert (less.change_kl, less.change_abs) == (None, None)
    assert set(full.arrays()) - set(less.arrays()) == {"change_kl", "change_abs"}
    for name, array in less.arrays().items():
        assert array.tobytes() == getattr(full, name).tobytes(), name
    assert torch.equal(recorders[0].events, recorders[1].events)
    tables = [*kept.values(), *kept["row"].values()]
    assert not [table for table in tables if isinstance(table, torch.Tensor) and table.ndim > 1]


class Threads:
    """Two threads in the place of two processes, which add tensors up, and the sizes of what they added."""

    def __init__(self):
        self.barrier, self.mine, self.given, self.sizes = threading.Barrier(2), threading.local(), [None, None], []

    def sum_over_ranks(self, tensor):
        self.given[self.mine.rank] = tensor.clone()
        self.barrier.wait(10)
        tensor.copy_(self.given[0] + self.given[1])
        self.sizes.append(tensor.nbytes)
        self.barrier.wait(10)
        return tensor

    def run(self, rank, columns, seen):
        self.mine.rank = rank
        merge(columns, seen)


@pytest.mark.parametrize("at_once", [1, 700, 2**26])
def test_what_processes_saw_is_put_together_in_blocks_of_rows(monkeypatch, at_once):
    m, rng = 33, np.random.default_rng(0)
    by = torch.tensor(rng.integers(0, 3, m))  # which process saw an example; 2: none did
    whole = [torch.tensor(rng.standard_normal((m, 5)), dtype=torch.float32), torch.tensor(rng.integers(0, 9, m))]
    whole.append(whole[1] > 4)
    before = [torch.full((m, 5), torch.nan), torch.zeros(m, dtype=torch.int64), torch.zeros(m, dtype=torch.bool)]
    parts = []
    for rank in range(2):
        columns = [column.clone() for column in before]
        for column, values in zip(columns, whole, strict=True):
            column[by == rank] = values[by == rank]
        parts.append((columns, by == rank))
    threads = Threads()
    monkeypatch.setattr(trajectory_recorder, "BYTES_AT_ONCE", at_once)
    monkeypatch.setattr(trajectory_recorder.workers, "is_distributed", lambda: True)
    monkeypatch.setattr(trajectory_recorder.workers, "sum_over_ranks", threads.sum_over_ranks)
    running = [threading.Thread(target=threads.run, args=(rank, *parts[rank])) for rank in range(2)]
    for each in running:
        each.start()
    for each in running:
        each.join()
    for columns, seen in parts:
        assert not seen.any()
        for column, values, old in zip(columns, whole, before, strict=True):
            expected = torch.where((by < 2).reshape(-1, *[1] * (values.ndim - 1)), values, old)
            assert torch.equal(column.nan_to_num(-1), expected.nan_to_num(-1))
    row = 4 * (5 + 1 + 1 + 1)
    assert max(threads.sizes) == {1: row, 700: 21 * row, 2**26: m * row}[at_once]
