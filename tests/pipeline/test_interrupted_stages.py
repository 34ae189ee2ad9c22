"""Every kind of training goes on after an interruption, to the same artifact."""

import itertools
import json
import logging
import os
import signal
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from torch.serialization import get_unsafe_globals_in_checkpoint

from helpers.training import CPU, TINY, tiny_dataset, tiny_probe, tiny_recipe
from winnow.core.errors import DivergedError, Interrupted
from winnow.core.types import Subset
from winnow.datasets.augmentation import Augmentation
from winnow.parallel import interruption
from winnow.pipeline import stages
from winnow.probes.embeddings.simclr import SimCLR
from winnow.probes.ensemble import gather
from winnow.store.artifacts import ArtifactStore
from winnow.training.callbacks.contributions import Contributions
from winnow.training.callbacks.forgetting import Forgetting
from winnow.training.fit import Measured
from winnow.training.loggers import CSVLog, NoLog
from winnow.training.noise import Noise

RECIPE = tiny_recipe(epochs=3, augmentation=Augmentation(shift=0.125, flip=True))  # twelve steps


@pytest.fixture(scope="module")
def dataset():
    return tiny_dataset()


def model(dataset, store, logger=None):
    opened = (logger or NoLog()).open("one", kind="cell", config={})
    options = {"model": TINY, "recipe": RECIPE, "store": store, "trainer": CPU, "lightning_logger": opened}
    recorders = (Forgetting(), Contributions())
    stages.train_subset(dataset, Subset.full(dataset.n), recorders=recorders, **options)


def gathered(needs):
    def make(dataset, store, logger=None):
        probe = tiny_probe(recipe=RECIPE, epochs=3, members=1, evaluate_at=(1, 3), checkpoint_at=(0, 2))
        gather(dataset, probe, needs=frozenset({needs}), store=store, trainer=CPU, logger=logger or NoLog())

    return make


def simclr(dataset, store, logger=None):
    run = SimCLR(model=TINY, epochs=3, batch_size=16, projection=8)
    run.embed(dataset, of_probe=None, store=store, trainer=CPU, logger=logger or NoLog())


KINDS = {
    "model": model,
    "probe": gathered("trajectories"),
    "subset_run": gathered("subset_runs"),
    "simclr": simclr,
}


@pytest.fixture
def terminated(monkeypatch):
    """Call something, with SIGTERM before the step of that number."""

    def call(step, make, *arguments):
        seed, count = Noise.on_train_batch_start, []

        def seed_and_terminate(self, *given):
            seed(self, *given)
            count.append(None)
            if len(count) == step:
                os.kill(os.getpid(), signal.SIGTERM)

        with monkeypatch.context() as patch, interruption.handled():
            patch.setattr(Noise, "on_train_batch_start", seed_and_terminate)
            with pytest.raises(Interrupted):
                make(*arguments)

    return call


def parts(root: Path):
    """The content of every part of every artifact."""
    files = [path for path in root.rglob("*") if path.is_file() and "locks" not in path.parts]
    return {path.relative_to(root): path.read_bytes() for path in files if path.stem != "provenance"}


def without_seconds(content):
    """result.json without what a clock says."""
    values = json.loads(content)
    values.pop("seconds")
    return values


@pytest.mark.parametrize("kind", KINDS)
def test_the_artifact_is_the_same(dataset, tmp_path, terminated, kind):
    make, store = KINDS[kind], ArtifactStore(tmp_path / "interrupted")
    for step in (3, 4, 3):
        terminated(step, make, dataset, store)
        (left,) = parts(store.root)
        assert left.parts[0] == "unfinished"
        assert not get_unsafe_globals_in_checkpoint(store.root / left)
    make(dataset, store)
    whole = ArtifactStore(tmp_path / "whole")
    make(dataset, whole)
    found, expected = parts(store.root), parts(whole.root)
    assert found.keys() == expected.keys()
    for path, content in found.items():
        read = without_seconds if path.name == "result.json" else bytes
        assert read(content) == read(expected[path]), path


def test_the_checkpoint_waits_for_what_follows_the_training(dataset, tmp_path, monkeypatch, caplog):
    store = ArtifactStore(tmp_path)
    measure = stages.measure

    def fails(*_, **__):
        raise OSError("no space left")

    often = stages.TrainerSpec(accelerator="cpu", progress=False, checkpoint_seconds=1e-9)
    monkeypatch.setattr(stages, "measure", fails)
    options = {"model": TINY, "recipe": RECIPE, "store": store, "trainer": often}
    with pytest.raises(OSError, match="no space left"):
        stages.train_subset(dataset, Subset.full(dataset.n), **options)
    assert len(parts(tmp_path)) == 1
    monkeypatch.setattr(stages, "measure", measure)
    with caplog.at_level(logging.INFO):
        stages.train_subset(dataset, Subset.full(dataset.n), **options)
    assert "going on at step 12 of 12" in caplog.text
    assert not list((tmp_path / "unfinished").iterdir())


def test_a_training_that_diverged_leaves_none(dataset, tmp_path, monkeypatch):
    often = stages.TrainerSpec(accelerator="cpu", progress=False, checkpoint_seconds=1e-9)
    options = {"model": TINY, "recipe": RECIPE, "store": ArtifactStore(tmp_path), "trainer": often}
    monkeypatch.setattr(stages, "measure", lambda *_, **__: Measured(0.9, float("nan"), (9,), (10,)))
    with pytest.raises(DivergedError):
        stages.train_subset(dataset, Subset.full(dataset.n), **options)
    assert not parts(tmp_path)


def test_a_log_goes_on(dataset, tmp_path, terminated):
    tables, log = {}, "logs/cell-one/metrics.csv"
    for name, steps in (("whole", ()), ("interrupted", (7, 3))):  # in the second epoch, and where the third begins
        store, logger = ArtifactStore(tmp_path / name), CSVLog(folder=str(tmp_path / name))
        for step in steps:
            terminated(step, model, dataset, store, logger)
            table = pd.read_csv(tmp_path / name / log)
            late = table.iloc[[-1]].assign(step=11)  # as if it had been killed after that step, and not here
            pd.concat([table, late]).to_csv(tmp_path / name / log, index=False)
        model(dataset, store, logger)
        tables[name] = pd.read_csv(tmp_path / name / log)
    recorded = [name for name in tables["whole"] if name.startswith(("forgetting", "contributions"))]
    for table in tables.values():
        assert table["step"][table["train_loss"].notna()].tolist() == [3, 7, 11]
    pd.testing.assert_frame_equal(
        *(
            table[["step", *recorded]].dropna(how="all", subset=recorded).reset_index(drop=True)
            for table in tables.values()
        )
    )


def test_time_left_is_reckoned_from_the_steps_of_this_part(dataset, tmp_path, terminated, monkeypatch, caplog):
    store = ArtifactStore(tmp_path)
    terminated(8, model, dataset, store)
    clock = SimpleNamespace(monotonic=itertools.count(0, 20).__next__)
    monkeypatch.setattr("winnow.training.progress.time", clock)
    with caplog.at_level(logging.INFO):
        model(dataset, store)
    lines = [record.getMessage() for record in caplog.records if "left" in record.getMessage()]
    assert len(lines) == 2
    assert "step 8 of 12" in lines[0]
    assert "80 s left" in lines[0]  # one step in 20 s, and four to come
