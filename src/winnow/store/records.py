"""How each type is laid out in an artifact: one pair of functions a type, and nothing is lost on the way."""

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from winnow.core.arrays import blocks
from winnow.core.errors import DatasetError, MissingEvidenceError
from winnow.core.recorded import CHANGES
from winnow.core.types import Row, Scores, Subset, Trajectory
from winnow.store.artifacts import Artifact, ArtifactStore, Draft
from winnow.store.score_files import ROWS
from winnow.store.writing import replaced_at_once, writing


def save_scores(draft: Draft, scores: Scores, columns: Mapping[str, Any]) -> None:
    """A table of index, score, standard_error where there is one, and the data set's columns, one line an example."""
    error = {} if scores.standard_error is None else {"standard_error": scores.standard_error}
    draft.put_table("scores", pd.DataFrame({"index": np.arange(scores.n), "score": scores.values, **error, **columns}))
    draft.put_json("about", {"metric": scores.metric, "dataset": scores.dataset})


def load_scores(artifact: Artifact) -> Scores:
    table = artifact.table("scores")
    error = table["standard_error"].to_numpy() if "standard_error" in table else None
    return Scores(table["score"].to_numpy(), standard_error=error, **artifact.json("about"))


def subset_table(subset: Subset, columns: Mapping[str, Any]) -> pd.DataFrame:
    """A table of index, weight, is_signal and the data set's own columns, one line a kept example; attrs["n"] is n."""
    table = pd.DataFrame({"index": subset.indices, "weight": subset.weights, "is_signal": subset.is_signal})
    table.attrs["n"] = int(subset.n)  # Parquet keeps it, for those who take the table away from its artifact
    return table.assign(**{name: np.asarray(values)[subset.indices] for name, values in columns.items()})


def write_subset_table(
    path: str | Path, subset: Subset, columns: Mapping[str, Any], *, provenance: Mapping[str, Any]
) -> None:
    """Write what `subset_table` has to a new file, some lines at a time; attrs["provenance"] says how.

    Raises StoreError where it cannot be written.
    """
    about = {
        "PANDAS_ATTRS": json.dumps({"n": int(subset.n), "provenance": dict(provenance)})
    }  # where pandas keeps attrs
    writer: pq.ParquetWriter | None = None
    with writing(path), replaced_at_once(Path(path)) as temporary:
        try:
            for some in blocks(subset.m, ROWS):
                indices = subset.indices[some]
                own = {"index": indices, "weight": subset.weights[some], "is_signal": subset.is_signal[some]}
                part = pa.table(own | {name: np.asarray(values)[indices] for name, values in columns.items()})
                writer = writer or pq.ParquetWriter(temporary, part.schema.with_metadata(about))
                writer.write_table(part)
        finally:
            if writer is not None:
                writer.close()


