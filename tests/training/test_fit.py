import io
import logging
import warnings
from contextlib import redirect_stdout
from itertools import pairwise

import numpy as np
import pytest
import torch
from pytorch_lightning import Callback

from helpers.training import CPU, TINY, Watcher, same_state, state, tiny_dataset, tiny_fit, tiny_recipe
from winnow.core.errors import OptionError
from winnow.core.types import Subset
from winnow.datasets.augmentation import Augmentation
from winnow.parallel.workers import state as group_state
from winnow.parallel.workers.place import Place
from winnow.parallel.workers.state import Group
from winnow.training import trainers
from winnow.training.devices import TrainerSpec, quiet
from winnow.training.fit import measure


@pytest.fixture(scope="module")
def dataset():
    return tiny_dataset()


def first(m, n):
    return Subset(np.arange(m), np.ones(m), np.zeros(m, dtype=bool), n)


def test_a_seed_fixes_every_bit(dataset):
    recipe = tiny_recipe(augmentation=Augmentation(shift=0.125, flip=True, cutout=0.25))
    runs = []
    for seed in (3, 3, 4):
        torch.rand(5)  # whatever state the caller is in
        runs.append(state(tiny_fit(dataset, recipe, seed=seed).model))
    assert same_state(runs[0], runs[1])
    assert not same_state(runs[0], runs[2])


def test_the_seed_sets_weights_and_order(dataset):
    seen = {}
    for seed in (0, 1):
        watcher = Watcher()
        tiny_fit(dataset, tiny_recipe(epochs=1), seed=seed, callbacks=[watcher])
        seen[seed] = torch.cat([batch.index for batch in watcher.batches])
    assert not torch.equal(seen[0], seen[1])
    assert torch.equal(seen[0].sort().values, seen[1].sort().values)


def test_epochs_have_their_own_order(dataset):
    watcher = Watcher()
    tiny_fit(dataset, tiny_recipe(epochs=3), callbacks=[watcher])
    index = torch.cat([batch.index for batch in watcher.batches]).reshape(3, dataset.n)
    assert all(torch.equal(epoch.sort().values, torch.arange(dataset.n)) for epoch in index)
    assert all(not torch.equal(one, other) for one, other in pairwise(index))


def test_the_callers_random_state_is_left_alone(dataset):
    torch.manual_seed(7)
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    model = tiny_fit(dataset).model
    measure(dataset, model, recipe=tiny_recipe(), trainer=CPU)
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], numpy_before)  # noqa: NPY002


@pytest.mark.parametrize(
    ("budget", "m", "steps", "examples"),
    [
        ("epochs", 60, 8, 120),  # two epochs of four batches
        ("steps", 60, 8, 120),
        ("epochs", 20, 4, 40),
        ("steps", 20, 8, 80),  # four epochs of two batches of 10
        ("steps", 33, 8, 11 * 8),  # two epochs of three batches of 11, and two batches of a third
        ("steps", 35, 8, 2 * 35 + 12 + 12),  # batches of 12, 12 and 11; the last epoch lacks one of 11
        ("steps", 5, 8, 40),
    ],
)
def test_steps_and_examples_seen(dataset, budget, m, steps, examples):
    watcher = Watcher()
    recipe = tiny_recipe(budget=budget)
    fitted = tiny_fit(dataset, recipe, subset=first(m, dataset.n), callbacks=[watcher])
    assert len(watcher.batches) == fitted.steps == recipe.steps(m, dataset.n) == steps
    assert fitted.examples_seen == sum(len(batch.index) for batch in watcher.batches) == examples
    assert max(int(batch.index.max()) for batch in watcher.batches) == m - 1


def test_every_step_trains_and_the_last_is_returned(dataset):
    # The rate is high enough for the loss to jump about, so the last step is not the best one.
    watcher = Watcher()
    fitted = tiny_fit(dataset, tiny_recipe(epochs=3, lr=2.0, schedule="constant"), callbacks=[watcher])
    losses = [output["loss"].item() for output in watcher.outputs]
    assert min(losses) < losses[-1]
    assert same_state(state(fitted.model), watcher.states[-1])
    assert all(not torch.equal(a["head.weight"], b["head.weight"]) for a, b in pairwise(watcher.states))


def test_the_schedule_moves_with_every_step(dataset):
    class Rates(Watcher):
        rates: list[float]

        def on_train_batch_start(self, trainer, module, batch, batch_idx):
            self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    watcher = Rates()
    watcher.rates = []
    tiny_fit(dataset, tiny_recipe(budget="steps"), subset=first(20, dataset.n), callbacks=[watcher])
    assert len(set(watcher.rates)) == 8
    assert max(watcher.rates) > 0.9 * 0.05
    assert watcher.rates[-1] < 0.001 * 0.05


