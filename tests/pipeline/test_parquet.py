"""Selection from a table of scores: the subset that the rule keeps in memory, whatever the files look like."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.utils import instantiate

import winnow
from helpers.config import composed, composing_once, options
from winnow.cli.main import main
from winnow.core.errors import BudgetError, DatasetError, MissingEvidenceError, OptionError
from winnow.core.types import Subset
from winnow.selectors.compression import Count
from winnow.selectors.random import Random
from winnow.selectors.threshold import Threshold
from winnow.store import records, score_files

N = 997
RNG = np.random.default_rng(0)
SCORES = RNG.gamma(0.5, size=N).round(2).astype(np.float32)  # many are tied
LABELS = RNG.integers(0, 300, N) % 7 * 50
SELECTORS = {path.stem: instantiate(composed(path)) for path in options("selector")}
BY_SCORE = {name: selector for name, selector in SELECTORS.items() if not selector.needs}


def write(folder: Path, *, shards: int = 11, **columns: np.ndarray) -> Path:
    """Lines in any order, in shards of several row groups."""
    folder.mkdir()
    columns = columns or {"index": np.arange(N), "score": SCORES, "label": LABELS}
    for number, lines in enumerate(np.array_split(np.random.default_rng(1).permutation(N), shards)):
        table = pd.DataFrame({name: values[lines] for name, values in columns.items()})
        table.to_parquet(folder / f"{number}.parquet", index=False, row_group_size=40)
    return folder


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("scores") / "shards")


def assert_holds(path: Path, subset: Subset) -> pd.DataFrame:
    table = pd.read_parquet(path)
    written = Subset(*(table[name].to_numpy() for name in ("index", "weight", "is_signal")), subset.n)
    assert written.content_hash == subset.content_hash
    assert np.array_equal(written.is_signal, subset.is_signal)
    return table


@pytest.mark.parametrize("balance", [None, "exact"])
@pytest.mark.parametrize("name", BY_SCORE)
def test_every_rule_that_goes_by_score_keeps_what_it_keeps_in_memory(
    name: str, balance: str | None, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(score_files, "ROWS", 64)
    monkeypatch.setattr(records, "ROWS", 64)
    selector = replace(BY_SCORE[name], balance=balance)
    asked = {"r": 0.2, "alpha": 0.4, "seed": 5}
    label = "label" if balance else None
    given = winnow.select_from_parquet(shards, tmp_path / "kept.parquet", selector=selector, label=label, **asked)
    expected = selector.select(SCORES, LABELS, **asked)
    assert given.content_hash == expected.content_hash
    table = assert_holds(tmp_path / "kept.parquet", expected)
    assert pq.ParquetFile(tmp_path / "kept.parquet").num_row_groups > 1
    assert ("label" in table) == (balance is not None)
    if balance:
        assert table["label"].tolist() == LABELS[expected.indices].tolist()
    assert table.attrs["n"] == N
    made = table.attrs["provenance"]
    assert (made["rule"], made["seed"]) == (selector.rule("score", selector.effective_alpha(0.4)), 5)


def test_there_are_such_rules() -> None:
    assert {"random", "threshold", "easiest", "window", "calibrated", "ccs", "importance"} <= BY_SCORE.keys()


def test_lines_are_counted_where_no_index_is_named_and_scores_may_be_turned(tmp_path: Path) -> None:
    folder = tmp_path / "shards"
    folder.mkdir()
    for number, lines in enumerate(np.array_split(np.arange(N), 11)):  # 10.parquet comes after 9.parquet
        pd.DataFrame({"ease": SCORES[lines]}).to_parquet(folder / f"{number}.parquet")
    asked = {"column": "ease", "index": None, "higher_is": "easier", "seed": 0}
    winnow.select_from_parquet(folder, tmp_path / "kept.parquet", selector=Threshold(), r=Count(count=90), **asked)
    assert_holds(tmp_path / "kept.parquet", Threshold().select(-SCORES, LABELS, r=90 / N, seed=0))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"index": np.arange(N) // 2 * 2, "score": SCORES}, "names 498 examples twice and lacks 498 of 997 examples"),
        ({"index": np.arange(N) + 3, "score": SCORES}, "lacks 3 of 997 examples and names 3 examples outside 0..996"),
        (
            {"index": np.arange(N), "score": np.where(SCORES < 1, np.nan, 1)},
            "scores that are not finite numbers; leave those examples out",
        ),
        ({"index": np.arange(N), "loss": SCORES}, "it needs index, score, label"),
        ({"index": np.arange(N), "score": SCORES, "label": SCORES}, "not whole numbers in label"),
    ],
)
def test_a_table_that_does_not_fit_is_refused_and_nothing_is_written(
    tmp_path: Path, columns: dict[str, np.ndarray], message: str
) -> None:
    folder = write(tmp_path / "shards", **{"label": LABELS, **columns} if "loss" not in columns else columns)
    with pytest.raises(DatasetError, match=message):
        winnow.select_from_parquet(folder, tmp_path / "k.parquet", selector=Threshold(), r=0.5, seed=0, label="label")
    assert list(tmp_path.iterdir()) == [folder]


def test_what_cannot_be_is_said_before_anything_is_read(tmp_path: Path, shards: Path) -> None:
    def refuse(error: type[Exception], match: str, to: str = "kept.parquet", **changed: object) -> None:
        with pytest.raises(error, match=match):
            winnow.select_from_parquet(
                shards, tmp_path / to, **{"selector": Random(), "r": 0.5, "seed": 0, "column": "none"} | changed
            )

    refuse(MissingEvidenceError, "beta reads trajectories", selector=SELECTORS["beta"])
    refuse(BudgetError, "keeps none", r=1e-5)
    refuse(OptionError, "parquet", to="kept.csv")
    refuse(OptionError, "one of the shards", to=f"{shards}/kept.parquet")
    refuse(OptionError, "harder, easier", higher_is="better")
    refuse(OptionError, r"over classes; name their column: label", selector=Random(balance="exact"))
    (tmp_path / "kept.parquet").touch()
    refuse(OptionError, "is there already")


def test_the_command(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> str:
        GlobalHydra.instance().clear()
        monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
        monkeypatch.setattr(sys, "argv", ["winnow", "select-file", f"scores={shards}", "to=kept.parquet", *words])
        with composing_once():
            main()
        return capsys.readouterr().out

    rule = ["selector=calibrated", "selector.signal=window", "alpha.value=0.3", "compression=count"]
    assert call(*rule, "compression.count=100", "seed=4") == "kept.parquet\n"
    assert [path.name for path in tmp_path.iterdir()] == ["kept.parquet"]
    selector = replace(BY_SCORE["calibrated"], signal=BY_SCORE["window"])
    assert_holds(tmp_path / "kept.parquet", selector.select(SCORES, LABELS, r=100 / N, alpha=0.3, seed=4))
    for words, message in ((["seed=x"], "seed=x"), (["alpha=auto"], "alpha=auto trains"), (["to=???"], "to is not")):
        with pytest.raises(SystemExit):
            call(*words)
        assert message in capsys.readouterr().err
