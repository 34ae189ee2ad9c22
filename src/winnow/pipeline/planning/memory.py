"""The most memory that a part of a cell holds at once, on its device and on the host, and what there is of it."""

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

import psutil
import torch

from winnow.core.machine import unfolds
from winnow.datasets.base import ImageDataset
from winnow.models.base import ModelSpec
from winnow.pipeline import CellSpec
from winnow.probes.passes import PASSES
from winnow.training.callbacks.forgetting import Forgetting, recorded
from winnow.training.devices import TrainerSpec
from winnow.training.memory import evaluation_bytes, training_bytes
from winnow.training.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class Need:
    """What one part of the work holds at its peak, in bytes by what holds them. host: beside the process as it is."""

    title: str
    device: Mapping[str, int]
    host: Mapping[str, int] = field(default_factory=dict)

    @property
    def on_device(self) -> int:
        return sum(self.device.values())

    @property
    def on_host(self) -> int:
        return sum(self.host.values())


class Available:
    """What this process has: bytes free on the device, None where that is the host; free on the host; its own size."""

    def __init__(self, device: torch.device) -> None:
        self.own = int(psutil.Process().memory_info().rss)
        self.host = int(psutil.virtual_memory().available) + self.own
        self.device = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else None


def cell_need(cell: CellSpec, dataset: ImageDataset, trainer: TrainerSpec, m: int) -> Need:
    """Training the cell's model on m examples and testing it."""
    recorded = sum(recorder.held_bytes(m, dataset.n_classes) for recorder in cell.recorders)
    trained = _trained(cell.model, cell.recipe, dataset, trainer, m, dataset.n_test)
    recorders = {"recorders": recorded} if recorded else {}
    return Need(title=f"a cell ({cell.model.name}, {m} examples)", device=trained | recorders)


def shared_needs(
    cell: CellSpec, dataset: ImageDataset, trainer: TrainerSpec, parts: AbstractSet[str]
) -> Iterator[Need]:
    """Those of the stages before selecting that are named in `parts`: "probe", "part", "fold", "scores" (with the
    passes)."""
    probe, n, classes = cell.probe, dataset.n, dataset.n_classes
    trained = _trained(probe.model, probe.training_recipe, dataset, trainer, n, n)
    if "probe" in parts:
        epoch = 4 * (len(recorded(changes=probe.changes)) - 1) + 1  # bytes of an example; correct is a byte
        yield Need(
            title=f"a probe ({probe.model.name}, {n} examples)",
            device=trained | {"recorder": Forgetting(changes=probe.changes).held_bytes(n, classes)},
            host={"trajectory": probe.trained_epochs * n * epoch},
        )
    if "part" in parts:
        yield Need(title=f"a model of a random part ({probe.model.name})", device=trained)
    if "fold" in parts:
        yield Need(title=f"a model of all but a fold ({probe.model.name})", device=trained)
    if "scores" in parts:
        passed = evaluation_bytes(probe.model, dataset.image_shape, classes, n, trainer.kind)
        passes = max(passed, _differentiating(cell, trainer))
        held = {"a pass": passes, "data set": _data_bytes(dataset)} if cell.needs & PASSES.keys() else {}
        yield Need(title="scoring and selecting", device=held, host=_evidence(cell, dataset))


def _trained(
    model: ModelSpec, recipe: Recipe, dataset: ImageDataset, trainer: TrainerSpec, m: int, evaluated: int
) -> dict[str, int]:
    """Training on m examples, and a pass over `seen` images by the trained model."""
    _, largest = recipe.batch_sizes(m)
    batch = -(-largest // (trainer.devices * trainer.nodes))
    shape = dataset.image_shape
    unfolded = unfolds(trainer.kind, recipe.precision)
    step = training_bytes(model, recipe, shape, dataset.n_classes, batch, unfolded=unfolded)
    test = evaluation_bytes(model, shape, dataset.n_classes, evaluated, trainer.kind)
    what = {f"a step of {batch} images": step} if step >= test else {"a pass over its images": test}
    return what | {"data set": _data_bytes(dataset)}


def _data_bytes(dataset: ImageDataset) -> int:
    """On the device; images that stay in their files take none."""
    images = sum(getattr(part, "nbytes", 0) for part in (dataset.train_images, dataset.test_images))
    return images + 8 * (dataset.n + dataset.n_test)


def _differentiating(cell: CellSpec, trainer: TrainerSpec) -> int:
    named = [PASSES[name] for name in cell.needs & PASSES.keys()]
    return int(trainer.memory_gb * 2**30) if any(each.differentiates for each in named) else 0


def _evidence(cell: CellSpec, dataset: ImageDataset) -> Mapping[str, int]:
    """What evidence is put together of, in memory; trajectories, features and projected gradients stay in files."""
    probe, n = cell.probe, dataset.n
    sizes = {
        "logits": probe.members * len(probe.evaluated) * n * dataset.n_classes * 4,
        "subset_runs": probe.members * (2 * n + dataset.n_test),
        **dict.fromkeys(("gradient_norms", "input_gradient_norms", "boundary_distances"), probe.members * n * 4),
    }
    return {name: size for name, size in sizes.items() if name in cell.needs}