def test_the_average_of_the_weights_is_what_is_returned(dataset):
    """By hand, from the weights after each step; batch norm's statistics are averaged too."""
    weights = []

    class Watch(Callback):
        def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
            weights.append(state(module.model))

    averaged = state(tiny_fit(dataset, tiny_recipe(ema=0.75), callbacks=[Watch()]).model)
    assert same_state(weights[-1], state(tiny_fit(dataset, tiny_recipe()).model))
    expected = {name: value for name, value in weights[0].items() if value.is_floating_point()}  # no counters
    for each in weights[1:]:
        expected = {name: 0.75 * value + 0.25 * each[name] for name, value in expected.items()}
    for name, value in expected.items():
        torch.testing.assert_close(averaged[name], value, rtol=1e-5, atol=1e-6)
    assert not same_state(averaged, weights[-1])


def test_a_model_goes_on_from_the_average_of_its_weights(dataset):
    """By hand: eight steps, of which the second, fifth and eighth look ahead, the first of them to itself."""
    recipe = tiny_recipe(lookahead=3)
    watcher = Watcher()
    model = tiny_fit(dataset, recipe, callbacks=[watcher]).model
    assert len(watcher.states) == 8
    assert same_state(watcher.states[-1], state(model))
    plain = Watcher()
    tiny_fit(dataset, tiny_recipe(), callbacks=[plain])
    assert all(same_state(one, other) for one, other in zip(watcher.states[:4], plain.states[:4], strict=True))
    decay = 0.95**3 * (5 / 8) ** 3
    for name, value in watcher.states[4].items():
        if value.is_floating_point():
            expected = decay * plain.states[1][name] + (1 - decay) * plain.states[4][name]
            torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-6)
    assert not same_state(watcher.states[4], plain.states[4])


def test_it_learns():
    dataset = tiny_dataset(240, hard=0, mislabelled=0)
    model = tiny_fit(dataset, tiny_recipe(epochs=4)).model
    measured = measure(dataset, model, recipe=tiny_recipe(), trainer=CPU)
    assert measured.error < 0.1
    assert measured.loss < 0.5


def test_bfloat16_trains(dataset):
    class Inner(Watcher):
        kinds: set[torch.dtype]

        def on_fit_start(self, trainer, module):
            module.model.head.register_forward_hook(lambda _module, _inputs, out: self.kinds.add(out.dtype))

    dataset = tiny_dataset(240, hard=0, mislabelled=0)
    inner = Inner()
    inner.kinds = set()
    fitted = tiny_fit(dataset, tiny_recipe(epochs=4, precision="bfloat16"), callbacks=[inner])
    assert inner.kinds == {torch.bfloat16}
    assert {p.dtype for p in fitted.model.parameters()} == {torch.float32}
    assert {output["logits"].dtype for output in inner.outputs} == {torch.float32}
    assert measure(dataset, fitted.model, recipe=tiny_recipe(), trainer=CPU).error < 0.1


def test_channels_last_changes_the_layout_only(dataset):
    models = {}
    for on in (True, False):
        models[on] = tiny_fit(dataset, tiny_recipe(channels_last=on)).model
        second = models[on].backbone[4].weight
        assert second.is_contiguous(memory_format=torch.channels_last) is on
        assert second.is_contiguous() is not on
    for one, other in zip(models[True].state_dict().values(), models[False].state_dict().values(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_writes_no_file_and_says_nothing(dataset, tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    out = io.StringIO()
    with redirect_stdout(out), warnings.catch_warnings(), caplog.at_level(logging.INFO):
        warnings.simplefilter("error")
        model = tiny_fit(dataset).model
        measure(dataset, model, recipe=tiny_recipe(), trainer=CPU)
    assert list(tmp_path.iterdir()) == []
    assert out.getvalue() == ""
    assert caplog.text == ""


def test_on_gpus_each_process_takes_its_own(monkeypatch):
    asked = []
    monkeypatch.setattr(TrainerSpec, "on_gpu", True)
    monkeypatch.setattr(trainers, "_trainer", lambda spec, **options: asked.append(options["devices"]))
    group = Group(Place(rank=13, world=16, local=5, node=1, address="", port=0))
    monkeypatch.setattr(group_state, "current", group)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    spec = TrainerSpec(devices=8, nodes=2)
    trainers.joint_trainer(spec)
    group.inside = True
    trainers.solo_trainer(spec)
    trainers.joint_trainer(spec)
    assert asked == [[5], [5], 8]


def test_quiet_puts_the_levels_back():
    logger = logging.getLogger("pytorch_lightning")
    before = logger.level
    with quiet():
        assert logger.level == logging.WARNING
    assert logger.level == before


def test_bad_trainer(monkeypatch):
    with pytest.raises(OptionError, match="auto, cpu, gpu"):
        TrainerSpec(accelerator="tpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(OptionError, match=r"trainer\.accelerator=gpu.*no GPU"):
        TrainerSpec(accelerator="gpu")


def test_seconds_are_counted(dataset):
    assert tiny_fit(dataset, tiny_recipe(epochs=1), model=TINY).seconds > 0
