"""Where the kept and the dropped examples lie in a plane through the probe's embedding: a panel a rule."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from winnow.core.errors import MissingEvidenceError, OptionError, check_choice
from winnow.core.seeds import stream
from winnow.core.types import Floats, Ints, Subset
from winnow.figures.style import Drawing, house_style
from winnow.scaling.grid import rule_order
from winnow.store.artifacts import Artifact, ArtifactStore, Stage
from winnow.store.records import load_subset
from winnow.store.shifts import read_shifts

PANELS_ABREAST = 3
KEPT, DROPPED = "#D55E00", "0.75"


def from_table(
    table: str | Path,
    r: float = 0.1,
    artifacts: str | Path = "artifacts",
    projection: str = "pca",
    points: int = 5000,
    seed: int = 0,
) -> Drawing:
    """`shift_map` of the subsets at fraction r that a table names (the first selection seed), from their artifacts.

    Raises OptionError where the table has none at r, or of several embeddings; MissingEvidenceError where the artifacts
    are gone; what `projected` raises.
    """
    found = read_shifts(table)
    found = found[(found["n"] == found["of"]) & np.isclose(found["r"], r)].sort_values("selection_seed")
    if found["features"].nunique() != 1:
        raise OptionError(f"a map needs subsets at figure.r={r} in one embedding; the table has "
                          f"{found['features'].nunique()} embeddings there.")  # fmt: skip
    store = ArtifactStore(Path(artifacts))

    def artifact(stage: Stage, key: str) -> Artifact:
        artifact = store.load(stage, key)
        if artifact is None:
            raise MissingEvidenceError(f"there is no {stage} {key} in {artifacts}; run the command of the table again.")
        return artifact

    keys = found.drop_duplicates("rule").set_index("rule")["subset"]
    subsets = {rule: load_subset(artifact("subset", keys[rule])) for rule in rule_order(keys.index)}
    plane, axes = projected(artifact("pass", found["features"].iloc[0]).array("features"), projection, seed)
    return shift_map(plane, subsets, names=axes, r=r, points=points, seed=seed)


def projected(embeddings: NDArray, method: str = "pca", seed: int = 0) -> tuple[Floats, tuple[str, str]]:
    """Embeddings [n, d] in the plane, [n, 2], and the names of its axes; method: pca, or umap (umap-learn).

    Raises OptionError for another method, or where umap-learn is not installed.
    """
    check_choice("figure.projection", method, ("pca", "umap"))
    if method == "umap":
        try:
            from umap import UMAP
        except ImportError:
            raise OptionError("figure.projection=umap needs umap-learn; install it, or use pca.") from None
        return np.asarray(UMAP(random_state=seed).fit_transform(embeddings), dtype=np.float64), ("UMAP 1", "UMAP 2")
    pca = PCA(2, svd_solver="covariance_eigh")
    plane = pca.fit_transform(embeddings).astype(np.float64)
    shares = [f"{100 * share:.0f}% of variance" for share in pca.explained_variance_ratio_]
    return plane, (f"PC 1 ({shares[0]})", f"PC 2 ({shares[1]})")


def shift_map(
    plane: Floats, subsets: dict[str, Subset], *, names: tuple[str, str], r: float, points: int = 5000, seed: int = 0
) -> Drawing:
    """Kept examples over dropped ones, the area of a kept one in proportion to its weight; a panel a rule.

    plane [n, 2]; names of its two axes. Of more than `points` examples a random part is drawn, the same in every panel.
    The table has the index, place and weights, 0 where dropped, of the examples drawn.
    """
    n = len(plane)
    shown = np.sort(stream(seed, "map").permutation(n)[:points])
    columns = min(PANELS_ABREAST, len(subsets))
    lines = -(-len(subsets) // columns)
    with house_style():
        figure = Drawing(_numbers(plane, subsets, shown), (3.1 * columns, 2.9 * lines + 0.3))
        panels = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).ravel()
        for axes, (rule, subset) in zip(panels, subsets.items(), strict=False):
            weight = np.zeros(n)
            weight[subset.indices] = subset.weights / subset.weights.mean()
            kept = shown[weight[shown] > 0]
            axes.scatter(*plane[np.setdiff1d(shown, kept)].T, s=3, color=DROPPED, linewidths=0, rasterized=True)
            axes.scatter(*plane[kept].T, s=7 * weight[kept], color=KEPT, linewidths=0, alpha=0.8, rasterized=True)
            axes.set_title(rule, loc="left")
            axes.grid(False)
        for axes in panels[len(subsets) :]:
            axes.remove()
        figure.supxlabel(names[0], fontsize=9)
        figure.supylabel(names[1], fontsize=9)
        what = "all examples" if n <= points else f"{points:,} of {n:,} examples"
        handles = [
            Line2D([], [], linestyle="none", marker="o", markersize=size, color=color, markeredgewidth=0, label=label)
            for size, color, label in ((5, KEPT, "kept, its area as its weight"), (3.5, DROPPED, "dropped"))
        ]
        figure.suptitle(f"r = {r:g}, {what}", fontsize=9, x=0.01, ha="left")
        figure.legend(handles=handles, loc="outside upper right", ncols=2)
    return figure


def _numbers(plane: Floats, subsets: dict[str, Subset], shown: Ints) -> pd.DataFrame:
    weights = {}
    for rule, subset in subsets.items():
        weight = np.zeros(len(plane))
        weight[subset.indices] = subset.weights
        weights[rule] = weight[shown]
    return pd.DataFrame({"index": shown, "x": plane[shown, 0], "y": plane[shown, 1], **weights})
