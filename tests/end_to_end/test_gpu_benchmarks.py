"""The command that asks a GPU everything, rehearsed on the CPU where what such a machine lacks is missing."""

import importlib.util
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import torch

from helpers.jpegs import make_jpegs

SCRIPT = Path(__file__).parents[2] / "scripts" / "bench" / "gpu.py"
MISSING = ("duckdb", "faiss", "matplotlib", "torchdata", "wandb")


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """Images as an archive, as they travel."""
    root = make_jpegs(tmp_path_factory.mktemp("made") / "photos", train=48, test=6)
    (root / "val").rename(root / "test")
    path = root.parent / "photos.tar.xz"
    with tarfile.open(path, "w:xz") as made:
        made.add(root, "photos")
    return path


HIDING = """
import importlib.metadata
from importlib.machinery import PathFinder

find, told = PathFinder.find_spec, importlib.metadata.distribution


def find_spec(name, path=None, target=None):
    return None if name.partition(".")[0] in {missing} else find(name, path, target)


def distribution(name):
    if name in {missing}:
        raise importlib.metadata.PackageNotFoundError(name)
    return told(name)


PathFinder.find_spec, importlib.metadata.distribution = find_spec, distribution
"""


@pytest.fixture(scope="module")
def without(tmp_path_factory):
    """A folder that hides packages from every process that has it on its path."""
    folder = tmp_path_factory.mktemp("missing")
    (folder / "sitecustomize.py").write_text(HIDING.format(missing=set(MISSING)))
    return folder


def lines_of(out):
    return [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]


@pytest.fixture
def bench(monkeypatch, tmp_path):
    """The command as a module, with small parts of its own: one that ends, one that fails, one that would not end."""
    spec = importlib.util.spec_from_file_location("gpu", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "gpu", module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "HERE", tmp_path)
    script = "import os, sys, time\nprint('{\"seen\": %d}' % len(os.listdir(sys.argv[1])), flush=True)\n"
    (tmp_path / "ends.py").write_text(script)
    (tmp_path / "fails.py").write_text(script + "raise ValueError('broken')\n")
    (tmp_path / "lasts.py").write_text(script + "time.sleep(100)\n")
    made = [module.Part(name, f"{name}.py", (), (module.IMAGES,), 0.02) for name in ("ends", "fails", "lasts")]
    monkeypatch.setattr(module, "parts", lambda: made)
    return module


def test_a_part_leaves_its_numbers_and_is_not_done_again(bench, archive, tmp_path, capsys):
    given = ["--small", "--out", str(tmp_path / "out"), "--images", str(archive)]
    bench.main([*given, "--minutes", "0.005"])
    assert capsys.readouterr().out.count("too few") == 3
    bench.main(given)
    said = capsys.readouterr().out
    lines = lines_of(tmp_path / "out")
    numbers = [(line["part"], line["seen"]) for line in lines if "seen" in line]
    assert numbers == [("ends", 2), ("fails", 2), ("lasts", 2)], "train and test"
    assert [line["part"] for line in lines if "finished" in line] == ["ends"]
    assert "ends: finished, " in said
    assert "fails: failed with status 1; see log.txt" in said
    assert "lasts: stopped at its limit of 1 s" in said
    assert "ValueError: broken" in (tmp_path / "out" / "log.txt").read_text()
    bench.main([*given, "--parts", "ends", "fails"])
    said = capsys.readouterr().out
    assert "ends: finished before" in said
    assert "fails: failed" in said
    facts = [line for line in lines_of(tmp_path / "out") if line["part"] == "facts"]
    assert len(facts) == 3
    assert facts[0]["torch"] == torch.__version__


def test_without_images_the_parts_that_need_them_are_left_out(bench, tmp_path, capsys):
    bench.main(["--small", "--out", str(tmp_path / "out")])
    assert capsys.readouterr().out.count("needs --images") == 3


@pytest.mark.slow
def test_every_part_runs_where_packages_are_missing(archive, without, tmp_path):
    path = os.pathsep.join([str(without), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [
        sys.executable,
        str(SCRIPT),
        "--small",
        "--images",
        str(archive),
        "--out",
        str(tmp_path),
        "--minutes",
        "15",
    ]
    environment = os.environ | {"PYTHONPATH": path, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = lines_of(tmp_path)
    assert not [line for line in lines if "stopped" in line], (tmp_path / "log.txt").read_text()
    finished = {line["part"] for line in lines if "finished" in line}
    assert finished == {line["part"] for line in lines} - {"facts"}
    assert {"chip", "fastnet", "resnet18", "members", "gradients", "table"} <= finished
