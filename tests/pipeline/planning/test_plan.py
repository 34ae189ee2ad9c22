"""The plan of cells against what the pipeline then does."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import instantiate

from helpers.config import composed, options
from helpers.rows import make_row
from helpers.scripts import finished_artifacts
from helpers.training import CPU, TINY, tiny_probe, tiny_recipe
from winnow.core.errors import BudgetError, MissingEvidenceError
from winnow.core.machine import device_name
from winnow.datasets.base import ImageDataset
from winnow.datasets.synthetic import Synthetic
from winnow.metrics.dual import DUAL
from winnow.metrics.el2n import EL2N
from winnow.metrics.forgetting import Forgetting
from winnow.pipeline import CellSpec, load_dataset, probe_dataset, score_dataset, train_cell
from winnow.pipeline.planning.memory import Available, Need
from winnow.pipeline.planning.plan import Plan, known_subset, planned_cell
from winnow.pipeline.planning.speed import speed_of
from winnow.pipeline.planning.text import format_plan
from winnow.selectors.alpha import Auto, Fixed
from winnow.selectors.calibrated import Calibrated
from winnow.selectors.compression import Fraction
from winnow.selectors.random import Random
from winnow.selectors.threshold import Threshold
from winnow.store.artifacts import ArtifactStore
from winnow.store.imports import import_rows

CELL = CellSpec(
    dataset=Synthetic(n=60, n_test=50, n_classes=3),
    model=TINY,
    recipe=tiny_recipe(epochs=2, budget="steps"),
    probe=tiny_probe(),
    metric=EL2N(),
    selector=Threshold(),
    alpha=Fixed(value=0.5),
    compression=Fraction(r=0.5),
)
HERE = torch.device("cpu")
GRID = [
    replace(CELL, selector=selector, compression=Fraction(r=r), alpha=Fixed(value=alpha))
    for selector in (Random(), Threshold(), Calibrated())
    for r in (0.5, 1.0)
    for alpha in (0.0, 0.5)
]


@pytest.fixture(scope="module")
def dataset() -> ImageDataset:
    return load_dataset(CELL.dataset, store=ArtifactStore())


def _plan(cells: list[CellSpec], dataset: ImageDataset, store: ArtifactStore, **jobs: int) -> Plan:
    looked = [planned_cell(i, cell, dataset, store=store, trainer=CPU) for i, cell in enumerate(cells)]
    return Plan.of(looked, store=store, device=device_name("cpu"), **jobs)


def test_what_is_planned_is_what_is_then_done(dataset: ImageDataset, tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    before = _plan(GRID, dataset, store)
    assert finished_artifacts(tmp_path) == []
    assert [cell.finished for cell in before.cells] == [False] * len(GRID)
    assert [work.name for work in before.stages] == ["probe:0", "probe:1", "scores"]
    assert before.at_most
    assert before.seconds is None

    rows = [train_cell(cell, store=store, trainer=CPU, dataset=dataset) for cell in GRID]
    assert [cell.n_kept for cell in before.cells] == [row.n_kept for row in rows]
    assert [cell.training.examples for cell in before.cells] == [row.examples_seen for row in rows]
    # Random, the hardest half, exact 0.5, and everything; exact 0 keeps what random keeps.
    assert len(before.trainings) == len(finished_artifacts(tmp_path, "model")) == 4
    assert sum(work.examples for work in before.stages) == max(row.probe_examples for row in rows)

    after = _plan(GRID, dataset, store)
    assert all(cell.finished for cell in after.cells)
    assert after.left == [] == after.needs
    assert after.seconds == 0.0
    assert "everything is finished" in format_plan(after, Available(HERE))

    other = [replace(cell, train_seed=1) for cell in GRID]
    timed = _plan(other, dataset, store)
    assert [work.name for work in timed.left] == ["training"] * 4
    assert timed.seconds == pytest.approx(
        sum(w.examples * timed.speeds[w.key].seconds for w in timed.trainings)  # type: ignore[union-attr]
    )
    assert timed.seconds > 0


def test_early_scores_cost_what_is_trained_and_not_the_schedule(dataset: ImageDataset, tmp_path: Path) -> None:
    store, probe = ArtifactStore(tmp_path), tiny_probe(members=10, epochs=200, stop_after=20)
    early = _plan([replace(CELL, probe=probe, metric=EL2N(epoch=20))], dataset, store)
    assert [work.examples for work in early.stages] == [*[60 * (20 + 1)] * 10, 0]
    assert sum(work.examples for work in early.stages) == probe.cost(60)
    dual = _plan(
        [replace(CELL, probe=replace(probe, stop_after=30, evaluate_at=()), metric=DUAL(first_epochs=30))],
        dataset,
        store,
    )
    assert [work.examples for work in dual.stages] == [*[60 * 30] * 10, 0]
    with pytest.raises(MissingEvidenceError, match=r"dual.* reads 30 epochs of training, but probe\.stop_after=20"):
        _plan([replace(CELL, probe=probe, metric=DUAL(first_epochs=30))], dataset, store)


def test_a_longer_probe_costs_what_it_adds_to_a_finished_one(dataset: ImageDataset, tmp_path: Path) -> None:
    store, probe = ArtifactStore(tmp_path), tiny_probe(members=1, epochs=3)
    score_dataset(dataset, metric=EL2N(), probe=replace(probe, stop_after=2, evaluate_at=(2,)), store=store)
    plan = _plan([replace(CELL, probe=probe), replace(CELL, probe=replace(probe, seed=1))], dataset, store)
    assert [work.examples for work in plan.stages if work.name == "probe:0"] == [60 * (1 + 1), 60 * (3 + 1)]


@pytest.mark.parametrize("budget", ["epochs", "steps"])
@pytest.mark.parametrize("m", [1, 15, 16, 17, 33, 50, 60])
def test_examples_of_a_training_are_those_that_loaders_deal(m: int, budget: str) -> None:
    recipe = tiny_recipe(epochs=3, budget=budget)
    batches = -(-m // recipe.batch_size)
    sizes = [m // batches + (number < m % batches) for number in range(batches)]
    steps = recipe.steps(m, 60)
    assert recipe.examples(m, 60) == sum(sizes[step % batches] for step in range(steps))


@pytest.fixture(scope="module")
def probed(tmp_path_factory: pytest.TempPathFactory) -> ArtifactStore:
    """A store in which the members need to be trained but once."""
    return ArtifactStore(tmp_path_factory.mktemp("probed"))


@pytest.mark.parametrize("path", options("selector"), ids=lambda path: path.stem)
def test_a_subset_that_is_known_before_scores_is_the_one_that_is_selected(
    path: Path, dataset: ImageDataset, probed: ArtifactStore
) -> None:
    selector = instantiate(dict(composed(path)), _convert_="all")
    cell = replace(CELL, selector=selector)
    gathered: dict[str, Any] = {"probe": CELL.probe, "store": probed, "trainer": CPU}
    scores = score_dataset(dataset, metric=EL2N(), **gathered)
    evidence = probe_dataset(dataset, needs=selector.needs, **gathered)
    for r, alpha in ((1.0, 0.0), (1.0, 0.7), (0.5, 0.0), (0.5, 0.7)):
        known = known_subset(replace(cell, compression=Fraction(r=r), alpha=Fixed(value=alpha)), dataset)
        if known is None:
            assert r < 1
            continue
        asked: dict[str, Any] = {"r": r, "alpha": selector.effective_alpha(alpha), "seed": 0, "evidence": evidence}
        try:
            selected = selector.select(scores, dataset.train_labels, **asked)
        except BudgetError:
            assert alpha > 0
            continue
        assert known.content_hash == selected.content_hash


def test_speeds_are_of_the_same_model_in_batches_of_the_nearest_size_or_scaled() -> None:
    def row(model: str, multiply_adds: int, seconds: float, batch: int) -> Any:
        size = {"steps": 100, "examples_seen": 100 * batch}
        return make_row(model=model, multiply_adds=multiply_adds, seconds=seconds, **size)

    rows = [row("a", 1000, 1.0, 10), row("a", 1000, 3.0, 10), row("a", 1000, 4.0, 100), row("b", 8000, 9.0, 10)]
    assert speed_of(rows, model="a", multiply_adds=1000, batch=12) == (0.002, "a", 2, False)
    assert speed_of(rows, model="a", multiply_adds=1000, batch=64) == (0.0004, "a", 1, False)
    assert speed_of(rows, model=None, multiply_adds=8000, batch=64) == (0.009, "b", 1, False)
    # Nothing of c: b is nearest by ratio, and four times the work of an example takes four times as long.
    assert speed_of(rows, model="c", multiply_adds=32000, batch=10) == (pytest.approx(0.036), "b", 1, True)
    assert speed_of([], model="a", multiply_adds=1000, batch=10) is None


def test_rows_of_another_device_tell_nothing(dataset: ImageDataset, tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    train_cell(replace(CELL, selector=Random()), store=store, trainer=CPU, dataset=dataset)
    cells = [planned_cell(0, CELL, dataset, store=store, trainer=CPU)]
    here, elsewhere = (Plan.of(cells, store=store, device=name) for name in (device_name("cpu"), "NVIDIA H100"))
    assert here.seconds is not None
    assert elsewhere.seconds is None
    text = format_plan(elsewhere, Available(HERE))
    assert "time: unknown: no past row on NVIDIA H100 in this store (smallconv-w8)" in text


def test_of_an_imported_row_nothing_is_left_to_do_but_what_another_cell_trains(
    dataset: ImageDataset, tmp_path: Path
) -> None:
    scored, random = (replace(CELL, selector=rule, compression=Fraction(r=1.0)) for rule in (Threshold(), Random()))
    row = train_cell(scored, store=ArtifactStore(tmp_path / "elsewhere"), trainer=CPU, dataset=dataset)
    store, file = ArtifactStore(tmp_path / "here"), tmp_path / "rows.csv"
    file.touch()
    import_rows([(row, file)], store=store)
    alone = _plan([scored], dataset, store)
    assert alone.left == [] == alone.needs
    assert train_cell(scored, store=store, trainer=CPU, dataset=dataset) == row
    assert [path.parent.name for path in finished_artifacts(store.root)] == ["row"]
    for cells in ([scored, random], [random, scored]):  # which train the same model
        assert [work.name for work in _plan(cells, dataset, store).left] == ["training"]


def test_cells_are_listed_and_hundreds_of_them_counted(dataset: ImageDataset, tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    few = format_plan(_plan(GRID, dataset, store), Available(HERE))
    assert "plan of 12 cells: 12 to run, 0 finished" in few
    assert "trainings: at most 4 to run" in few
    assert few.count("el2n exact 0.5") == 2
    many = [replace(CELL, selector=Random(), train_seed=seed) for seed in range(40)]
    text = format_plan(_plan([*many, replace(CELL, alpha=Auto())], dataset, store), Available(HERE))
    assert len([line for line in text.splitlines() if "random" in line]) == 1
    assert "0..0/39" in text
    certain = format_plan(_plan(many, dataset, store), Available(HERE))
    assert "trainings: 40 to run" in certain
    assert "what cells share" not in certain


def test_stages_of_many_ensembles_are_counted(dataset: ImageDataset, tmp_path: Path) -> None:
    cells = [replace(CELL, probe=tiny_probe(seed=seed), metric=m()) for seed in range(12) for m in (EL2N, Forgetting)]
    plan = _plan(cells, dataset, ArtifactStore(tmp_path))
    assert len(plan.stages) == 12 * (2 + 2)
    lines = [line.split() for line in format_plan(plan, Available(HERE)).splitlines()]
    assert ["probe", TINY.name, "180", "24", "0"] in lines
    assert ["scores", TINY.name, "0", "24", "0"] in lines


def test_what_does_not_fit_is_warned_of(dataset: ImageDataset, tmp_path: Path) -> None:
    available = Available(HERE)
    cells = [planned_cell(0, CELL, dataset, store=ArtifactStore(tmp_path), trainer=CPU)]
    need = Need(title="a cell (huge)", device={"a step": 7 * 2**30}, host={"logits": 2**30})
    plan = Plan(cells=(replace(cells[0], needs=(need,)),), device="GPU", slots=4, per_device=2)
    available.own, available.host, available.device = 2**30, 10 * 2**30, 14 * 2**30
    assert "it fits" in format_plan(plan, available)
    available.device -= 1
    assert "WARNING: 2 x a cell (huge) need 14.00 GiB on GPU, but only 14.00 GiB are free" in format_plan(
        plan, available
    )
    available.host = 8 * 2**30 - 1
    assert "WARNING: 4 x a cell (huge) need 8.00 GiB in memory" in format_plan(plan, available)
    available.device = None
    assert "WARNING: 4 x a cell (huge) need 36.00 GiB in memory" in format_plan(plan, available)
    assert "fewer jobs at once" in format_plan(plan, available)
    assert "fewer jobs at once" not in format_plan(replace(plan, slots=1), available)
