from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from winnow.core.errors import DatasetError, MissingEvidenceError, OptionError
from winnow.core.types import Evidence
from winnow.metrics.file import File
from winnow.store.keys import describe
from winnow.store.score_files import hash_score_file, read_score_file, shards

GIVEN = np.array([0.5, -1.0, 2.0])
EVIDENCE = Evidence(dataset="hand", labels=np.array([0, 1, 1]), given=GIVEN)


def test_numbers_come_in_as_they_stand_or_turned():
    assert File(path="x.csv")(EVIDENCE).values.tolist() == [0.5, -1, 2]
    assert File(path="x.csv", higher_is="easier")(EVIDENCE).values.tolist() == [-0.5, 1, -2]


def test_names_and_errors():
    assert File(path="x.csv").name == "file"
    assert File(path="x.csv", title="published").name == "published"
    assert describe(File(path="x.csv")) == describe(File(path="y.csv")) != describe(File(path="x.csv", column="z"))
    with pytest.raises(OptionError, match="easier"):
        File(path="x.csv", higher_is="better")
    with pytest.raises(MissingEvidenceError):
        File(path="x.csv")(replace(EVIDENCE, given=None))


def write(folder, text, name="scores.csv"):
    (folder / name).write_text(text)
    return folder / name


def test_lines_are_matched_by_index_or_by_file(tmp_path):
    by_index = write(tmp_path, "index,score,other\n2,2.0,7\n0,0.5,8\n1,-1,9\n")
    assert read_score_file(by_index, "score", n=3, files=None).tolist() == [0.5, -1, 2]
    assert read_score_file(by_index, "other", n=3, files=None).tolist() == [8, 9, 7]
    by_file = write(tmp_path, "file,score\nc/2.png,2\na/0.png,0.5\nb/ä.png,-1\nelsewhere.png,3\n", "files.csv")
    assert read_score_file(by_file, "score", n=3, files=("a/0.png", "b/ä.png", "c/2.png")).tolist() == [0.5, -1, 2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("index,score\n0,1\n2,1\n", "lacks 1 of 3 examples"),
        ("index,score\n0,1\n1,1\n2,1\n2,2\n2,2\n", "names 2 examples twice"),
        ("index,score\n0,1\n1,1\n2,1\n3,1\n", "names 1 examples outside 0..2"),
        ("index,score\n0,nan\n1,inf\n2,word\n", "has 3 scores that are not finite"),
        ("file,score\na.png,1\nb.png,1\n", "lacks 3 of 3 examples"),
        ("index,loss\n0,1\n", "it needs score"),
        ("name,score\n0,1\n", "index or file"),
        ("", "is not a table"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_count(tmp_path, text, message):
    with pytest.raises(DatasetError, match=message):
        read_score_file(write(tmp_path, text), "score", n=3, files=("x.png", "y.png", "z.png"))


def test_a_file_that_is_not_there_or_not_parquet(tmp_path):
    with pytest.raises(DatasetError, match="cannot be read"):
        read_score_file(tmp_path / "none.csv", "score", n=3, files=None)
    with pytest.raises(DatasetError, match="is not a table"):
        read_score_file(write(tmp_path, "words", "scores.parquet"), "score", n=3, files=None)
    with pytest.raises(DatasetError, match="no files"):
        read_score_file(write(tmp_path, "file,score\na,1\n"), "score", n=1, files=None)


def write_shards(folder, *tables):
    """shard-1.parquet, shard-2.parquet ... shard-10.parquet, with few lines a row group."""
    folder.mkdir(exist_ok=True)
    for number, table in enumerate(tables, 1):
        pd.DataFrame(table).to_parquet(folder / f"shard-{number}.parquet", index=False, row_group_size=2)
    return folder


def test_shards_are_read_as_one_table(tmp_path):
    parts = np.array_split(np.random.default_rng(0).permutation(23), 11)
    tables = [{"score": part * 0.5, "other": part, "index": part} for part in parts]
    folder = write_shards(tmp_path / "shards", *tables)
    assert read_score_file(folder, "score", n=23, files=None).tolist() == (np.arange(23) * 0.5).tolist()
    named = [{"file": [f"train/{i}.png" for i in part], "score": part.astype(np.float32)} for part in parts]
    by_file = write_shards(tmp_path / "named", *named, {"file": ["train/other.png"] * 2, "score": [1.0, 1.0]})
    files = [f"train/{i}.png" for i in range(23)]
    assert read_score_file(by_file, "score", n=23, files=files).tolist() == list(range(23))


def test_a_key_is_of_what_is_in_the_shards_in_natural_order(tmp_path):
    tables = [{"index": [i], "score": [1.0]} for i in range(10)]
    first, again, other = (
        write_shards(tmp_path / name, *tables[: 10 - less]) for name, less in zip("abc", (0, 0, 1), strict=True)
    )
    assert hash_score_file(first) == hash_score_file(again) != hash_score_file(other)
    assert [path.name for path in shards(first)] == [f"shard-{i}.parquet" for i in range(1, 11)]


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ([{"index": [0, 1], "score": [1.0, 1]}, {"index": [1, 7], "score": [1.0, 1]}],
         "names 1 examples twice and lacks 1 of 3 examples and names 1 examples outside 0..2"),
        ([{"index": [0, 1], "score": [1.0, 1]}, {"index": [2], "loss": [1.0]}],
         "shard-2.parquet has the columns index, loss, and shard-1.parquet index, score; it needs score"),
        ([{"index": [0, 1], "score": [1.0, 1]}, {"file": ["x.png"], "score": [1.0]}],
         "shard-2.parquet has the columns file, score, and shard-1.parquet index, score; it needs score"),
        ([{"index": [0.5, 1, 2], "score": ["1", "word", None]}],
         "lacks 1 of 3 examples and names 1 examples outside 0..2 and has 2 scores that are not finite"),
        ([], r"holds no file \*.parquet"),
    ],
)  # fmt: skip
def test_shards_that_do_not_fit_are_refused_in_a_sentence(tmp_path, tables, message):
    with pytest.raises(DatasetError, match=message):
        read_score_file(write_shards(tmp_path / "shards", *tables), "score", n=3, files=("x.png", "y.png", "z.png"))
