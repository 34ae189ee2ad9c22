import numpy as np
import pytest

from helpers.evidence import make_evidence, only
from winnow.core.errors import MissingEvidenceError, OptionError
from winnow.core.types import Evidence, Trajectory
from winnow.metrics.forgetting import Forgetting

# Six presentations of five examples; one line an example.
RUN = [
    [1, 1, 1, 1, 1, 1],  # never forgotten
    [0, 0, 1, 1, 1, 1],  # learned late, never forgotten
    [0, 1, 0, 1, 1, 0],  # forgotten twice
    [1, 0, 1, 0, 1, 0],  # forgotten three times, the most that six presentations allow
    [0, 0, 0, 0, 0, 0],  # never learned
]
EASIER_RUN = [[1] * 6, [1] * 6, [1] * 6, [1] * 6, [0, 0, 0, 0, 0, 1]]


def evidence_of(*runs: list[list[int]]) -> Evidence:
    correct = np.array(runs, dtype=np.int8).transpose(0, 2, 1)
    unread = np.zeros(correct.shape, dtype=np.float32)
    floats = ("p_true", "margin", "probability_margin", "el2n", "loss", "change_kl", "change_abs")
    trajectory = Trajectory(correct=correct, **dict.fromkeys(floats, unread))
    return Evidence(dataset="hand", labels=np.zeros(correct.shape[-1], dtype=int), trajectories=trajectory)


@pytest.mark.parametrize(("never_learned", "count"), [("max", 6), ("inf", 6), ("zero", 0)])
def test_one_run_by_hand(never_learned, count):
    scores = Forgetting(never_learned=never_learned)(evidence_of(RUN))
    assert scores.values.tolist() == [0, 0, 2, 3, count]


def test_mean_over_runs():
    assert Forgetting()(evidence_of(RUN, EASIER_RUN)).values.tolist() == [0, 0, 1, 1.5, 3]


def test_inf_ranks_one_unlearned_run_above_all_learned():
    often_forgotten = [1, 0, 1, 0, 1, 0]
    unlucky_once = [[1] * 6, often_forgotten]
    runs = [unlucky_once] * 7 + [[[0] * 6, often_forgotten]]
    averaged = Forgetting(never_learned="max")(evidence_of(*runs)).values
    infinite = Forgetting(never_learned="inf")(evidence_of(*runs)).values
    assert averaged[0] < averaged[1]
    assert infinite[0] > infinite[1]


def test_inf_orders_by_the_number_of_unlearned_runs_first():
    often, never, always = [1, 0, 1, 0, 1, 0], [0] * 6, [1] * 6
    values = Forgetting(never_learned="inf")(evidence_of([never, never], [never, often], [always, often])).values
    assert values[0] > values[1]


def test_the_first_epochs():
    # Of four presentations: 1 0 1 1 forgets once, 1 0 1 0 twice, and the last is never learned.
    early = Forgetting(first_epochs=4)
    assert early(evidence_of(RUN)).values.tolist() == [0, 0, 1, 2, 4]
    assert early(evidence_of(EASIER_RUN)).values.tolist() == [0, 0, 0, 0, 4]  # it is learned at the sixth
    assert early.least_epochs == 4
    with pytest.raises(MissingEvidenceError, match="reads 7 epochs of training, but 6 were recorded"):
        Forgetting(first_epochs=7)(evidence_of(RUN))


def test_names():
    assert Forgetting(never_learned="zero", first_epochs=4).name == "forgetting[zero,first_epochs=4]"
    names = [Forgetting(never_learned=n).name for n in ("max", "inf", "zero")]
    assert names == ["forgetting", "forgetting[inf]", "forgetting[zero]"]


def test_errors():
    with pytest.raises(OptionError, match="max, inf, zero"):
        Forgetting(never_learned="nan")
    with pytest.raises(OptionError, match="first_epochs=0"):
        Forgetting(first_epochs=0)
    with pytest.raises(MissingEvidenceError):
        Forgetting()(only(make_evidence(), frozenset({"logits"})))
