"""The steps of a training are those of Lightning's own loop, bit for bit."""

from dataclasses import replace

import pytest
import torch
from pytorch_lightning import Callback
from pytorch_lightning.loggers.logger import DummyLogger
from pytorch_lightning.loops.training_epoch_loop import _TrainingEpochLoop

from helpers.training import CPU, TINY, same_state, state, tiny_dataset, tiny_fit, tiny_recipe
from winnow.core.types import Subset
from winnow.datasets.augmentation import Augmentation
from winnow.probes.embeddings.simclr import SimCLR
from winnow.probes.embeddings.simclr_training import train
from winnow.training import trainers
from winnow.training.callbacks.forgetting import FIELDS, Forgetting
from winnow.training.module import ClassifierModule

HOOKS = [name for name in vars(Callback) if name.startswith("on_")]


def plain(value):
    """What can be compared: the bytes of tensors, and plain values, in whatever holds them; else the type."""
    if isinstance(value, torch.Tensor):
        return value.dtype, value.detach().flatten().view(torch.uint8).numpy().tobytes()
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items() if name != "seconds"}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return value if isinstance(value, int | float | str) else type(value)


class Everything(Callback):
    """Notes each hook, what it was given, where the training then was and what the model then weighed."""

    def __init__(self):
        self.notes = []

    def _note(self, name, trainer, module, arguments):
        loop = trainer.fit_loop.epoch_loop
        counters = {name: part for name, part in loop.state_dict().items() if "val_loop" not in name}
        where = (trainer.global_step, trainer.current_epoch, loop.batch_idx, loop._batches_that_stepped, counters)
        weights = [plain([p, p.grad]) for p in module.parameters()]
        given = plain([*arguments, trainer.callback_metrics])
        self.notes.append((name, where, module._current_fx_name, weights, given))


for name in HOOKS:
    if name not in ("on_load_checkpoint",):
        setattr(Everything, name, lambda self, trainer, module, *rest, _n=name: self._note(_n, trainer, module, rest))


class LogsSteps(Callback):
    """Logs in some hooks of a step, and overrides no other."""

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        if batch_idx == 1:
            module.log("brightest", batch.image.max(), on_step=True, on_epoch=True)

    def on_before_optimizer_step(self, trainer, module, optimiser):
        module.log("rate", optimiser.param_groups[0]["lr"])


class Lines(DummyLogger):
    """Keeps what was logged."""

    def __init__(self):
        super().__init__()
        self.lines = []

    def log_metrics(self, metrics, step):
        self.lines.append((dict(metrics), step))


AUGMENTED = Augmentation(shift=0.125, flip=True)
TRAININGS = {
    "float32": (tiny_recipe(augmentation=AUGMENTED), ()),
    "bfloat16": (tiny_recipe(augmentation=AUGMENTED, precision="bfloat16", ema=0.9), ()),
    "logging": (tiny_recipe(schedule="constant"), (LogsSteps,)),
}


@pytest.mark.parametrize("name", TRAININGS)
def test_as_lightning_takes_them(name, monkeypatch, tmp_path):
    dataset, (recipe, callbacks) = tiny_dataset(), TRAININGS[name]
    often = replace(CPU, checkpoint_seconds=1e-9, checkpoint_share=1)
    # A hook of the module's own is called after those of the callbacks.
    monkeypatch.setattr(ClassifierModule, "on_after_backward", lambda self: self.model.head.bias.grad.mul_(0.5))

    def trained(folder):
        seen, lines = Everything(), Lines()
        recorder = Forgetting().build(Subset.full(dataset.n).indices, dataset.n_classes)
        given = [seen, recorder, *(callback() for callback in callbacks)]
        options = {"callbacks": given, "logger": lines, "checkpoint": tmp_path / folder / "one.ckpt", "trainer": often}
        model = tiny_fit(dataset, recipe, **options).model
        return state(model), seen.notes, lines.lines, {f: getattr(recorder.trajectory(), f) for f in FIELDS}

    weights, notes, lines, rows = trained("lean")
    with monkeypatch.context() as patch:
        patch.setattr(trainers, "EpochLoop", _TrainingEpochLoop)
        expected_weights, expected_notes, expected_lines, expected_rows = trained("lightning")
    assert same_state(weights, expected_weights)
    assert [note[:2] for note in notes] == [note[:2] for note in expected_notes]
    assert notes == expected_notes
    assert lines == expected_lines
    for field in FIELDS:
        assert rows[field].tobytes() == expected_rows[field].tobytes()
    called = [note[0] for note in notes]
    assert called.count("on_before_optimizer_step") == called.count("on_train_batch_end") == 8


def test_views_are_trained_on_as_lightning_does(monkeypatch, tmp_path):
    spec = SimCLR(model=TINY, epochs=2, batch_size=16)
    asked = {"training": "one", "trainer": CPU, "logger": None}
    lean = train(spec, tiny_dataset(), checkpoint=tmp_path / "lean.ckpt", **asked)
    monkeypatch.setattr(trainers, "EpochLoop", _TrainingEpochLoop)
    lightnings = train(spec, tiny_dataset(), checkpoint=tmp_path / "lightning.ckpt", **asked)
    assert lean.losses == lightnings.losses
    assert same_state(state(lean.model), state(lightnings.model))
