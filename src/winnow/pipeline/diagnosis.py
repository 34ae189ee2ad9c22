"""What is asked of a cell's subset besides training on it, composed from the pipeline's stages."""

from typing import Any

import numpy as np

from winnow.core.errors import OptionError
from winnow.core.seeds import stream
from winnow.core.types import Ints, Scores, Subset
from winnow.datasets.base import ImageDataset
from winnow.diagnostics.shift import Shift
from winnow.pipeline import CellSpec, check_cell, probe_dataset, score_dataset, select_for_cell
from winnow.probes.passes import pass_key
from winnow.store.artifacts import ArtifactStore, Draft
from winnow.store.keys import make_key
from winnow.training.devices import TrainerSpec
from winnow.training.loggers import LoggerSpec


def shift_of_cell(
    cell: CellSpec,
    dataset: ImageDataset,
    *,
    shift: Shift,
    store: ArtifactStore,
    trainer: TrainerSpec | None = None,
    logger: LoggerSpec | None = None,
) -> list[dict[str, Any]]:
    """The shift report of a cell's subset, one flat line a weighting (Shift.__call__), with what identifies the cell.

    Distances are measured in the embeddings of the cell's probes and deciles are those of its metric, also for a rule
    that reads neither. With shift.n the cell's rule selects from that many examples, drawn at random by its selection
    seed and scored and embedded as the whole data set is, and is compared with them: how the shift goes with n while
    nothing else changes.

    n, of: examples selected from, and in the whole data set. subset, features: keys of the artifacts (subset is empty
    where shift.n is given).

    Raises OptionError where shift.n is more than there are, or the rule reads evidence, which is not drawn from;
    what scoring and selecting raise, before anything is trained.
    """
    if shift.n is not None and (shift.n > dataset.n or cell.selector.needs or cell.auto):
        raise OptionError(
            f"diagnose.n={shift.n} needs as many examples (there are {dataset.n}) and a rule that reads no evidence "
            f"but scores (this one is {cell.rule}); set diagnose.n=null."
        )
    check_cell(cell, dataset)
    cell.probe.check_evaluated("a shift report", frozenset({"embeddings"}))
    computing: dict[str, Any] = {"store": store, "trainer": trainer, "logger": logger}
    scores = score_dataset(dataset, metric=cell.metric, probe=cell.probe, **computing)
    evidence = probe_dataset(dataset, probe=cell.probe, needs=frozenset({"embeddings"}), **computing)
    assert evidence.embeddings is not None
    features, _ = pass_key("features", dataset, cell.probe, evidence.source[0], cell.probe.evaluated[-1])
    if shift.n is None:
        part: Ints = np.arange(dataset.n)
        selected = select_for_cell(cell, dataset, **computing)
        subset, subset_key = selected.subset, selected.key
    else:
        part = np.sort(stream(cell.selection_seed, "part", shift.n).choice(dataset.n, shift.n, replace=False))
        subset, subset_key = _select_from(part, cell, dataset, scores), ""
    inputs = {
        "shift": shift,
        "subset": subset.content_hash,
        "part": cell.selection_seed if shift.n is not None else None,
        "scores": scores.content_hash,
        "features": features,
    }

    def write(draft: Draft) -> None:
        reports = shift(
            subset,
            labels=dataset.train_labels[part],
            embeddings=evidence.embeddings[part],  # type: ignore[index]
            scores=scores.values[part],
        )
        draft.put_json("reports", [report.flat() for report in reports])

    key = make_key(f"{dataset.slug}-{cell.rule}-shift", inputs)
    artifact = store.fetch("shift", key, write=write, inputs=inputs)
    provenance = artifact.json("provenance")
    about = {
        "dataset": dataset.name,
        "metric": cell.metric.name,
        "rule": cell.rule,
        "r": cell.compression.fraction(part.size),
        "n": part.size,
        "of": dataset.n,
        "n_kept": subset.m,
        "probe_seed": cell.probe.seed,
        "selection_seed": cell.selection_seed,
    }
    traced = {"seconds": provenance["seconds"], "device": provenance["device"], "git": provenance["git"]}
    traced |= {"key": key, "subset": subset_key, "features": features}
    return [about | line | traced for line in artifact.json("reports")]


def _select_from(part: Ints, cell: CellSpec, dataset: ImageDataset, scores: Scores) -> Subset:
    """What the cell's rule keeps of a part of the examples, numbered within it."""
    some = Scores(scores.values[part], metric=scores.metric, dataset=scores.dataset)
    r, alpha = cell.compression.fraction(part.size), cell.selector.effective_alpha(cell.fixed_alpha)
    return cell.selector.select(
        some if cell.selector.reads_scores else None, dataset.train_labels[part], r=r, alpha=alpha,
        seed=cell.selection_seed,
    )  # fmt: skip
