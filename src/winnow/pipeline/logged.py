"""What the stages tell a logger: the plain columns of a run, and what was made of what."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from winnow.core.types import Row
from winnow.datasets.base import ImageDataset
from winnow.store.artifacts import ArtifactStore
from winnow.training.logger_spec import LoggerSpec, Made, Opened

if TYPE_CHECKING:
    from winnow.metrics.base import Metric
    from winnow.pipeline.cell import CellSpec
    from winnow.probes.probe import Probe

COLUMNS = (
    "rule", "dataset", "model", "recipe", "metric", "selector", "protocol", "alpha", "r",
    "probe_seed", "selection_seed", "train_seed",
)  # fmt: skip


def row_columns(row: Row) -> dict[str, Any]:
    """The columns by which runs are grouped and filtered: names as on the command line, numbers, no class paths.

    alpha: what the selector kept by, a number even where it was chosen from the data. seed: of the replicate, where
    selection and training were not given others.
    """
    return {name: getattr(row, name) for name in COLUMNS} | {"seed": row.train_seed}


def cell_columns(cell: "CellSpec", dataset: ImageDataset, alpha: float) -> dict[str, Any]:
    """The columns of the row that a cell will have. alpha: that the selector kept by."""
    return {
        "rule": cell.rule,
        "dataset": dataset.name,
        "model": cell.model.name,
        "recipe": cell.recipe.name,
        "metric": cell.metric.name if cell.selector.reads_scores else None,
        "selector": cell.selector.name,
        "protocol": cell.selector.protocol,
        "alpha": alpha,
        "r": cell.compression.fraction(dataset.n),
        "probe_seed": cell.probe.seed if cell.needs else None,
        "selection_seed": cell.selection_seed,
        "train_seed": cell.train_seed,
        "seed": cell.train_seed,
    }


def score_columns(dataset: ImageDataset, metric: "Metric", probe: "Probe") -> dict[str, Any]:
    """The columns of a scoring, of those above that it has."""
    seed = probe.seed if metric.needs else None
    return {"dataset": dataset.name, "model": probe.model.name, "metric": metric.name, "probe_seed": seed}


def probes_made(keys: Sequence[str]) -> list[Made]:
    """What scores come from: trainings, and embeddings from elsewhere."""
    return [Made("probe", key) for key in keys]


def scores_made(key: str, store: ArtifactStore) -> Made:
    return Made("scores", key, store.table_path("scores", key))


def subset_made(key: str, store: ArtifactStore) -> Made:
    return Made("subset", key, store.table_path("subset", key))


def log_selection(
    logger: LoggerSpec, store: ArtifactStore, *, key: str, uses: Sequence[Made], config: Mapping[str, Any]
) -> None:
    """Log the selection of a subset."""
    logger.stage("select", subset_made(key, store), uses=uses, config=config)


def log_model(logger: LoggerSpec, opened: Opened, store: ArtifactStore, *, subset: str, model: str) -> None:
    """Say in an open training which subset it was on, and which model came of it. subset, model: their keys."""
    made = Made("model", model, store.path("model", model))
    logger.artifact(opened, made, uses=[subset_made(subset, store)])
