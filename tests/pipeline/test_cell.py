"""The stages called from plain Python, without Hydra."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.scripts import finished_artifacts
from winnow import pipeline
from winnow.core.errors import BudgetError, DivergedError, MissingEvidenceError
from winnow.datasets.synthetic import Synthetic
from winnow.metrics.aum import AUM
from winnow.metrics.el2n import EL2N
from winnow.metrics.forgetting import Forgetting
from winnow.metrics.random import Random as RandomMetric
from winnow.models.smallconv import SmallConv
from winnow.pipeline import CellSpec, scoring, stages
from winnow.probes.probe import Probe
from winnow.selectors.alpha import Fixed
from winnow.selectors.beta import Beta
from winnow.selectors.calibrated import Calibrated
from winnow.selectors.compression import Count, Fraction
from winnow.selectors.random import Random
from winnow.selectors.threshold import Threshold
from winnow.store.artifacts import ArtifactStore
from winnow.training.callbacks.forgetting import Forgetting as RecordForgetting
from winnow.training.recipe import Recipe

MODEL = SmallConv(width=4)
RECIPE = Recipe(epochs=2, batch_size=32, lr=0.1, budget="steps")
CELL = CellSpec(
    dataset=Synthetic(n=100, n_test=30),
    model=MODEL,
    recipe=RECIPE,
    probe=Probe(model=MODEL, recipe=RECIPE, members=2, epochs=2, evaluate_at=(1,)),
    metric=EL2N(),
    selector=Threshold(),
    alpha=Fixed(value=0.5),
    compression=Fraction(r=0.3),
)


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path)


def _run(store: ArtifactStore, **changes: Any) -> Any:
    return pipeline.train_cell(replace(CELL, **changes), store=store)


def test_a_row_says_all_that_was_done(store: ArtifactStore) -> None:
    row = _run(store, selector=Calibrated(protocol="exact"), selection_seed=3, train_seed=4)
    assert (row.rule, row.metric, row.selector, row.protocol) == ("el2n exact 0.5", "el2n", "calibrated", "exact")
    assert (row.n, row.n_kept, row.r, row.alpha, row.n_test) == (100, 30, 0.3, 0.5, 30)
    assert (row.probe_seed, row.selection_seed, row.train_seed) == (0, 3, 4)
    assert row.steps == 2 * 4  # two epochs of ⌈100 / 32⌉ steps, whatever is kept
    assert row.examples_seen == 30 * 8
    assert row.probe_examples == 2 * 100 * (2 + 1)
    # 15 signal examples of weight 0.3 and 15 of weight (0.3)(100 − 15)/15 = 1.7, by hand.
    assert row.effective_sample_size == pytest.approx((15 * 0.3 + 15 * 1.7) ** 2 / (15 * 0.3**2 + 15 * 1.7**2))
    assert 0 <= row.test_error <= 1


def test_a_finished_cell_is_not_computed_again(store: ArtifactStore, monkeypatch: pytest.MonkeyPatch) -> None:
    first = _run(store)

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(stages, "fit", refuse)
    monkeypatch.setattr(scoring, "gather", refuse)
    assert _run(store) == first
    # Everything that is kept is the same training too: the row is new, the model is not.
    assert _run(store, alpha=Fixed(value=0.9)) == first


def test_equal_subsets_train_once(store: ArtifactStore) -> None:
    full = Fraction(r=1.0)
    rows = [
        _run(store, selector=selector, metric=metric, compression=full)
        for selector in (Random(), Threshold(), Calibrated(), Calibrated(protocol="approximate"))
        for metric in (EL2N(), Forgetting())
    ]
    assert len(finished_artifacts(store.root, "model")) == 1
    assert len({row.test_error for row in rows}) == 1
    assert len({row.key for row in rows}) == 7  # random is one rule under both metrics
    # alpha = 0 keeps what random keeps.
    nothing_scored = _run(store, selector=Calibrated(), alpha=Fixed(value=0.0))
    assert nothing_scored.test_error == _run(store, selector=Random()).test_error
    assert len(finished_artifacts(store.root, "model")) == 2


def test_random_reads_no_scores_and_trains_no_probes(store: ArtifactStore) -> None:
    row = _run(store, selector=Random())
    assert (row.rule, row.metric, row.probe_seed, row.probe_examples, row.alpha) == ("random", None, None, 0, 0.0)
    assert finished_artifacts(store.root, "probe") == []
    assert finished_artifacts(store.root, "scores") == []
    scored = _run(store, metric=RandomMetric())
    assert (scored.rule, scored.probe_examples) == ("random hardest", 0)
    assert finished_artifacts(store.root, "probe") == []


def test_seeds_of_selection_and_training_are_apart(store: ArtifactStore) -> None:
    rows = {
        (selection, training): _run(store, selector=Random(), selection_seed=selection, train_seed=training)
        for selection in (0, 1)
        for training in (0, 1)
    }
    assert len({row.key for row in rows.values()}) == 4
    assert len(finished_artifacts(store.root, "subset")) == 2
    assert len(finished_artifacts(store.root, "model")) == 4


def test_a_count_is_the_fraction_that_keeps_it(store: ArtifactStore) -> None:
    row = _run(store, compression=Count(count=7))
    assert (row.n_kept, row.r) == (7, 0.07)
    with pytest.raises(BudgetError, match="more than the 100"):
        _run(store, compression=Count(count=101))


def test_a_metric_gets_no_more_evidence_than_it_needs(store: ArtifactStore) -> None:
    dataset = pipeline.load_dataset(CELL.dataset, store=store)
    for needs in (frozenset(), frozenset({"logits"}), frozenset({"trajectories"})):
        evidence = pipeline.probe_dataset(dataset, probe=CELL.probe, needs=needs, store=store)
        assert (evidence.logits is not None) == ("logits" in needs)
        assert (evidence.trajectories is not None) == ("trajectories" in needs)


def test_what_probes_will_not_give_is_refused_before_they_are_trained(store: ArtifactStore) -> None:
    with pytest.raises(MissingEvidenceError, match="evaluated after: 1"):
        _run(store, metric=EL2N(epoch=2))
    with pytest.raises(MissingEvidenceError, match=r"probe\.epochs=2"):
        _run(store, metric=EL2N(variant="window", window=3))
    with pytest.raises(MissingEvidenceError, match="at least one epoch"):
        _run(store, probe=replace(CELL.probe, evaluate_at=()))
    with pytest.raises(MissingEvidenceError, match=r"beta reads 30 epochs of training, but probe\.epochs=2"):
        _run(store, selector=Beta(first_epochs=30))
    assert finished_artifacts(store.root) == []
    assert _run(store, probe=replace(CELL.probe, evaluate_at=()), metric=AUM()).rule == "aum hardest"


def test_a_rule_says_whose_scores_it_reads() -> None:
    """So that rows of one model, scored by itself and by a proxy, are two rules of one grid."""
    proxy = replace(CELL.probe, model=SmallConv(width=8))
    assert CELL.rule == "el2n hardest"
    assert replace(CELL, probe=proxy).rule == f"el2n@{SmallConv(width=8).name} hardest"
    assert replace(CELL, probe=proxy, selector=Random()).rule == "random"
    assert replace(CELL, probe=proxy, metric=RandomMetric()).rule == "random hardest"


def test_a_recorded_trajectory_comes_back(store: ArtifactStore) -> None:
    dataset = pipeline.load_dataset(CELL.dataset, store=store)
    subset = pipeline.select_subset(dataset, selector=Random(), scores=None, r=0.5, store=store)
    options: dict[str, Any] = {"model": MODEL, "recipe": replace(RECIPE, budget="epochs"), "store": store}
    plain = pipeline.train_subset(dataset, subset, **options)
    with pytest.raises(MissingEvidenceError, match="callbacks=forgetting"):
        pipeline.load_recorded(plain.key, store=store)
    recorded = pipeline.train_subset(dataset, subset, recorders=(RecordForgetting(),), **options)
    assert recorded.test_error == plain.test_error  # watching changes nothing
    trajectory = pipeline.load_recorded(recorded.key, store=store)
    assert trajectory.p_true.shape == (2, 50)
    assert set(np.unique(trajectory.correct)) <= {0, 1}


def test_a_training_that_diverges_is_an_error_and_leaves_no_row(store: ArtifactStore) -> None:
    with pytest.raises(DivergedError, match=r"lower recipe\.lr"):
        _run(store, selector=Random(), recipe=replace(RECIPE, lr=1e18, schedule="constant"))
    assert finished_artifacts(store.root, "row") == []
    assert finished_artifacts(store.root, "model") == []
