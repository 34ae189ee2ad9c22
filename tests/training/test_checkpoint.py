"""An interrupted training ends where the uninterrupted one does, bit for bit."""

import errno
import logging
import os
import shutil
import signal
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from zipfile import ZipFile

import numpy as np
import pytest
import torch
from pytorch_lightning import Callback
from torch import nn

from helpers.disk import files_up_to
from helpers.training import CPU, TINY, Watcher, same_state, state, tiny_dataset, tiny_fit, tiny_recipe
from winnow.core.errors import REQUEUE, Interrupted, OptionError, StoreError
from winnow.core.types import Subset
from winnow.datasets.augmentation import Augmentation
from winnow.models.base import Classifier, ModelSpec
from winnow.models.fastnet import FastNet
from winnow.parallel import interruption
from winnow.training import checkpoint
from winnow.training.callbacks.contributions import Contributions
from winnow.training.callbacks.forgetting import FIELDS, Forgetting
from winnow.training.checkpoint import Checkpoints, _CheckpointFile

AUGMENTED = Augmentation(shift=0.125, flip=True)
OFTEN = replace(CPU, checkpoint_seconds=1e-9, checkpoint_share=1)  # before each step
STEPS = 12  # of the recipe below: three epochs of four batches


@dataclass(frozen=True, kw_only=True)
class Dropping(ModelSpec):
    """A model that draws random numbers in training."""

    @property
    def name(self):
        return "dropping"

    def build(self, image_shape, n_classes):
        layers = [nn.Flatten(), nn.Linear(np.prod(image_shape), 16), nn.ReLU(), nn.Dropout(0.5)]
        return Classifier(nn.Sequential(*layers), 16, n_classes)


class KillAfter(Callback):
    """Sends this process a signal after some step."""

    def __init__(self, step, number=signal.SIGTERM):
        self.step, self.number = step, number

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        if trainer.global_step == self.step:
            os.kill(os.getpid(), self.number)


@pytest.fixture(scope="module")
def dataset():
    return tiny_dataset()


def some(dataset, m=50):
    indices = np.sort(np.random.default_rng(1).choice(dataset.n, m, replace=False))
    return Subset(indices, np.linspace(0.5, 1.5, m), np.zeros(m, dtype=bool), dataset.n)


class Run:
    """One training with every recorder, and what is left of it."""

    def __init__(self, dataset, *callbacks, **options):
        subset = options.pop("subset", some(dataset))
        self.trajectory = Forgetting().build(subset.indices, dataset.n_classes)
        self.contributions = Contributions(every=2, target=5).build(subset.indices, dataset.n_classes)
        recipe = options.pop("recipe", tiny_recipe(epochs=3, augmentation=AUGMENTED))
        recorders = [self.trajectory, self.contributions]
        self.fitted = tiny_fit(dataset, recipe, subset=subset, callbacks=[*recorders, *callbacks], **options)

    def assert_same(self, other):
        assert same_state(state(self.fitted.model), state(other.fitted.model))
        assert (self.fitted.steps, self.fitted.examples_seen) == (other.fitted.steps, other.fitted.examples_seen)
        for field in FIELDS:
            one, two = (getattr(run.trajectory.trajectory(), field) for run in (self, other))
            np.testing.assert_array_equal(one, two)
        assert torch.equal(self.trajectory.events, other.trajectory.events)
        assert self.contributions.epochs == other.contributions.epochs
        np.testing.assert_array_equal(self.contributions.contributions(), other.contributions.contributions())
        np.testing.assert_array_equal(self.contributions.target_indices, other.contributions.target_indices)


def interrupted(dataset, path, step, number=signal.SIGTERM, **options):
    with interruption.handled(), pytest.raises(Interrupted) as stop:
        Run(dataset, KillAfter(step, number), checkpoint=path, **options)
    assert path.exists()
    return stop.value.code


@pytest.fixture(scope="module")
def whole(dataset):
    return Run(dataset)


@pytest.mark.parametrize("steps", [(1,), (3,), (4,), (6, 7), (4, 8), (10,), (11,), (12,)])
def test_interrupted_and_gone_on(dataset, whole, tmp_path, steps):
    path = tmp_path / "unfinished" / "one.ckpt"
    for step in steps:
        assert interrupted(dataset, path, step) == REQUEUE
    seen = Watcher()
    resumed = Run(dataset, seen, checkpoint=path)
    resumed.assert_same(whole)
    assert len(seen.batches) == STEPS - steps[-1]
    assert [p.name for p in path.parent.iterdir()] == ["one.ckpt"]


