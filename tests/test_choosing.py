"""alpha=auto: the curve over candidates, the choice, and the cell that it is resolved in."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.evidence import make_evidence, only
from helpers.scripts import finished_artifacts
from winnow import pipeline
from winnow.artifacts import ArtifactStore
from winnow.choosing import alpha_curve
from winnow.datasets.synthetic import Synthetic
from winnow.errors import BudgetError, MissingEvidenceError
from winnow.metrics.el2n import EL2N
from winnow.metrics.forgetting import Forgetting
from winnow.models.smallconv import SmallConv
from winnow.pipeline import CellSpec
from winnow.probes.probe import Probe
from winnow.records import load_alpha
from winnow.selectors.alpha import Auto, Fixed
from winnow.selectors.calibrated import Calibrated
from winnow.selectors.compression import Fraction
from winnow.selectors.random import Random
from winnow.selectors.threshold import Threshold
from winnow.training.recipe import Recipe

EVIDENCE = make_evidence(n=200)
SCORES = EL2N()(EVIDENCE)
MODEL = SmallConv(width=4)
RECIPE = Recipe(epochs=1, batch_size=32, lr=0.1, budget="steps")
CELL = CellSpec(
    dataset=Synthetic(n=100, n_test=30),
    model=MODEL,
    recipe=RECIPE,
    probe=Probe(model=MODEL, recipe=RECIPE, members=2, epochs=2, evaluate_at=(1,)),
    metric=EL2N(),
    selector=Calibrated(),
    alpha=Auto(points=5),
    compression=Fraction(r=0.3),
)
CRITERIA = [Auto(points=5), Auto(criterion="validation", points=5, folds=3)]


def curve(auto: Auto, selector: Any = None, r: float = 0.2, **evidence: Any) -> Any:
    return alpha_curve(auto, selector or Calibrated(), SCORES, replace(EVIDENCE, **evidence), r=r, seed=0)


@pytest.mark.parametrize("auto", CRITERIA, ids=lambda auto: auto.criterion)
@pytest.mark.parametrize(
    "selector",
    [
        Calibrated(),
        Calibrated(protocol="approximate"),
        Calibrated(protocol="tempered", balance="exact"),
        Calibrated(drop_suspect=0.1),
        Calibrated(signal=Threshold(keep="easiest")),
    ],
    ids=["exact", "approximate", "tempered balanced", "suspects", "signal"],
)
def test_a_curve_over_what_the_rule_can_keep(auto: Auto, selector: Calibrated) -> None:
    found = curve(auto, selector)
    whole = selector.protocol == "approximate"  # only without weights can all be kept by score
    assert found["alpha"].tolist() == ([0, 0.25, 0.5, 0.75, 1] if whole else [0, 0.25, 0.5, 0.75])
    m = 36 if selector.drop_suspect else 40
    assert found["signal"].tolist() == [round(alpha * m) for alpha in found["alpha"]]
    assert np.all(np.isfinite(found["criterion"]))
    if auto.criterion == "validation":
        assert found["error"].between(0, 1).all()


@pytest.mark.parametrize("auto", CRITERIA, ids=lambda auto: auto.criterion)
def test_no_alpha_is_better_where_everything_is_kept(auto: Auto) -> None:
    assert curve(auto, r=1.0)["criterion"].nunique() == 1


def test_curves_are_averaged_over_probes() -> None:
    assert EVIDENCE.logits is not None
    assert EVIDENCE.features is not None
    one_by_one = [
        curve(Auto(points=5), logits={t: z[k : k + 1] for t, z in EVIDENCE.logits.items()}, features=(features,))
        for k, features in enumerate(EVIDENCE.features)
    ]
    mean = np.mean([each["criterion"] for each in one_by_one], axis=0)
    np.testing.assert_allclose(curve(Auto(points=5))["criterion"], mean)


def test_more_draws_are_averaged() -> None:
    one, two = (curve(Auto(criterion="validation", points=3, folds=2, draws=draws)) for draws in (1, 2))
    assert not np.allclose(one["error"], two["error"])


def test_probes_that_say_nothing_are_told(caplog: pytest.LogCaptureFixture) -> None:
    certain = {4: (1e4 * np.eye(4)[EVIDENCE.labels]).astype(np.float32)[None].repeat(3, axis=0)}
    with caplog.at_level(logging.WARNING):
        assert np.all(curve(Auto(points=5), logits=certain)["criterion"] == 0)
    assert "evaluate_at" in caplog.text


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(MissingEvidenceError, match="features"):
        alpha_curve(Auto(), Calibrated(), SCORES, only(EVIDENCE, frozenset({"logits"})), r=0.2, seed=0)
    with pytest.raises(BudgetError):
        curve(Auto(points=5), r=0.001)


def _run(store: ArtifactStore, **changes: Any) -> Any:
    return pipeline.train_cell(replace(CELL, **changes), store=store)


def test_a_cell_keeps_by_the_alpha_that_was_chosen(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    row = _run(store)
    assert row.rule == "el2n exact auto"
    (folder,) = finished_artifacts(tmp_path, "alpha")
    artifact = store.load("alpha", folder.name)
    assert artifact is not None
    found, about = load_alpha(artifact)
    assert (about["alpha"], about["rule"], about["r"]) == (row.alpha, row.rule, 0.3)
    assert about["alpha"] == found["alpha"][found["criterion"].idxmin()]
    written = store.load("row", row.key)
    assert written is not None
    assert written.json("upstream")["alpha"] == folder.name
    # The same number by hand is another row of the same subset and model.
    fixed = _run(store, alpha=Fixed(value=row.alpha))
    assert (fixed.test_error, fixed.alpha) == (row.test_error, row.alpha)
    assert fixed.key != row.key
    assert len(finished_artifacts(tmp_path, "model")) == 1
    # Another criterion, size or metric is another choice.
    for changes in ({"alpha": CRITERIA[1]}, {"compression": Fraction(r=0.5)}, {"metric": Forgetting()}):
        assert _run(store, **changes).key not in (row.key, fixed.key)
    assert len(finished_artifacts(tmp_path, "alpha")) == 4


def test_rules_that_read_no_alpha_ignore_it(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    row = _run(store, selector=Random())
    assert (row.rule, row.alpha, row.probe_examples) == ("random", 0, 0)
    assert row == _run(store, selector=Random(), alpha=Fixed(value=0.5))
    assert _run(store, selector=Threshold()).alpha == 1
    assert finished_artifacts(tmp_path, "alpha") == []


def test_probes_that_are_not_evaluated_are_refused_before_training(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    with pytest.raises(MissingEvidenceError, match="alpha=auto reads"):
        _run(store, metric=Forgetting(), probe=replace(CELL.probe, evaluate_at=()))
    assert finished_artifacts(tmp_path) == []