def read_subset_table(path: str | Path) -> pd.DataFrame:
    """The table of a subset, wherever it was taken.

    Raises DatasetError where there is none, or it is not the table of a subset.
    """
    try:
        table = pd.read_parquet(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise DatasetError(f"{path} cannot be read as Parquet; give the path of a subset's table.") from error
    missing = sorted({"index", "weight"} - set(table.columns))
    if missing:
        raise DatasetError(
            f"{path} has no column {missing[0]}, so it is not the table of a subset; give the one that select.py names."
        )
    return table


def read_indices(path: str | Path) -> tuple[int, ...]:
    """Canonical indices that a user lists: column `index` of a Parquet table, or a text with one a line.

    Raises DatasetError where the file holds no such list.
    """
    advice = "give a Parquet table with a column named index (as score.py and select.py leave), or one index a line."
    try:
        if Path(path).suffix == ".parquet":
            listed = pd.read_parquet(path)["index"].to_numpy()
        else:
            listed = np.loadtxt(path, np.int64, ndmin=1)
    except (OSError, ValueError, KeyError) as error:
        raise DatasetError(f"{path} cannot be read as a list of indices; {advice}") from error
    if not np.issubdtype(listed.dtype, np.integer) or listed.ndim != 1:
        raise DatasetError(f"{path} holds something other than whole numbers; {advice}")
    return tuple(int(index) for index in listed)


def save_subset(draft: Draft, subset: Subset, columns: Mapping[str, Any]) -> None:
    draft.put_table("subset", subset_table(subset, columns))
    draft.put_json("about", {"n": subset.n})


def load_subset(artifact: Artifact) -> Subset:
    table = artifact.table("subset")
    indices, weights, is_signal = (table[name].to_numpy() for name in ("index", "weight", "is_signal"))
    return Subset(indices, weights, is_signal, n=artifact.json("about")["n"])


def save_alpha(draft: Draft, curve: pd.DataFrame, about: Mapping[str, Any]) -> None:
    """The curve that alpha was chosen by, one line a candidate, and what was chosen."""
    draft.put_table("alpha", curve)
    draft.put_json("about", dict(about))


def load_alpha(artifact: Artifact) -> tuple[pd.DataFrame, dict[str, Any]]:
    """(the curve, what was chosen), as `save_alpha` had them."""
    return artifact.table("alpha"), artifact.json("about")


def save_trajectory(draft: Draft, trajectory: Trajectory) -> None:
    """One array [T, n] a field that was recorded."""
    for name, array in trajectory.arrays().items():
        draft.put_array(name, array)


def load_trajectory(artifact: Artifact) -> Trajectory:
    names = {field.name for field in fields(Trajectory)} - (set(CHANGES) - artifact.parts())
    return Trajectory(**{name: artifact.array(name) for name in names})


def save_row(draft: Draft, row: Row) -> None:
    draft.put_json("row", asdict(row))


def save_upstream(draft: Draft, **keys: str | None) -> None:
    """Beside a row, the keys of the artifacts that it came from: scores, alpha, subset, model.

    None where it came from none, and of all four where the row was imported: they are not in this store.
    """
    assert keys.keys() == {"scores", "alpha", "subset", "model"}
    draft.put_json("upstream", keys)


def load_row(artifact: Artifact) -> Row:
    values: dict[str, Any] = artifact.json("row")
    return Row(**values)


def trained_model(key: str, store: ArtifactStore) -> Artifact | None:
    """The artifact of a trained model, None where there is none. key: its own, or of its row."""
    row = store.load("row", key)
    model = key if row is None else row.json("upstream")["model"]
    return None if model is None else store.load("model", model)


def save_class_errors(draft: Draft, class_errors: pd.DataFrame) -> None:
    """The test error of each class, one line a class that has test images: class, name, n_test, test_error."""
    draft.put_table("class_errors", class_errors)


def load_class_errors(artifact: Artifact) -> pd.DataFrame:
    """What `save_class_errors` left with a trained model.

    Raises MissingEvidenceError where a version trained it that did not record them.
    """
    if "class_errors" not in artifact.parts():
        raise MissingEvidenceError(
            f"the model {artifact.folder.name} was tested before errors were recorded by class; remove its folder, and "
            "that of its row, to train it again."
        )
    return artifact.table("class_errors")


def save_contributions(
    draft: Draft,
    *,
    contributions: np.ndarray,
    epochs: np.ndarray,
    indices: np.ndarray,
    target: np.ndarray,
    summary: pd.DataFrame,
) -> None:
    """Contributions [E, m] float32 after `epochs` [E] of the examples `indices` [m] to `target`, and their summary."""
    draft.put_array("contributions", contributions)
    draft.put_array("contributions_epochs", epochs)
    draft.put_array("contributions_indices", indices)
    draft.put_array("contributions_target", target)
    draft.put_table("contributions_summary", summary)


def load_contributions(artifact: Artifact) -> tuple[np.ndarray, np.ndarray]:
    """(epochs [E], contributions [E, m]) of a trained model.

    Raises MissingEvidenceError where none were recorded.
    """
    if "contributions" not in artifact.parts():
        raise MissingEvidenceError(
            f"no contributions were recorded with the model {artifact.folder.name}; train with callbacks=contributions."
        )
    return artifact.array("contributions_epochs"), artifact.array("contributions")
