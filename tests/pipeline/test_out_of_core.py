"""Selection out of core keeps what the same rule keeps in memory, but for ties and draws, which are drawn otherwise."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import winnow
from winnow.core.errors import DatasetError, OptionError
from winnow.pipeline import out_of_core
from winnow.selectors.base import Selector
from winnow.selectors.beta import Beta
from winnow.selectors.calibrated import Calibrated
from winnow.selectors.random import Random
from winnow.selectors.threshold import Threshold
from winnow.selectors.window import Window

duckdb = pytest.importorskip("duckdb", reason="an extra")

N = 1500
RNG = np.random.default_rng(0)
ALL_DIFFERENT = np.concatenate([RNG.standard_t(0.3, N - 500), RNG.random(500) * 1e-6])  # far out, and very near
TIED = RNG.poisson(1.5, N).astype(np.float32)
RULES = {
    "random": Random(), "hardest": Threshold(), "easiest": Threshold(keep="easiest"), "window": Window(skip=0.15),
    "exact": Calibrated(),
    "approximate": Calibrated(protocol="approximate"), "tempered": Calibrated(protocol="tempered"),
}  # fmt: skip
R, ALPHA = 0.3, 0.4


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(out_of_core, "BUCKETS", 16)
    monkeypatch.setattr(out_of_core, "FETCHED", 40)


def kept(folder: Path, scores: np.ndarray, selector: Selector, **changed: Any) -> pd.DataFrame:
    """What is kept of scores in two shards, in any order."""
    given, to = folder / "scores", folder / "kept.parquet"
    if not given.exists():
        given.mkdir()
        for number, lines in enumerate(np.array_split(np.random.default_rng(1).permutation(scores.size), 2)):
            pd.DataFrame({"it's": scores[lines], "index": lines}).to_parquet(given / f"{number}.parquet")
    to.unlink(missing_ok=True)
    asked: dict[str, Any] = {"selector": selector, "r": R, "alpha": ALPHA, "seed": 3, "column": "it's", "threads": 1}
    winnow.select_out_of_core(given, to, **asked | changed)
    assert sorted(path.name for path in folder.iterdir()) == ["kept.parquet", "scores"]
    return pd.read_parquet(to)


@pytest.mark.parametrize("name", RULES)
def test_what_goes_by_score_is_the_same_and_the_rest_as_many_with_the_same_weights(name: str, tmp_path: Path) -> None:
    table = kept(tmp_path, ALL_DIFFERENT, RULES[name])
    subset = RULES[name].select(ALL_DIFFERENT, np.zeros(N), r=R, alpha=ALPHA, seed=3)
    assert table["index"].is_monotonic_increasing
    assert table["index"].is_unique
    assert table["index"][table["is_signal"]].tolist() == subset.indices[subset.is_signal].tolist()
    assert sorted(table["weight"]) == sorted(subset.weights)
    assert table.attrs["n"] == N
    assert "SplitMix64" in table.attrs["provenance"]["draws"]


@pytest.mark.parametrize("name", RULES)
def test_where_scores_tie_as_many_of_each_are_kept_and_which_is_drawn(name: str, tmp_path: Path) -> None:
    first, again, other = (kept(tmp_path, TIED, RULES[name], seed=seed) for seed in (3, 3, 4))
    assert first["index"].tolist() == again["index"].tolist() != other["index"].tolist()
    subset = RULES[name].select(TIED, np.zeros(N), r=R, alpha=ALPHA, seed=3)
    for signal in (True, False) if name in ("hardest", "easiest", "window") else (True,):
        ours, theirs = (
            TIED[i] for i in (first["index"][first["is_signal"] == signal], subset.indices[subset.is_signal == signal])
        )
        assert np.bincount(ours.astype(int)).tolist() == np.bincount(theirs.astype(int)).tolist()


def test_easier_scores_are_turned(tmp_path: Path) -> None:
    table = kept(tmp_path, ALL_DIFFERENT, Threshold(), higher_is="easier")
    assert (
        table["index"].tolist()
        == Threshold(keep="easiest").select(ALL_DIFFERENT, np.zeros(N), r=R, seed=0).indices.tolist()
    )


def test_keys_are_splitmix64_and_draws_are_even() -> None:
    con = out_of_core._connected("1GB", 1, "/tmp")
    ours = [row[0] for row in con.execute("SELECT key(i, 7) FROM range(20000) t(i) ORDER BY i").fetchall()]
    z, step = 7, 0x9E3779B97F4A7C15
    for expected in ours[:50]:
        mixed = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) % 2**64
        assert expected == (mixed ^ (mixed >> 31)) - 2**63
        z = (z + step) % 2**64
    parts = np.bincount((np.array(ours, dtype=float) / 2**64 * 20 + 10).astype(int), minlength=20)
    assert ((parts - 1000) ** 2 / 1000).sum() < 50  # chi-squared with 19 degrees of freedom: once in 10,000


@pytest.mark.parametrize(
    ("scores", "index", "message"),
    [
        ([1.0, 2, np.nan], [0, 1, 2], "has 1 scores that are not finite"),
        ([1.0, 2, 3], [0, 1, 1], "names 1 examples twice"),
        ([1.0, 2, 3], [0, 1, 7], "names 1 examples outside 0..2"),
    ],
)
def test_a_table_that_does_not_fit(tmp_path: Path, scores: list[float], index: list[int], message: str) -> None:
    pd.DataFrame({"score": scores, "index": index}).to_parquet(tmp_path / "scores.parquet")
    with pytest.raises(DatasetError, match=message):
        winnow.select_out_of_core(
            tmp_path / "scores.parquet", tmp_path / "k.parquet", selector=Threshold(), r=0.5, seed=0
        )
    assert [path.name for path in tmp_path.iterdir()] == ["scores.parquet"]


def test_other_rules_and_a_missing_package_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for selector in (
        Beta(),
        replace(Random(), balance="exact"),
        Threshold(drop_suspect=0.1),
        Calibrated(signal=Window()),
    ):
        with pytest.raises(OptionError, match="out of core"):
            kept(tmp_path, TIED, selector)
    with pytest.raises(OptionError, match="memory=much"):
        kept(tmp_path, TIED, Random(), memory="much")
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(OptionError, match=r'pip install "winnow\[duckdb\]"'):
        kept(tmp_path, TIED, Random())