OTHERWISE = {
    "dropout": {"model": Dropping()},
    "budget": {
        "recipe": tiny_recipe(epochs=2, budget="steps", schedule="cosine"),
        "subset": 30,
    },  # two batches an epoch
    "one batch an epoch": {"recipe": tiny_recipe(epochs=6, schedule="constant"), "subset": 10},
    "bfloat16": {"recipe": tiny_recipe(precision="bfloat16", augmentation=AUGMENTED)},
    "one stream": {
        "recipe": tiny_recipe(total_steps=9, batches="constant", augmentation=AUGMENTED, ema=0.9, schedule="constant"),
        "subset": 11,
    },  # fewer than a batch holds
    "warmed up": {"recipe": tiny_recipe(schedule="step", decay_at=(0.5, 0.8), warmup=0.3, decay_all=True)},
    "looked ahead": {
        "model": FastNet(width=4),
        "recipe": tiny_recipe(
            schedule="linear",
            warmup=0.3,
            lookahead=3,
            norm_bias_rate=8,
            augmentation=replace(AUGMENTED, alternate=True),
        ),
    },
    "bar": {"trainer": replace(CPU, progress=True)},
}


@pytest.mark.parametrize("name", OTHERWISE)
def test_whatever_is_trained(dataset, tmp_path, name):
    options = dict(OTHERWISE[name])
    if "subset" in options:
        options["subset"] = some(dataset, options["subset"])
    for step in (2, 5):
        interrupted(dataset, tmp_path / "one.ckpt", step, **options)
        torch.rand(step)  # whatever state the caller is in
    Run(dataset, checkpoint=tmp_path / "one.ckpt", **options).assert_same(Run(dataset, **options))


def test_noise_is_new_at_each_step_and_fixed_by_the_seed(dataset):
    class Drawn(Callback):
        def on_train_batch_start(self, trainer, module, batch, batch_idx):
            self.values = [*getattr(self, "values", []), torch.rand(1).item()]

    seeds = {}
    for name, seed in (("one", 0), ("again", 0), ("other", 1)):
        seeds[name] = Drawn()
        with torch.random.fork_rng():
            tiny_fit(dataset, seed=seed, callbacks=[Last(seeds[name])])
    assert len(set(seeds["one"].values)) == 8
    assert seeds["one"].values == seeds["again"].values
    assert not set(seeds["one"].values) & set(seeds["other"].values)


def test_taken_every_so_often_and_once_more_at_the_end(dataset, whole, tmp_path):
    path, steps = tmp_path / "one.ckpt", []

    class Steps(Callback):
        def on_save_checkpoint(self, trainer, module, checkpoint):
            steps.append(trainer.global_step)

    Run(dataset, Steps(), checkpoint=path)
    assert not steps
    assert not path.exists()
    Run(dataset, Steps(), checkpoint=path, trainer=OFTEN).assert_same(whole)
    assert steps == list(range(STEPS + 1))
    finished = Run(dataset, checkpoint=path)
    finished.assert_same(whole)


def test_the_next_waits_until_the_last_was_a_small_share_of_the_time(monkeypatch):
    clock, at = [0.0], []

    def takes_two_seconds(path, weights_only):
        at.append(clock[0])
        clock[0] += 2.0

    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: clock[0])
    trainer = SimpleNamespace(global_step=0, save_checkpoint=takes_two_seconds)
    keeper = Checkpoints(Path("one.ckpt"), every=10, share=0.1, training="one")
    keeper.on_train_start(trainer, None)
    while clock[0] < 60:
        keeper.on_train_batch_start(trainer, None, None, 0)
        clock[0] += 1.0
    assert at == [10, 30, 50]  # two of twenty seconds are a tenth
    with pytest.raises(OptionError, match=r"checkpoint_share=0\.0 must be in"):
        replace(CPU, checkpoint_share=0.0)


