"""Two real processes, connected by gloo, against one."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch

from helpers.parallel import (
    TWO,
    Draws,
    NoBatchNorm,
    SeesIndices,
    all_equal,
    fails_in_rank,
    fed,
    places,
    seen_in_epochs,
)
from helpers.training import CPU, TINY, same_state, state, tiny_dataset, tiny_fit, tiny_recipe
from winnow.core.errors import DatasetError, OptionError
from winnow.core.types import Subset
from winnow.datasets.augmentation import Augmentation
from winnow.datasets.synthetic import Synthetic
from winnow.models.fastnet import FastNet
from winnow.parallel import workers
from winnow.probes.forward import features, pass_into
from winnow.store.artifacts import ArtifactStore
from winnow.training.callbacks.forgetting import Forgetting
from winnow.training.devices import TrainerSpec
from winnow.training.fit import measure
from winnow.training.loggers import CSVLog

N = 61  # not divisible by ranks x batch


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """One that travels as its description."""
    return Synthetic(n=N, n_test=51, n_classes=3).load(ArtifactStore(tmp_path_factory.mktemp("store")))


def test_a_call_reaches_both_and_what_is_the_leaders_stays_there():
    assert TWO.call_on_all(places, leader_only={"kept": 5}, given="all") == [(0, 2, "all", 5), (1, 2, "all", None)]
    assert CPU.call_on_all(places, leader_only={"kept": 5}, given="all") == [(0, 1, "all", 5)]
    assert (workers.rank(), workers.world_size(), workers.is_distributed()) == (0, 1, False)


def test_a_data_set_travels_as_its_description(dataset):
    sent = pickle.dumps(dataset)
    assert len(sent) < 1000
    assert pickle.loads(sent).fingerprint == dataset.fingerprint
    other = dataset.fingerprint.encode()[::-1]  # as a machine finds it that has other files
    with pytest.raises(DatasetError, match="the same files on every machine"):
        pickle.loads(sent.replace(dataset.fingerprint.encode(), other))
    made = tiny_dataset()  # of no description: it travels whole
    assert pickle.loads(pickle.dumps(made)).fingerprint == made.fingerprint


def test_a_recorder_travels_without_its_tables():
    recorder = Forgetting().build(np.arange(1000), 1000)
    sent = pickle.dumps(recorder)
    assert len(sent) < 20_000
    assert pickle.loads(sent).softmax.shape == (1000, 1000)


@pytest.mark.parametrize("stop_after", [100, 3, 1])
@pytest.mark.parametrize("n_classes", [2, 7])
def test_trajectories_are_equal_bit_for_bit(stop_after, n_classes):
    rng = np.random.default_rng(1)
    indices = np.sort(rng.choice(200, size=N, replace=False))
    given = {"indices": indices, "labels": rng.integers(0, n_classes, N), "n_classes": n_classes, "epochs": 6}
    given |= {"batch": 7, "stop_after": stop_after}
    one, one_events = fed(**given)
    two, two_events = TWO.call_on_all(fed, leader_only={}, **given)
    assert all_equal(one, two)
    assert np.array_equal(one_events, two_events)
    assert one_events.max() > 1
    unseen = np.isnan(two.p_true[-1])
    assert unseen.sum() == max(0, N - 7 * stop_after)


@pytest.mark.parametrize("batch_size", [7, 16, 61])
def test_loaders_give_every_example_once_an_epoch(dataset, batch_size):
    options = {"dataset": dataset, "epochs": 3, "batch_size": batch_size, "seed": 1}
    first, second = TWO.call_on_all(seen_in_epochs, leader_only={}, **options)
    (one,) = seen_in_epochs(**options)
    for epoch in range(3):
        assert sorted(first[epoch] + second[epoch]) == list(range(N)) == sorted(one[epoch])
    assert first[0] != first[1]


def test_a_training_sees_every_example_once_an_epoch(dataset):
    watcher = SeesIndices()
    fitted = tiny_fit(dataset, tiny_recipe(epochs=3, batch_size=16), trainer=TWO, callbacks=[watcher])
    first, second = watcher.steps
    assert len(first) == len(second) == 3 * 4
    for epoch in range(3):
        seen = [index for steps in (first, second) for step in steps[4 * epoch : 4 * epoch + 4] for index in step]
        assert sorted(seen) == list(range(N))
    assert fitted.examples_seen == 3 * N
    assert fitted.device.startswith("2 x ")


def trained(dataset, *, trainer, model, **recipe):
    weights = np.random.default_rng(3).uniform(0.1, 3, N)
    subset = Subset(np.arange(N), weights / weights.mean(), np.zeros(N, dtype=bool), N)
    recorder = Forgetting().build(subset.indices, dataset.n_classes)
    options = {"augmentation": Augmentation(shift=0.2, flip=True, cutout=0.3)} | recipe
    fitted = tiny_fit(
        dataset, tiny_recipe(epochs=3, **options), subset=subset, trainer=trainer, model=model, callbacks=[recorder]
    )
    return fitted.model, recorder.trajectory()


def test_each_process_draws_its_own_noise(dataset):
    """Such as the masks of dropout: with those of the first, the others would drop the same of their examples."""
    draws = Draws()
    tiny_fit(dataset, trainer=TWO, model=NoBatchNorm(), callbacks=[draws])
    first, second = draws.drawn
    assert len({*first, *second}) == len(first) + len(second) == 2 * 8


def test_the_logged_loss_is_that_of_the_whole_batches(dataset, tmp_path):
    logged = {}
    for spec in (CPU, TWO):
        logger = CSVLog(folder=str(tmp_path / str(spec.devices)))
        opened = logger.open("one", kind="cell", config={})
        tiny_fit(dataset, tiny_recipe(epochs=3), trainer=spec, model=NoBatchNorm(), logger=opened)
        logger.close(opened)
        (file,) = tmp_path.glob(f"{spec.devices}/**/metrics.csv")
        logged[spec] = pd.read_csv(file)["train_loss"].dropna()
    assert len(logged[TWO]) == 3
    np.testing.assert_allclose(logged[TWO], logged[CPU], rtol=1e-4)


def furthest(one, other):
    one, other = state(one), state(other)
    return max((one[name].double() - other[name].double()).abs().max().item() for name in one)


@pytest.mark.parametrize("batch_size", [16, 7])
def test_the_weighted_loss_is_that_of_one_process(dataset, batch_size):
    one, recorded = trained(dataset, trainer=CPU, model=NoBatchNorm(), batch_size=batch_size)
    two, together = trained(dataset, trainer=TWO, model=NoBatchNorm(), batch_size=batch_size)
    assert furthest(one, two) < 1e-6
    np.testing.assert_allclose(together.loss, recorded.loss, rtol=1e-4, atol=1e-6)
    assert furthest(one, NoBatchNorm().build(dataset.image_shape, 3)) > 0.1


def test_batches_of_one_stream_and_an_average_are_those_of_one_process(dataset):
    """Eleven examples in batches of 16: some recur in a batch, of which each process has its half."""
    recipe = tiny_recipe(total_steps=4, batches="constant", ema=0.5, augmentation=Augmentation(shift=0.125))
    subset = Subset(np.arange(5, 16), np.linspace(0.5, 1.5, 11), np.zeros(11, dtype=bool), N)
    one, two = (tiny_fit(dataset, recipe, subset=subset, model=NoBatchNorm(), trainer=spec) for spec in (CPU, TWO))
    assert furthest(one.model, two.model) < 1e-6
    assert (one.examples_seen, two.examples_seen) == (64, 64)


def test_synchronised_batch_norm_is_that_of_one_process(dataset):
    synchronised = TrainerSpec(accelerator="cpu", progress=False, devices=2, sync_batchnorm=True)
    one, recorded = trained(dataset, trainer=CPU, model=TINY)
    two, together = trained(dataset, trainer=synchronised, model=TINY)
    assert furthest(one, two) < 1e-5
    np.testing.assert_allclose(together.loss, recorded.loss, rtol=1e-3, atol=1e-5)
    apart, _ = trained(dataset, trainer=TWO, model=TINY)
    assert furthest(one, apart) > 1e-3
    assert state(two).keys() == state(one).keys()


def test_fastnet_by_its_recipe_is_that_of_one_process(dataset):
    """Whitened by the same images, mirrored in turn, looking ahead."""
    synchronised = TrainerSpec(accelerator="cpu", progress=False, devices=2, sync_batchnorm=True)
    augmentation = Augmentation(shift=0.125, flip=True, alternate=True)
    recipe = tiny_recipe(lookahead=3, norm_bias_rate=8, augmentation=augmentation)
    one, two = (tiny_fit(dataset, recipe, model=FastNet(width=4), trainer=spec).model for spec in (CPU, synchronised))
    assert torch.equal(one.backbone[0].weight, two.backbone[0].weight)
    assert furthest(one, two) < 1e-5


def test_the_test_error_is_exact(dataset):
    model = tiny_fit(dataset).model
    one = measure(dataset, model, recipe=tiny_recipe(), trainer=CPU)
    two = measure(dataset, model, recipe=tiny_recipe(), trainer=TWO)
    assert one.error == two.error
    assert (one.wrong, one.tested) == (two.wrong, two.tested)
    assert two.loss == pytest.approx(one.loss, rel=1e-6)


@pytest.mark.parametrize("batch_size", [None, 1, 8])
def test_passes_give_every_example_once(dataset, batch_size):
    models = [tiny_fit(dataset, seed=seed).model for seed in range(2)]
    width = models[0].head.in_features
    one, two = (np.full((2, N, width), np.nan, dtype=np.float32) for _ in range(2))
    options = {"output": features, "batch_size": batch_size, "channels_last": True}
    pass_into(one, models, dataset, trainer=CPU, **options)
    pass_into(two, models, dataset, trainer=TWO, **options)
    assert np.isfinite(two).all()
    np.testing.assert_allclose(two, one, rtol=1e-5, atol=1e-6)


def test_fewer_examples_than_processes_in_a_batch_are_refused_in_training_only(dataset):
    three = Subset(np.arange(3), np.ones(3), np.zeros(3, dtype=bool), N)
    with pytest.raises(OptionError, match="its smallest batch has 1"):
        tiny_fit(dataset, tiny_recipe(batch_size=1), subset=three, trainer=TWO)


def test_the_leader_works_alone_between_calls(dataset, monkeypatch):
    TWO.call_on_all(places, leader_only={"kept": 0}, given=0)
    alone = tiny_fit(dataset).model
    monkeypatch.setattr(workers.state, "current", None)  # as before any call
    assert same_state(state(alone), state(tiny_fit(dataset).model))


def test_a_failure_in_either_ends_the_call_and_the_next_one_works(capfd):
    with pytest.raises(ValueError, match="rank 0 fails"):
        TWO.call_on_all(fails_in_rank, leader_only={}, failing=0)
    assert TWO.call_on_all(fails_in_rank, leader_only={}, failing=5) == 2  # by a follower whose words are captured here
    with pytest.raises(RuntimeError):
        TWO.call_on_all(fails_in_rank, leader_only={}, failing=1)
    assert "rank 1 fails" in capfd.readouterr().err
    assert workers.state.current is None


def test_more_nodes_need_a_starter(monkeypatch):
    monkeypatch.setattr(workers.state, "current", None)
    with pytest.raises(OptionError, match="torchrun"):
        TrainerSpec(accelerator="cpu", devices=1, nodes=2).call_on_all(places, leader_only={"kept": 0}, given=0)
