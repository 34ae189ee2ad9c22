"""Dyn-Unc, DUAL and TDDS by hand and against slow references."""

from dataclasses import replace

import numpy as np
import pytest

from helpers.evidence import make_evidence
from winnow.core.errors import MissingEvidenceError, OptionError
from winnow.core.types import Evidence, Trajectory
from winnow.metrics import tdds, windows
from winnow.metrics.dual import DUAL
from winnow.metrics.dyn_unc import DynUnc
from winnow.metrics.tdds import TDDS
from winnow.store.keys import describe


def with_field(values: list[list[float]], *names: str) -> Evidence:
    """One run over [T, n] values, in the named fields of the trajectory."""
    array = np.array(values, dtype=np.float32)[None]
    _, epochs, n = array.shape
    evidence = make_evidence(members=1, epochs=epochs, n=n)
    return replace(evidence, trajectories=replace(evidence.trajectories, **dict.fromkeys(names, array)))


def test_dyn_unc_by_hand():
    # Windows of two: |0 − 1| and |1 − 1|, whose deviations are 1/√2 and 0; the second example never moves.
    evidence = with_field([[0, 0.5], [1, 0.5], [1, 0.5]], "p_true")
    assert DynUnc(window=2)(evidence).values == pytest.approx([np.sqrt(0.5) / 2, 0])
    assert DynUnc(window=2, first_epochs=2)(evidence).values == pytest.approx([np.sqrt(0.5), 0])


def test_dual_by_hand():
    # (1/√2)(1 − 1/2) and 0 · 0: as uncertain as above, times how wrong the window was.
    evidence = with_field([[0, 0.5], [1, 0.5], [1, 0.5]], "p_true")
    assert DUAL(window=2)(evidence).values == pytest.approx([np.sqrt(0.5) / 4, 0])


def test_dual_prefers_the_undecided_that_are_wrong():
    low, high = [0.1, 0.3] * 3, [0.7, 0.9] * 3
    evidence = with_field(np.array([low, high]).T.tolist(), "p_true")
    assert DynUnc(window=4)(evidence).values == pytest.approx([DynUnc(window=4)(evidence).values[0]] * 2)
    hard, easy = DUAL(window=4)(evidence).values
    assert hard > easy


def test_tdds_by_hand():
    # Changes 1, 3, 3 after the first presentation. Windows of two: (1, 3) with squares 2, then (3, 3) with 0.
    evidence = with_field([[0, 0], [1, 2], [3, 2], [-3, 2]], "change_kl", "change_abs")
    assert TDDS(window=2, decay=0.5)(evidence).values == pytest.approx([0.5 * 0.5 * 2, 0])
    # Their window of three presentations holds two changes.
    official = TDDS(window=3, decay=0.5, variant="official")(evidence).values
    assert official == pytest.approx([0.5 * 0.5 * np.sqrt(2), 0])
    # DUAL's copy takes the first window both times.
    dual = TDDS(window=3, decay=0.5, variant="dual")(evidence).values
    assert dual == pytest.approx([(0.5 * 0.5 + 0.5) * np.sqrt(2), 0])
    assert TDDS(window=2, decay=0.5, first_epochs=3)(evidence).values == pytest.approx([0.5 * 2, 0])


def test_every_run_counts_once():
    evidence = make_evidence(members=3)
    runs = [evidence.member(k) for k in range(3)]
    for metric in (DynUnc(), DUAL(), TDDS()):
        assert metric(evidence).values == pytest.approx(np.mean([metric(run).values for run in runs], axis=0))


@pytest.mark.parametrize("metric", [DynUnc(), DUAL(first_epochs=11), TDDS(), TDDS(variant="dual")])
def test_blocks_of_examples_change_nothing(metric, monkeypatch):
    evidence = make_evidence()
    whole = metric(evidence)
    for module in (windows, tdds):
        monkeypatch.setattr(module, "EXAMPLES_IN_BLOCK", 7)
    assert np.array_equal(metric(evidence).values, whole.values)
    assert np.array_equal(metric(evidence).standard_error, whole.standard_error)


@pytest.mark.parametrize(
    ("metric", "least"),
    [(DynUnc(), 10), (DUAL(), 10), (TDDS(), 11), (TDDS(variant="official"), 10), (DUAL(first_epochs=30), 30)],
)
def test_too_few_epochs(metric, least):
    assert metric.least_epochs == least
    with pytest.raises(MissingEvidenceError, match=f"reads {least} epochs"):
        metric(make_evidence(epochs=9))


def test_names_and_errors():
    assert [DUAL().name, DUAL(first_epochs=30).name] == ["dual", "dual[first_epochs=30]"]
    assert TDDS(variant="official", first_epochs=90).name == "tdds[official,first_epochs=90]"
    for wrong in ({"window": 1}, {"window": 10, "first_epochs": 9}):
        for kind in (DynUnc, DUAL, TDDS):
            with pytest.raises(OptionError, match="metric"):
                kind(**wrong)
    with pytest.raises(OptionError, match="at least 3"):  # of two presentations there is one change
        TDDS(variant="official", window=2)
    assert [describe(TDDS(variant=variant))["version"] for variant in ("paper", "official", "dual")] == [1, 2, 2]
    with pytest.raises(OptionError, match="decay"):
        TDDS(decay=0)
    with pytest.raises(OptionError, match="official"):
        TDDS(variant="code")


def test_changes_that_were_not_recorded_are_asked_for():
    evidence = make_evidence(members=2, epochs=12)
    runs = [replace(run, change_kl=None, change_abs=None) for run in evidence.trajectories.runs]
    less = replace(evidence, trajectories=Trajectory.stack(runs))
    for variant, name in (("paper", "change_kl"), ("official", "change_abs"), ("dual", "change_abs")):
        with pytest.raises(MissingEvidenceError, match=rf"{name} was not recorded.*probe\.changes=true"):
            TDDS(variant=variant)(less)
    assert np.array_equal(DUAL()(less).values, DUAL()(evidence).values)
