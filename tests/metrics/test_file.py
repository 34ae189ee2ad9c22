from dataclasses import replace

import numpy as np
import pytest

from winnow.core.errors import DatasetError, MissingEvidenceError, OptionError
from winnow.core.types import Evidence
from winnow.metrics.file import File
from winnow.store.keys import describe
from winnow.store.records import read_score_file

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
