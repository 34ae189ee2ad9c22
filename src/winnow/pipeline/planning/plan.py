"""The plan of a grid: its cells, what they share, how much is to be computed, how long it takes and whether it fits."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from winnow.core.rounding import round_half_up
from winnow.core.types import Subset
from winnow.datasets.base import ImageDataset
from winnow.models.base import ModelSpec
from winnow.pipeline import CellSpec, cell_key
from winnow.pipeline.planning.memory import Need, cell_need, shared_needs
from winnow.pipeline.planning.speed import Speed, past_rows, speed_of
from winnow.pipeline.sharing import SharedStage, shared_stages
from winnow.pipeline.stages import model_key
from winnow.probes.ensemble import shorter_trainings
from winnow.selectors.budget import kept_count
from winnow.store.artifacts import ArtifactStore
from winnow.training.devices import TrainerSpec


@dataclass(frozen=True, kw_only=True)
class Work:
    """A training or a shared stage. key: equal for what is done once. batch: its mean size.

    model: None where it is not told; multiply_adds: of a forward pass of one example.
    """

    key: str
    examples: int
    batch: float
    model: str | None
    multiply_adds: int
    finished: bool
    name: str = "training"
    title: str = ""


@dataclass(frozen=True, kw_only=True)
class PlannedCell:
    """One cell. n_kept: what the rule will keep. certain: whether the key of its training is that of the model.

    Where the subset follows from scores that may not be there yet, it is the key of the row instead. precisions: of the
    trainings that are left to do.
    """

    number: int
    dataset: str
    model: str
    rule: str
    r: float
    alpha: str
    n_kept: int
    seeds: tuple[int, int]
    finished: bool
    certain: bool
    precisions: tuple[str, ...]
    training: Work
    stages: tuple[Work, ...]
    needs: tuple[Need, ...]


def planned_cell(
    number: int, cell: CellSpec, dataset: ImageDataset, *, store: ArtifactStore, trainer: TrainerSpec
) -> PlannedCell:
    """Look at one cell. Nothing is trained and nothing is written.

    Raises what check_cell raises.
    """
    stages = shared_stages(cell, dataset)
    key, _ = cell_key(cell, dataset)
    r = cell.compression.fraction(dataset.n)
    m = kept_count(dataset.n - round_half_up(cell.selector.drop_suspect * dataset.n), r)
    subset = known_subset(cell, dataset)
    if subset is not None:
        training_key, _ = model_key(
            dataset, subset, model=cell.model, recipe=cell.recipe, seed=cell.train_seed, recorders=cell.recorders
        )
    finished = store.exists("row", key)
    missing = [stage for stage in stages if not stage.is_finished(store)]
    training = Work(
        key=key if subset is None else training_key,
        examples=cell.recipe.examples(m, dataset.n),
        batch=cell.recipe.examples(m, dataset.n) / cell.recipe.steps(m, dataset.n),
        model=cell.model.name,
        multiply_adds=_multiply_adds(cell.model, dataset.image_shape, dataset.n_classes),
        finished=finished or (subset is not None and store.exists("model", training_key)),
    )
    kinds = {stage.name.partition(":")[0] for stage in missing}
    trained = kinds & {"probe", "part", "fold"}
    parts = trained | ({"scores"} if kinds - trained or cell.selecting else set())
    left = [cell.recipe] * (not training.finished) + [cell.probe.recipe] * bool(trained)
    return PlannedCell(
        number=number,
        dataset=dataset.name,
        model=cell.model.name,
        rule=cell.rule,
        r=r,
        alpha="auto" if cell.auto else format(cell.selector.effective_alpha(cell.fixed_alpha), "g"),
        n_kept=m,
        seeds=(cell.selection_seed, cell.train_seed),
        finished=finished,
        certain=subset is not None,
        precisions=() if finished else tuple(recipe.precision for recipe in left),
        training=training,
        # What a finished cell does not have, as where its row was imported, it will not make.
        stages=tuple(_work_of(each, cell, dataset, store) for each in stages if not finished or each not in missing),
        needs=() if finished else (cell_need(cell, dataset, trainer, m), *shared_needs(cell, dataset, trainer, parts)),
    )


def known_subset(cell: CellSpec, dataset: ImageDataset) -> Subset | None:
    """The subset of a cell whose rule keeps everything, or has nothing to choose by score; None where it must score."""
    selector, r = cell.selector, cell.compression.fraction(dataset.n)
    if selector.drop_suspect:
        return None
    if kept_count(dataset.n, r) == dataset.n:
        return Subset.full(dataset.n)
    random = not selector.reads_scores and not selector.needs
    explores = not cell.auto and selector.effective_alpha(cell.fixed_alpha) == 0 and selector.balance in (None, "exact")
    if random or explores:
        return selector.select(np.zeros(dataset.n), dataset.train_labels, r=r, alpha=0.0, seed=cell.selection_seed)
    return None


def _work_of(stage: SharedStage, cell: CellSpec, dataset: ImageDataset, store: ArtifactStore) -> Work:
    probe, elsewhere = cell.probe, stage.name == "embedding"
    finished, examples = stage.is_finished(store), stage.examples
    kind, _, member = stage.name.partition(":")
    if kind == "probe" and not finished:  # it goes on from a shorter one where there is one
        begun = next(shorter_trainings(dataset, probe, int(member), store=store), None)
        examples -= 0 if begun is None else begun.epochs * dataset.n
    if elsewhere:
        multiply_adds = probe.embedding.multiply_adds(dataset)
    else:
        multiply_adds = _multiply_adds(probe.model, dataset.image_shape, dataset.n_classes)
    return Work(
        key=f"{stage.stage}/{stage.key}",
        examples=examples,
        batch=sum(probe.training_recipe.batch_sizes(dataset.n)) / 2,
        model=None if elsewhere else probe.model.name,
        multiply_adds=multiply_adds,
        finished=finished,
        name=stage.name,
        title=stage.title,
    )


@functools.lru_cache(maxsize=64)
def _multiply_adds(model: ModelSpec, image_shape: tuple[int, int, int], n_classes: int) -> int:
    return model.multiply_adds(image_shape, n_classes)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What the cells will take.

    refused: the numbers of those that cannot be run, by the reason. speeds: of each work, by its key. slots: jobs at
    once; per_device: of them on one device. device: its public name. slow: a word where a precision is a wrong choice.
    """

    cells: tuple[PlannedCell, ...]
    refused: Mapping[str, Sequence[int]] = field(default_factory=dict)
    speeds: Mapping[str, Speed | None] = field(default_factory=dict)
    slots: int = 1
    per_device: int = 1
    device: str = ""
    slow: str | None = None

    @classmethod
    def of(cls, cells: Sequence[PlannedCell], *, store: ArtifactStore, device: str, **options: Any) -> "Plan":
        """With the speeds that the rows in the store tell. options: the other fields."""
        rows = past_rows(store, device)
        speeds = {
            work.key: speed_of(rows, model=work.model, multiply_adds=work.multiply_adds, batch=work.batch)
            for cell in cells
            for work in (cell.training, *cell.stages)
        }
        return cls(cells=tuple(cells), speeds=speeds, device=device, **options)

    @property
    def stages(self) -> list[Work]:
        """What cells share, each once, in an order in which it can be made."""
        return list({work.key: work for cell in self.cells for work in cell.stages}.values())

    @property
    def trainings(self) -> list[Work]:
        """The trainings, each once where that can be known (see `at_most`)."""
        once: dict[str, Work] = {}
        for work in (cell.training for cell in self.cells):
            if not work.finished or work.key not in once:  # of an imported row it is, and of another with its model not
                once[work.key] = work
        return list(once.values())

    @property
    def at_most(self) -> bool:
        """Whether fewer trainings may be left than are counted: rules by score may keep what others keep."""
        return sum(not cell.certain and not cell.finished for cell in self.cells) > 0 and len(self.cells) > 1

    @property
    def left(self) -> list[Work]:
        """Shared stages and trainings that are not finished."""
        return [work for work in (*self.stages, *self.trainings) if not work.finished]

    @property
    def seconds(self) -> float | None:
        """Of all that is left, one after another, by examples; None where past rows do not tell."""
        times = [self._seconds(work) for work in self.left if work.examples]
        return None if None in times else float(sum(time for time in times if time is not None))

    @property
    def told(self) -> dict[str, Any]:
        """What a report compares with what came of it. seconds: of the trainings, one after another, None as above."""
        trainings = [work for work in self.trainings if not work.finished]
        times = [self._seconds(work) for work in trainings]
        return {
            "cells": len(self.cells),
            "to_run": sum(not cell.finished for cell in self.cells),
            "trainings": len(trainings),
            "at_most": self.at_most,
            "examples": sum(work.examples for work in trainings),
            "seconds": None if None in times else float(sum(time for time in times if time is not None)),
            "device": self.device,
        }

    def _seconds(self, work: Work) -> float | None:
        speed = self.speeds.get(work.key)
        return None if speed is None else work.examples * speed.seconds

    @property
    def needs(self) -> list[Need]:
        """The largest need of each kind, the largest first."""
        largest: dict[str, Need] = {}
        for need in (need for cell in self.cells for need in cell.needs):
            kind = need.title.partition(" (")[0]
            if kind not in largest or _size(need) > _size(largest[kind]):
                largest[kind] = need
        return sorted(largest.values(), key=_size, reverse=True)


def _size(need: Need) -> int:
    return need.on_device + need.on_host
