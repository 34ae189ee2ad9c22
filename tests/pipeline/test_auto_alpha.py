"""alpha=auto: the curve over candidates, the choice, and the cell that it is resolved in."""

import logging
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from helpers.evidence import make_evidence, only
from helpers.scripts import finished_artifacts
from winnow import pipeline
from winnow.core.errors import BudgetError, MissingEvidenceError
from winnow.core.types import FoldFeatures
from winnow.datasets.synthetic import Synthetic
from winnow.metrics.el2n import EL2N
from winnow.metrics.forgetting import Forgetting
from winnow.models.smallconv import SmallConv
from winnow.pipeline import CellSpec
from winnow.pipeline.auto_alpha import alpha_curve, disagreement
from winnow.probes.probe import Probe
from winnow.selectors.alpha import Auto, Fixed
from winnow.selectors.calibrated import Calibrated
from winnow.selectors.compression import Fraction
from winnow.selectors.random import Random
from winnow.selectors.threshold import Threshold
from winnow.store.artifacts import Artifact, ArtifactStore
from winnow.store.records import load_alpha
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
def test_the_other_criterion_is_tried_and_changes_nothing(auto: Auto) -> None:
    both, alone = curve(auto), curve(replace(auto, compare=False))
    assert "loss" in both
    assert "bias2" in both
    assert ("bias2" in alone) != ("loss" in alone)
    for column in alone:
        assert both[column].tolist() == alone[column].tolist(), column
    if auto.criterion == "gradient":
        other = curve(Auto(criterion="validation", points=5, compare=False))
        assert both["error"].tolist() == other["criterion"].tolist()
    else:
        other = curve(Auto(points=5, compare=False))
        assert both["variance"].tolist() == other["variance"].tolist()


def test_validation_is_tried_at_eleven_alphas_and_the_chosen_one() -> None:
    found = curve(Auto(points=101, folds=2))
    tried = found["alpha"][found["error"].notna()].tolist()
    chosen = found["alpha"][found["criterion"].idxmin()]
    last = found["alpha"].max()  # with weights there is no alpha of 1
    wanted = {round(0.1 * step, 1) for step in range(10)} | {last, chosen}
    assert set(tried) == wanted
    alone = curve(Auto(criterion="validation", points=101, folds=2)).set_index("alpha")
    np.testing.assert_array_equal(found.set_index("alpha")["error"][tried], alone["error"][tried])


def test_the_standard_error_is_that_of_the_difference_from_the_lowest() -> None:
    found = curve(Auto(criterion="validation", points=5, folds=3))
    best = found["error"].idxmin()
    assert found["excess_se"][best] == 0
    # A difference of two outcomes of 0 or 1 with mean d has at least the variance d (1 − d).
    excess = found["error"] - found["error"][best]
    assert np.all(found["excess_se"] >= np.sqrt(excess * (1 - excess) / EVIDENCE.n) - 1e-12)
    assert found["excess_se"].drop(best).between(1e-4, np.sqrt(1 / EVIDENCE.n)).all()


