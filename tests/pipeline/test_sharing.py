"""What cells share, for every metric and selector in conf/; a new yaml is found and tested here without a change."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hydra.utils import instantiate

from helpers.config import composed, options
from helpers.scripts import finished_artifacts
from helpers.training import CPU, TINY, tiny_probe, tiny_recipe
from winnow.core.errors import BudgetError, OptionError
from winnow.datasets.base import ImageDataset
from winnow.datasets.synthetic import Synthetic
from winnow.metrics.el2n import EL2N
from winnow.metrics.forgetting import Forgetting
from winnow.metrics.grand import GraNd
from winnow.metrics.memorization import Memorization
from winnow.metrics.ssp import SSP
from winnow.pipeline import CellSpec, load_dataset, select_for_cell, train_cell
from winnow.pipeline.sharing import cheap_trained_key, make_shared, missing_stages, shared_stages, trained_key
from winnow.probes.embeddings.npy import Npy
from winnow.probes.embeddings.simclr import SimCLR
from winnow.probes.ensemble import evidence_keys
from winnow.selectors.alpha import Auto, Fixed
from winnow.selectors.calibrated import Calibrated
from winnow.selectors.compression import Fraction
from winnow.selectors.k_center import KCenter
from winnow.selectors.random import Random
from winnow.selectors.threshold import Threshold
from winnow.store.artifacts import ArtifactStore

CELL = CellSpec(
    dataset=Synthetic(n=60, n_test=50, n_classes=3),
    model=TINY,
    recipe=tiny_recipe(epochs=1),
    probe=tiny_probe(epochs=11),  # as many as the longest window of a metric, and one
    metric=EL2N(),
    selector=Threshold(),
    alpha=Fixed(value=0.5),
    compression=Fraction(r=0.5),
)
PARTS = tiny_probe(members=10, subset_fraction=0.5)
TRAININGS = ("probe", "subset_run")
RUN = SimCLR(model=TINY, epochs=1, batch_size=30)
PATHS = [path for group in ("metric", "selector") for path in options(group)]


@pytest.fixture(scope="module")
def dataset() -> ImageDataset:
    return load_dataset(CELL.dataset, store=ArtifactStore())


@pytest.fixture(scope="module")
def trained(dataset: ImageDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the members of the ensemble and the models of random parts."""
    store = ArtifactStore(tmp_path_factory.mktemp("trained"))
    for cell in (CELL, replace(CELL, metric=Memorization(), probe=PARTS)):
        for stage in shared_stages(cell, dataset):
            if stage.stage in TRAININGS:
                make_shared(cell, dataset, stage.name, store=store, trainer=CPU)
    return store.root


def _stage_of(path: Path, tmp_path: Path) -> Any:
    config = dict(composed(path))
    if path.stem == "file" and path.parent.name == "metric":
        pd.DataFrame({"index": range(60), "score": range(60)}).to_csv(tmp_path / "given.csv", index=False)
        config["path"] = str(tmp_path / "given.csv")
    return instantiate(config, _convert_="all")


def _all_made_one_by_one(cell: CellSpec, dataset: ImageDataset, store: ArtifactStore) -> None:
    """Makes the stages in order, each alone, and sees that selecting finds them and makes no more of their kinds."""
    for stage in shared_stages(cell, dataset):
        before = set(finished_artifacts(store.root))
        known = stage.is_finished(store)
        make_shared(cell, dataset, stage.name, store=store, trainer=CPU)
        made = {path.relative_to(store.root) for path in set(finished_artifacts(store.root)) - before}
        assert known or stage.is_finished(store)
        own = {Path(stage.stage) / stage.key} if not known else set()
        assert made == own or (stage.name == "embedding" and own < made)
    before = set(finished_artifacts(store.root))
    select_for_cell(cell, dataset, store=store, trainer=CPU)
    kinds = {path.parent.name for path in set(finished_artifacts(store.root)) - before}
    assert kinds <= {"subset", "alpha"}


