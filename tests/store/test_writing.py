"""A place that cannot be written is told in one sentence, and nothing is left of what was being written."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from helpers.disk import files_up_to
from winnow.core.errors import StoreError
from winnow.store.writing import replaced_at_once, take_room, unwritable, writing


def error(number):
    return OSError(number, os.strerror(number))


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (errno.ENOSPC, "there is no room left for it; make room"),
        (errno.EDQUOT, "there is no room left for it; make room"),
        (errno.EROFS, "it is read-only; allow writing there"),
        (errno.EACCES, "it is read-only; allow writing there"),
        (errno.EISDIR, "a folder is where a file is needed; move it away"),
        (errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG)),
    ],
)
def test_the_sentence_says_where_why_and_what_to_do(number, told):
    text = str(unwritable("there/x", error(number), option="paths.artifacts=DIR"))
    assert text.startswith("there/x cannot be written: ")
    assert told in text
    assert "or choose another place (paths.artifacts=DIR). The same command then goes on." in text


def test_a_write_that_was_cut_short_wants_room():
    assert "no room" in str(unwritable("x", OSError("800 requested and 496 written")))


def test_the_file_in_the_way_is_named(tmp_path):
    (tmp_path / "file").write_text("x")
    path = tmp_path / "file" / "below" / "it"
    with pytest.raises(StoreError, match=f"{tmp_path / 'file'} is a file where a folder is needed"), writing(path):
        path.parent.mkdir(parents=True)


def test_errors_that_are_not_of_writing_pass(tmp_path):
    for other in (ZeroDivisionError, StoreError):
        with pytest.raises(other, match="this"), writing(tmp_path):
            raise other("this")


def test_of_an_error_the_old_file_stays_and_no_other(tmp_path):
    path = tmp_path / "new" / "table.csv"
    with replaced_at_once(path) as temporary:
        temporary.write_text("old")
        assert temporary.suffix == ".csv"
    with (
        pytest.raises(StoreError, match="no room"),
        files_up_to(1000),
        writing(path),
        replaced_at_once(path) as temporary,
    ):
        temporary.write_text("x" * 2000)
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("allocates", [True, False])
def test_room_is_taken_and_what_is_there_stays(allocates, tmp_path, monkeypatch):
    if not allocates:
        monkeypatch.delattr(os, "posix_fallocate", raising=False)
    elif not hasattr(os, "posix_fallocate"):
        pytest.skip("this system has no posix_fallocate")
    path = tmp_path / "array.npy"
    array = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(300_000,))
    size, held = path.stat().st_size, path.stat().st_blocks * 512
    assert held < size
    take_room(path, array.offset)
    assert (path.stat().st_size, array.any()) == (size, False)
    assert path.stat().st_blocks * 512 >= size
    assert np.load(path).shape == (300_000,)


def test_an_empty_array_takes_no_room(tmp_path):
    Path(tmp_path / "empty").write_bytes(b"head")
    take_room(tmp_path / "empty", 4)
    assert (tmp_path / "empty").read_bytes() == b"head"