def test_what_takes_too_long_is_not_tried(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr("winnow.pipeline.auto_alpha.AFFORDABLE", 1.0)
    with caplog.at_level(logging.INFO):
        assert "error" not in curve(Auto(points=5))
        assert "error" in curve(Auto(criterion="validation", points=5))
    assert caplog.text.count("is not tried") == 1


def test_folds_are_held_out_of_the_probes_too() -> None:
    """Features that give the label away to those that saw the example, and noise where it was held out."""
    rng = np.random.default_rng(0)
    fold = rng.permutation(EVIDENCE.n) % 3
    told = 5 * np.eye(4)[EVIDENCE.labels]
    noise = rng.normal(size=told.shape)
    blind = tuple(np.where((fold == j)[:, None], noise, told).astype(np.float32) for j in range(3))
    seen = replace(
        EVIDENCE, features=(told.astype(np.float32),) * 3, fold_features=FoldFeatures(fold=fold, features=blind)
    )
    auto = Auto(criterion="validation", points=3, compare=False)
    assert curve(auto, features=seen.features)["error"].max() < 0.05
    held_out = replace(auto, held_out=True)
    assert curve(held_out, features=seen.features, fold_features=seen.fold_features)["error"].min() > 0.5
    suspects = Calibrated(drop_suspect=0.1)
    assert np.all(np.isfinite(curve(held_out, suspects, fold_features=seen.fold_features)["error"]))
    with pytest.raises(MissingEvidenceError, match="fold_features"):
        curve(held_out, fold_features=None)


DISAGREE = pd.DataFrame(
    {
        "alpha": [0.0, 0.5, 0.9],
        "bias2": [0.0, 0.1, 0.2],
        "variance": [1.3, 1.1, 0.8],
        "error": [0.2, 0.22, 0.3],
        "excess_se": [0.0, 0.008, 0.02],
    }
)


@pytest.mark.parametrize(
    ("gradient", "validation", "told"),
    [
        (0.9, 0.0, ("10.0 ± 2.0 points", "1.30 times")),
        (0.9, 0.5, ("8.0 ± 2.0 points", "1.20 times")),  # costly by validation alone
        (0.5, 0.0, ()),  # 2.0 ± 0.8 points may be chance, and 1.08 times is little
    ],
)
def test_disagreement_is_what_each_choice_costs_by_the_other(
    gradient: float, validation: float, told: tuple[str, ...]
) -> None:
    found = disagreement(DISAGREE, {"gradient": gradient, "validation": validation})
    assert (found is not None) == bool(told)
    assert all(each in str(found) for each in (*told, f"alpha.value={gradient:g},{validation:g}") if told)
    noisy = disagreement(DISAGREE.assign(excess_se=1.0), {"gradient": gradient, "validation": validation})
    assert (noisy is not None) == ("1.30 times" in told)  # by the gradient criterion alone
    assert disagreement(DISAGREE, {"gradient": 0.9}) is None


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
        assert "bias2" not in curve(CRITERIA[1], logits=certain)
        assert not caplog.text
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
    assert about["saw_folds"]
    assert about["choices"] == {"gradient": row.alpha, "validation": found["alpha"][found["error"].idxmin()]}
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


def test_comparing_enters_no_key_and_costs_no_examples() -> None:
    dataset = pipeline.load_dataset(CELL.dataset, store=ArtifactStore())
    for auto in (*CRITERIA, Auto(criterion="validation", held_out=True)):
        both, alone = (replace(CELL, alpha=replace(auto, compare=compare)) for compare in (True, False))
        assert pipeline.cell_key(both, dataset)[0] == pipeline.cell_key(alone, dataset)[0]
        assert CELL.probe.cost(dataset.n, both.needs) == CELL.probe.cost(dataset.n, alone.needs)


def test_a_disagreement_is_told_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("winnow.pipeline.auto_alpha.DEARER", 0.0)
    dataset = SimpleNamespace(fingerprint="made-up-0", slug="made-up")
    asked: dict[str, Any] = {"auto": CRITERIA[1], "selector": Calibrated(), "scores": SCORES, "r": 0.2, "seed": 0}
    for _ in range(2):
        pipeline.choose_alpha(dataset, **asked, evidence=EVIDENCE, store=ArtifactStore(tmp_path))
    assert caplog.text.count("the criteria disagree") == 2


def test_a_cell_with_folds_held_out(tmp_path: Path) -> None:
    store, auto = ArtifactStore(tmp_path), Auto(criterion="validation", points=3, held_out=True)
    row = _run(store, alpha=auto)
    assert row.rule == "el2n exact auto by held-out validation"
    assert len(finished_artifacts(tmp_path, "subset_run")) == 2
    # Two members of two epochs and two passes; two models that see half for one epoch, and pass everything.
    assert row.probe_examples == 2 * 100 * (2 + 2) + 2 * (50 * 1 + 100)
    (folder,) = finished_artifacts(tmp_path, "alpha")
    assert not load_alpha(Artifact(folder))[1]["saw_folds"]
    with pytest.raises(MissingEvidenceError, match=r"raise probe\.members"):
        _run(store, alpha=auto, probe=replace(CELL.probe, members=1))


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