@pytest.mark.parametrize("path", PATHS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_nothing_is_left_to_train_or_pass_once_they_are_made(
    path: Path, dataset: ImageDataset, trained: Path, tmp_path: Path
) -> None:
    cell = replace(CELL, **{path.parent.name: _stage_of(path, tmp_path)})
    if "subset_runs" in cell.needs:
        cell = replace(cell, probe=PARTS)
    stages = shared_stages(cell, dataset)
    of_trainings = {stage.key for stage in stages if stage.stage in TRAININGS}
    assert of_trainings == set(evidence_keys(dataset, cell.probe, cell.needs))
    assert sum(stage.examples for stage in stages) == cell.probe.cost(dataset.n, cell.needs)
    assert len({stage.name for stage in stages}) == len({(s.stage, s.key) for s in stages}) == len(stages)
    finished: set[str] = set()
    for stage in stages:
        assert set(stage.after) <= finished
        finished.add(stage.key)
    store = ArtifactStore(tmp_path / "store")
    for kind in TRAININGS:
        shutil.copytree(trained / kind, store.root / kind)
    _all_made_one_by_one(cell, dataset, store)


@pytest.mark.parametrize(
    "change",
    [
        {"metric": SSP(k=3), "probe": tiny_probe(embedding=RUN)},
        {"metric": SSP(k=3), "probe": tiny_probe(embedding=Npy(path="vectors.npy"))},
        {"selector": KCenter(), "probe": tiny_probe(embedding=RUN)},
        {"selector": Calibrated(), "alpha": Auto(points=5, held_out=True)},
        {"selector": Threshold(drop_suspect=0.1, suspect_by="aum"), "metric": Memorization(), "probe": PARTS},
        {"metric": GraNd(epoch=1), "probe": tiny_probe(evaluate_at=(1, 2))},
    ],
    ids=["simclr", "npy", "k_center by simclr", "alpha=auto", "suspects by aum", "an epoch of gradients"],
)
def test_embeddings_alpha_and_suspects(
    change: dict[str, Any], dataset: ImageDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("vectors.npy", np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32))
    cell = replace(CELL, **{"probe": tiny_probe()} | change)
    assert sum(s.examples for s in shared_stages(cell, dataset)) == cell.probe.cost(dataset.n, cell.needs)
    _all_made_one_by_one(cell, dataset, ArtifactStore(tmp_path / "store"))


def test_only_what_the_rule_reads(dataset: ImageDataset) -> None:
    def names(**change: Any) -> list[str]:
        return [stage.name for stage in shared_stages(replace(CELL, **change), dataset)]

    probes = [f"probe:{member}" for member in range(2)]
    assert names() == [*probes, "scores"]
    assert names(selector=Random()) == []
    assert names(selector=Random(), metric=Memorization()) == []
    assert names(metric=Memorization()) == [*(f"part:{member}" for member in range(2)), "scores"]
    assert names(selector=Random(drop_suspect=0.1, suspect_by="aum")) == probes
    assert names(selector=KCenter()) == [*probes, "features:0"]
    assert names(metric=GraNd()) == [*probes, *(f"gradient_norms:{member}@11" for member in range(2)), "scores"]
    own = tiny_probe(embedding=RUN)
    assert names(selector=KCenter(), probe=own) == ["embedding"]


def test_cells_share_what_is_equal(dataset: ImageDataset) -> None:
    def keys(**change: Any) -> set[tuple[str, str]]:
        return {(stage.stage, stage.key) for stage in shared_stages(replace(CELL, **change), dataset)}

    assert keys() == keys(selector=Calibrated(), compression=Fraction(r=0.2), selection_seed=1, train_seed=1)
    assert len(keys() & keys(metric=Forgetting())) == 2
    assert not keys() & keys(probe=replace(CELL.probe, seed=1))


def test_a_wrong_name_is_refused_with_the_known_ones_and_so_is_a_bad_cell(
    dataset: ImageDataset, tmp_path: Path
) -> None:
    store = ArtifactStore(tmp_path)
    with pytest.raises(OptionError, match=r"only=probe:2 is not known; choose one of: probe:0, probe:1, scores"):
        make_shared(CELL, dataset, "probe:2", store=store, trainer=CPU)
    for refused in (shared_stages, lambda *cell: make_shared(*cell, "probe:0", store=store)):
        with pytest.raises(BudgetError):
            refused(replace(CELL, compression=Fraction(r=0.001)), dataset)
    with pytest.raises(OptionError, match="reads nothing that is shared"):
        make_shared(replace(CELL, selector=Random()), dataset, "scores", store=store, trainer=CPU)
    assert finished_artifacts(tmp_path) == []


def test_the_key_of_the_model_is_known_once_the_scores_are(dataset: ImageDataset, tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    cell = replace(CELL, probe=replace(CELL.probe, members=1))
    assert trained_key(cell, dataset, store=store) is None
    assert finished_artifacts(tmp_path) == []
    make_shared(cell, dataset, "scores", store=store, trainer=CPU)
    key = trained_key(cell, dataset, store=store)
    assert [trained_key(replace(cell, **change), dataset, store=store) == key for change in (
        {"metric": EL2N(), "alpha": Fixed(value=0.1)},
        {"selector": Random()},
        {"train_seed": 1},
        {"recipe": tiny_recipe(epochs=2)},
        {"compression": Fraction(r=0.2)},
    )] == [True, False, False, False, False]  # fmt: skip
    assert finished_artifacts(tmp_path, "model") == []
    train_cell(cell, store=store, trainer=CPU, dataset=dataset)
    assert [path.name for path in finished_artifacts(tmp_path, "model")] == [key]


def test_what_is_cheap_to_know_of_the_model_before_it_is_trained(
    dataset: ImageDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ArtifactStore(tmp_path)
    drawn, far = replace(CELL, selector=Random()), replace(CELL, selector=KCenter())
    keys = [cheap_trained_key(cell, dataset, store=store) for cell in (CELL, far, drawn)]
    assert keys == [None, None, trained_key(drawn, dataset, store=store)]
    whole = [replace(cell, compression=Fraction(r=1)) for cell in (CELL, far, drawn)]
    assert {cheap_trained_key(cell, dataset, store=store) for cell in whole} == {
        trained_key(whole[-1], dataset, store=store)
    }

    def broken(*_: Any, **__: Any) -> None:
        raise IndexError("a rule with a mistake")

    monkeypatch.setattr(Random, "select", broken)
    assert cheap_trained_key(replace(drawn, selection_seed=1), dataset, store=store) is None


def test_where_the_scores_are_there_their_probes_are_not_missed(
    dataset: ImageDataset, trained: Path, tmp_path: Path
) -> None:
    shutil.copytree(trained, tmp_path / "store")
    store = ArtifactStore(tmp_path / "store")
    assert [stage.name for stage in missing_stages(CELL, dataset, store=store)] == ["scores"]
    make_shared(CELL, dataset, "scores", store=store, trainer=CPU)
    shutil.rmtree(store.root / "probe")
    assert missing_stages(CELL, dataset, store=store) == []
    again = missing_stages(replace(CELL, selector=Threshold(drop_suspect=0.1, suspect_by="aum")), dataset, store=store)
    assert {stage.stage for stage in again} == {"probe"}
