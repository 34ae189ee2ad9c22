"""Artifacts come back as they were put, are made once by whoever asks, and never half."""

import errno
import hashlib
import json
import os
import pickle
import random
import re
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from helpers.disk import files_up_to
from winnow.core.errors import StoreError
from winnow.core.machine import device_name
from winnow.store import artifacts, checksums
from winnow.store.artifacts import Artifact, ArtifactStore, Draft
from winnow.store.writing import write_atomically

ARRAY = np.array([[0.1, np.nan, -0.0], [np.inf, 5e-324, 1.0]])
TABLE = pd.DataFrame({"index": [3, 1], "score": [1 / 3, 5e-324], "file": ["a/ä.png", "b.png"], "flag": [True, False]})
TENSORS = {"weight": torch.arange(6.0).reshape(2, 3), "half": torch.tensor([0.1], dtype=torch.bfloat16)}
JSON = {"text": "ä", "number": 0.1, "nothing": None, "list": [1, 2.5, True]}
KINDS = ["array.npy", "table.parquet", "tensors.safetensors", "json.json"]


@pytest.fixture
def store(tmp_path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "artifacts")


class Writer:
    """Writes one part of each kind, and counts how often it was asked to."""

    def __init__(self):
        self.calls = 0

    def __call__(self, draft: Draft):
        self.calls += 1
        draft.put_array("array", ARRAY)
        draft.put_table("table", TABLE)
        draft.put_tensors("tensors", TENSORS)
        draft.put_json("json", JSON)

    def fetch(self, store: ArtifactStore) -> Artifact:
        return store.fetch("scores", "key", write=self, inputs={"of": "this"})


def check_parts(artifact: Artifact):
    assert artifact.parts() == {"array", "table", "tensors", "json"}
    array = artifact.array("array")
    assert (array.dtype, array.shape, array.tobytes()) == (ARRAY.dtype, ARRAY.shape, ARRAY.tobytes())
    pd.testing.assert_frame_equal(artifact.table("table"), TABLE, check_exact=True)
    tensors = artifact.tensors("tensors")
    assert tensors.keys() == TENSORS.keys()
    assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)
    assert artifact.json("json") == JSON


def test_every_kind_of_part_comes_back_as_it_was_put(store):
    writer = Writer()
    check_parts(writer.fetch(store))
    check_parts(ArtifactStore(str(store.root)).load("scores", "key"))