def test_an_error_too_can_be_gone_on_from(dataset, whole, tmp_path):
    class Fails(Callback):
        def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
            if trainer.global_step == 7:
                raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        Run(dataset, Fails(), checkpoint=tmp_path / "one.ckpt", trainer=OFTEN)
    seen = Watcher()
    Run(dataset, seen, checkpoint=tmp_path / "one.ckpt").assert_same(whole)
    assert len(seen.batches) == STEPS - 6


def test_one_that_cannot_be_written_leaves_the_one_before(dataset, whole, tmp_path, monkeypatch):
    save, calls = torch.save, []

    def fills_the_disk(content, file):
        calls.append(None)
        if len(calls) == 7:
            file.write(b"half of it")
            raise OSError(errno.ENOSPC, "no space left")
        save(content, file)

    path = tmp_path / "one.ckpt"
    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", fills_the_disk)
        with pytest.raises(StoreError, match=rf"^{path} cannot be written: there is no room left"):
            Run(dataset, checkpoint=path, trainer=OFTEN)
    assert list(tmp_path.iterdir()) == [path]
    seen = Watcher()
    Run(dataset, seen, checkpoint=path).assert_same(whole)
    assert len(seen.batches) == STEPS - 5


def test_torchs_own_error_over_that_of_the_disk_is_seen_through(tmp_path):
    path = tmp_path / "one.ckpt"
    with pytest.raises(StoreError, match="no room left"), files_up_to(50_000):
        _CheckpointFile(None).save_checkpoint({"weights": torch.zeros(100_000)}, path)
    assert list(tmp_path.iterdir()) == []


def test_seconds_are_those_of_all_parts(dataset, tmp_path):
    path = tmp_path / "one.ckpt"
    interrupted(dataset, path, 5)
    saved = torch.load(path, weights_only=True)
    before = saved["callbacks"]["Checkpoints"]["seconds"]
    saved["callbacks"]["Checkpoints"]["seconds"] += 1000.0
    torch.save(saved, path)
    assert before > 0
    assert 1000 + before < Run(dataset, checkpoint=path).fitted.seconds < 2000


def _cut(path):
    path.write_bytes(path.read_bytes()[:-500])


def _flip(path):
    """A bit of the largest part; what lies between parts is padding."""
    content = bytearray(path.read_bytes())
    with ZipFile(path) as file:
        part = max(file.infolist(), key=lambda each: each.file_size)
        with file.open(part) as opened:
            content[content.index(opened.read()) + part.file_size // 2] ^= 1
    path.write_bytes(content)


def _text(path):
    path.write_text("no checkpoint")


def _empty(path):
    torch.save({"callbacks": {}}, path)


@pytest.fixture(scope="module")
def left(dataset, tmp_path_factory):
    """The checkpoint of a training that was interrupted in its fifth step."""
    path = tmp_path_factory.mktemp("left") / "one.ckpt"
    interrupted(dataset, path, 5)
    return path


@pytest.mark.parametrize("damage", [_cut, _flip, _text, _empty])
def test_a_damaged_checkpoint_is_left_aside(dataset, whole, left, tmp_path, caplog, damage):
    path = tmp_path / "one.ckpt"
    shutil.copy(left, path)
    damage(path)
    with caplog.at_level(logging.WARNING):
        Run(dataset, checkpoint=path).assert_same(whole)
    assert len(caplog.records) == 1
    assert "moved aside" in caplog.text
    assert not path.exists()
    assert [p.name.split("-")[0] for p in tmp_path.iterdir()] == ["one.damaged"]


@pytest.mark.parametrize(
    "other",
    [{"seed": 1}, {"recipe": tiny_recipe(epochs=4)}, {"model": replace(TINY, width=4)}, {"subset": 40}],
)
def test_a_checkpoint_of_another_training_is_left_aside(dataset, left, tmp_path, caplog, other):
    options = {name: some(dataset, value) if name == "subset" else value for name, value in other.items()}
    shutil.copy(left, tmp_path / "one.ckpt")
    with caplog.at_level(logging.WARNING):
        Run(dataset, checkpoint=tmp_path / "one.ckpt", **options).assert_same(Run(dataset, **options))
    assert "another training" in caplog.text


class Last(Callback):
    """Calls another callback after all that `fit` adds."""

    def __init__(self, inner):
        self.inner = inner

    def on_train_start(self, trainer, module):
        trainer.callbacks.append(self.inner)