def test_loaded_arrays_are_read_only_memory_maps(store):
    array = Writer().fetch(store).array("array")
    assert isinstance(array, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 0


def test_a_new_array_is_zero_and_filled_in_place(store):
    def write(draft):
        array = draft.new_array("large", (3, 2), np.uint8)
        assert not array.any()
        array[1] = 7
        array.flush()

    artifact = store.fetch("images", "key", write=write, inputs=None)
    assert artifact.array("large").tolist() == [[0, 0], [7, 7], [0, 0]]


def test_tensors_of_any_layout_are_stored(store):
    turned = torch.arange(6.0).reshape(2, 3).T.requires_grad_()
    artifact = store.fetch("model", "key", write=lambda draft: draft.put_tensors("w", {"a": turned}), inputs=None)
    assert torch.equal(artifact.tensors("w")["a"], turned.detach())


def test_fetch_makes_once_and_then_loads(store):
    writer = Writer()
    assert store.load("scores", "key") is None
    assert not store.exists("scores", "key")
    for _ in range(3):
        writer.fetch(store)
    assert writer.calls == 1
    assert store.exists("scores", "key")
    assert not store.exists("subset", "key")
    store.fetch("subset", "key", write=writer, inputs=None)
    store.fetch("scores", "other", write=writer, inputs=None)
    assert writer.calls == 3


def test_a_finished_artifact_is_never_touched(store):
    writer = Writer()
    folder = writer.fetch(store).folder
    before = {path: path.stat().st_mtime_ns for path in [folder, *folder.iterdir()]}
    time.sleep(0.02)
    check_parts(writer.fetch(store))
    assert {path: path.stat().st_mtime_ns for path in [folder, *folder.iterdir()]} == before


def test_the_table_that_users_take_away(store):
    store.fetch("scores", "key", write=lambda draft: draft.put_table("scores", TABLE), inputs=None)
    assert store.table_path("scores", "key").is_file()


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_an_error_while_writing_leaves_nothing(store, error):
    def write(draft):
        draft.put_array("half", ARRAY)
        raise error

    with pytest.raises(error):
        store.fetch("scores", "key", write=write, inputs=None)
    assert list((store.root / "scores").iterdir()) == []
    check_parts(Writer().fetch(store))


def flip(path: Path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def truncate(path: Path):
    path.write_bytes(path.read_bytes()[:-1])


def scribble(content: bytes):
    return lambda path: path.write_bytes(content)


DAMAGES = [(flip, name) for name in KINDS]
DAMAGES += [(damage, name) for name in ("array.npy", "json.json") for damage in (truncate, Path.unlink)]
DAMAGES += [
    (damage, name) for name in ("provenance.json", "provenance.sha256") for damage in (flip, truncate, Path.unlink)
]
DAMAGES += [(scribble(content), "provenance.json") for content in (b"", b"\xff\xfe", b"{}", b"null", b'{"sha256": 1}')]


@pytest.mark.parametrize(("damage", "name"), DAMAGES)
def test_a_damaged_artifact_is_moved_aside_and_made_anew(store, caplog, damage, name):
    writer = Writer()
    folder = writer.fetch(store).folder
    damage(folder / name)
    left = {path.name: path.read_bytes() for path in folder.iterdir()}
    check_parts(writer.fetch(store))
    assert writer.calls == 2
    (aside,) = folder.parent.glob("key.damaged-*")
    assert {path.name: path.read_bytes() for path in aside.iterdir()} == left
    (warning,) = caplog.records
    assert warning.levelname == "WARNING"
    assert str(aside) in warning.message
    if name in KINDS:
        assert name in warning.message
    check_parts(writer.fetch(store))
    assert writer.calls == 2


def test_every_bit_of_an_artifact_is_covered(store):
    """A seeded bit of each byte of the provenance, and of many of each part: all are damage, and none is harmless."""
    folder = Writer().fetch(store).folder
    draw = random.Random(0)
    assert sorted(path.name for path in folder.iterdir()) == sorted([*KINDS, "provenance.json", "provenance.sha256"])
    for path in folder.iterdir():
        whole = path.read_bytes()
        places = range(len(whole)) if path.name.startswith("provenance") else draw.sample(range(len(whole)), 30)
        for place in places:
            flipped = bytearray(whole)
            flipped[place] ^= 1 << draw.randrange(8)
            path.write_bytes(flipped)
            assert checksums.damage(folder) is not None, (path.name, place, flipped[place])
        path.write_bytes(whole)
        assert checksums.damage(folder) is None


def test_the_provenance_has_a_checksum_that_others_can_check(store):
    folder = Writer().fetch(store).folder
    digest = hashlib.sha256((folder / "provenance.json").read_bytes()).hexdigest()
    assert (folder / "provenance.sha256").read_text() == f"{digest}  provenance.json\n"


def test_an_artifact_of_a_version_without_that_checksum_is_loaded(store):
    writer = Writer()
    folder = writer.fetch(store).folder
    (folder / "provenance.sha256").unlink()
    facts = json.loads((folder / "provenance.json").read_text())
    del facts["checksum"]
    (folder / "provenance.json").write_text(json.dumps(facts, indent=1))
    check_parts(writer.fetch(store))
    assert writer.calls == 1


RANDOM = np.random.default_rng(0).random(20_000)
BIG = {
    "put_array": ("a.npy", lambda draft: draft.put_array("a", np.zeros(20_000))),
    "new_array": ("a.npy", lambda draft: draft.new_array("a", (20_000,), np.float64)),
    "put_table": ("a.parquet", lambda draft: draft.put_table("a", pd.DataFrame({"x": RANDOM}))),
    "put_tensors": ("a.safetensors", lambda draft: draft.put_tensors("a", {"x": torch.zeros(40_000)})),
    "put_json": ("a.json", lambda draft: draft.put_json("a", ["x"] * 20_000)),
    "what is inside the provenance": ("", lambda draft: draft.facts.update(device="x" * 80_000)),
}  # fmt: skip


@pytest.mark.parametrize("part", BIG)
def test_without_room_the_path_and_the_remedy_are_told_and_nothing_is_left(store, part):
    name, write = BIG[part]
    told = (
        rf"^{store.root / 'scores' / 'key' / name} cannot be written: there is no room left.*\(paths\.artifacts=DIR\)"
    )
    with pytest.raises(StoreError, match=told), files_up_to(60_000):
        store.fetch("scores", "key", write=write, inputs=None)
    assert list((store.root / "scores").iterdir()) == []
    store.fetch("scores", "key", write=write, inputs=None)
    assert store.load("scores", "key") is not None


@pytest.mark.parametrize("blocked", [".", "scores", "locks", "scores/key"])
def test_a_file_in_the_place_of_a_folder_is_told_before_anything_is_made(store, blocked):
    path = store.root / blocked
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("mine")
    writer = Writer()
    with pytest.raises(StoreError, match=f"{path} is a file where a folder is needed; move it away"):
        writer.fetch(store)
    assert writer.calls == 0
    assert path.read_text() == "mine"
    path.unlink()
    check_parts(writer.fetch(store))


def test_below_a_file_there_is_no_store(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StoreError, match=f"{tmp_path / 'file'} is a file where a folder is needed"):
        Writer().fetch(ArtifactStore(tmp_path / "file" / "deep" / "artifacts"))


def test_a_store_that_is_read_only_gives_what_is_there(store, monkeypatch):
    writer = Writer()
    writer.fetch(store)

    def refuse(*arguments, **options):
        raise OSError(errno.EROFS, "Read-only file system")

    for name in ("mkdir", "rename", "unlink", "open"):
        monkeypatch.setattr(os, name, refuse)
    check_parts(writer.fetch(store))
    with pytest.raises(StoreError, match="it is read-only; allow writing there"):
        store.fetch("scores", "other", write=writer, inputs=None)
    (store.root / "scores" / "key" / "json.json").write_text("{}")
    with pytest.raises(StoreError, match=r"key\.damaged-.* cannot be written: it is read-only"):
        store.load("scores", "key")
    assert writer.calls == 1


def test_two_that_find_the_same_damage_make_it_anew_once(store, monkeypatch):
    writer = Writer()
    flip(writer.fetch(store).folder / "array.npy")
    both, digest, looks = threading.Barrier(2, timeout=20), hashlib.file_digest, iter(range(10**6))

    def look_together(*arguments):
        if next(looks) < 2:  # of the provenance, which is the first to be looked at
            both.wait()
        return digest(*arguments)

    monkeypatch.setattr(hashlib, "file_digest", look_together)
    with ThreadPoolExecutor(2) as pool:
        for future in [pool.submit(writer.fetch, store) for _ in range(2)]:
            check_parts(future.result(timeout=20))
    assert writer.calls == 2
    assert len(list((store.root / "scores").glob("key.damaged-*"))) == 1


def test_provenance_says_where_an_artifact_came_from(store):
    def write(draft):
        Writer()(draft)
        time.sleep(0.05)

    folder = store.fetch("scores", "key", write=write, inputs={"path": Path("a"), "r": 1.0, "seeds": (1, 2)}).folder
    facts = json.loads((folder / "provenance.json").read_text())
    assert facts["inputs"] == {"path": "a", "r": 1, "seeds": [1, 2]}
    assert (facts["stage"], facts["key"], facts["schema"]) == ("scores", "key", artifacts.SCHEMA)
    assert facts["sha256"] == {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in KINDS}
    assert {"torch", "numpy", "pytorch-lightning"} <= facts["packages"].keys()
    assert facts["packages"] == {name: version(name) for name in facts["packages"]}
    assert facts["python"] == ".".join(map(str, sys.version_info[:3]))
    assert 0.05 <= facts["seconds"] < 20
    assert facts["device"] == device_name("cpu")
    assert facts["git"] is None or re.fullmatch(r"[0-9a-f]{12}(-dirty)?", facts["git"])


class Bomb:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_object_arrays_cannot_be_stored(store):
    objects = np.array([{"a": 1}], dtype=object)
    with pytest.raises(ValueError, match="allow_pickle=False"):
        store.fetch("scores", "key", write=lambda draft: draft.put_array("a", objects), inputs=None)
    with pytest.raises(ValueError, match="Python objects"):
        store.fetch("scores", "key", write=lambda draft: draft.new_array("a", (1,), object), inputs=None)
    assert not store.exists("scores", "key")


def test_nothing_is_unpickled(tmp_path):
    bombed = tmp_path / "bombed"
    np.save(tmp_path / "objects.npy", np.array([Bomb(bombed)], dtype=object), allow_pickle=True)
    (tmp_path / "plain.npy").write_bytes(pickle.dumps(Bomb(bombed)))
    torch.save({"a": Bomb(bombed)}, tmp_path / "tensors.safetensors")
    artifact = Artifact(tmp_path)
    for load, name in ((artifact.array, "objects"), (artifact.array, "plain"), (artifact.tensors, "tensors")):
        with pytest.raises(Exception):  # noqa: B017  (each library has its own)
            load(name)
    assert not bombed.exists()
    pickle.loads(pickle.dumps(Bomb(bombed)))
    assert bombed.exists()


def test_text_is_replaced_in_one_step(tmp_path):
    path = tmp_path / "new" / "grid.csv"
    write_atomically(path, "old")
    with path.open() as reader:
        write_atomically(path, "a longer text")
        assert reader.read() == "old"
    assert path.read_text() == "a longer text"
    assert list(path.parent.iterdir()) == [path]


PROCESS = """
import os, sys, time
from pathlib import Path
import numpy as np
from winnow.store.artifacts import ArtifactStore

root, processes, waits_for = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])

def write(draft):
    with (root / "made").open("a") as file:
        file.write("x")
    draft.put_array("values", np.arange(5))
    (root / "writing").touch()
    until = time.monotonic() + 30
    while len(list(root.glob("asking-*"))) < waits_for and time.monotonic() < until:
        time.sleep(0.01)
    time.sleep(0.5)

for _ in range(processes - 1):  # one import for all of them
    if os.fork() == 0:
        break
(root / f"asking-{os.getpid()}").touch()
artifact = ArtifactStore(root / "artifacts").fetch("scores", "key", write=write, inputs=None)
print(artifact.array("values").tolist(), flush=True)
os._exit(0)  # what follows would only be the slow taking apart of imported libraries
"""


def start(folder: Path, *, processes: int, waits_for: int) -> subprocess.Popen:
    """Processes that fetch the same scores; the one that makes them waits until as many processes have asked."""
    command = [sys.executable, "-c", PROCESS, str(folder), str(processes), str(waits_for)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_of_two_processes_one_makes_and_the_other_waits(tmp_path):
    printed, _ = start(tmp_path, processes=2, waits_for=2).communicate(timeout=60)  # ends when both have ended
    assert printed == "[0, 1, 2, 3, 4]\n" * 2
    assert len(list(tmp_path.glob("asking-*"))) == 2
    assert (tmp_path / "made").read_text() == "x"


@pytest.mark.timeout(60)
def test_a_process_killed_while_it_writes_is_in_nobodys_way(tmp_path, store):
    process = start(tmp_path, processes=1, waits_for=100)
    while not (tmp_path / "writing").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    assert process.communicate()[0] == ""
    assert not store.exists("scores", "key")
    assert store.load("scores", "key") is None
    writer = Writer()
    check_parts(writer.fetch(store))
    assert writer.calls == 1
