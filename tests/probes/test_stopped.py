"""probe.stop_after: a member that ends early in its schedule, and a longer one that goes on from it."""

from dataclasses import fields, replace

import numpy as np
import pytest

from helpers.jpegs import make_jpegs
from helpers.training import CPU, Watcher, normalised, same_state, tiny_dataset, tiny_fit, tiny_probe, tiny_recipe
from winnow.core.types import Subset
from winnow.datasets.augmentation import Augmentation
from winnow.datasets.imagefolder import ImageFolder
from winnow.probes import ensemble
from winnow.probes.ensemble import gather, member_keys
from winnow.probes.subset_runs import run_keys
from winnow.store.artifacts import ArtifactStore
from winnow.training.loggers import NoLog

MOVED = tiny_recipe(augmentation=Augmentation(shift=0.25, flip=True))
WHOLE = tiny_probe(members=1, recipe=MOVED, epochs=5, evaluate_at=(2, 5), checkpoint_at=(4,))
STEPS = 4  # of an epoch


def stopped(after, **options):
    return replace(WHOLE, **({"stop_after": after, "evaluate_at": None, "checkpoint_at": ()} | options))


@pytest.fixture(scope="module")
def dataset():
    return tiny_dataset()


@pytest.fixture
def steps(monkeypatch):
    """The steps that each training took itself."""
    taken, fit = [], ensemble.fit

    def counted(*args, callbacks, **options):
        watcher = Watcher()
        fitted = fit(*args, callbacks=[*callbacks, watcher], **options)
        taken.append(len(watcher.batches))
        return fitted

    monkeypatch.setattr(ensemble, "fit", counted)
    return taken


def trained(dataset, probe, store):
    needs = frozenset({"logits", "trajectories"}) if probe.evaluated else frozenset({"trajectories"})
    evidence = gather(dataset, probe, needs=needs, store=store, trainer=CPU, logger=NoLog())
    return evidence, store.load("probe", member_keys(dataset, probe)[0])


def assert_same(one, other):
    (evidence, artifact), (expected, whole) = one, other
    assert evidence.logits.keys() == expected.logits.keys()
    for epoch in expected.logits:
        np.testing.assert_array_equal(evidence.logits[epoch], expected.logits[epoch])
    for field in fields(expected.trajectories):
        np.testing.assert_array_equal(*(getattr(each.trajectories, field.name) for each in (evidence, expected)))
    assert artifact.parts() - {"continuation"} == whole.parts() - {"continuation"}
    for name in (part for part in whole.parts() if part.startswith("weights")):
        assert same_state(artifact.tensors(name), whole.tensors(name))


@pytest.fixture(scope="module")
def whole(dataset, tmp_path_factory):
    return trained(dataset, WHOLE, ArtifactStore(tmp_path_factory.mktemp("whole")))


def test_a_stopped_member_is_the_beginning_of_the_longer_one(dataset, whole, tmp_path, steps):
    evidence, artifact = trained(dataset, stopped(2), ArtifactStore(tmp_path))
    assert steps == [2 * STEPS]
    assert evidence.trajectories.epochs == 2
    np.testing.assert_array_equal(evidence.logits[2], whole[0].logits[2])
    np.testing.assert_array_equal(evidence.trajectories.loss, whole[0].trajectories.loss[:, :2])
    assert same_state(artifact.tensors("weights_2"), whole[1].tensors("weights_2"))


def test_it_is_gone_on_from_to_the_same_bits(dataset, whole, tmp_path, steps):
    store = ArtifactStore(tmp_path)
    _, first = trained(dataset, stopped(1), store)
    trained(dataset, stopped(3, checkpoint_at=(2,)), store)  # from the first
    files = {path: path.read_bytes() for path in first.folder.iterdir()}
    assert_same(trained(dataset, WHOLE, store), whole)  # from the longest
    assert steps == [STEPS, 2 * STEPS, 2 * STEPS]
    assert {path: path.read_bytes() for path in first.folder.iterdir()} == files
    assert len(store.keys("probe")) == 3


AVERAGED = tiny_recipe(ema=0.6, schedule="step", decay_at=(0.3, 0.7), warmup=0.1, augmentation=MOVED.augmentation)


@pytest.mark.parametrize("streamed", [False, True])
def test_with_an_average_of_the_weights_and_images_in_files_too(dataset, tmp_path, steps, streamed):
    probe = replace(WHOLE, recipe=AVERAGED)
    if streamed:
        root = make_jpegs(tmp_path / "photos")
        dataset = ImageFolder(root=str(root), storage="stream", size=8, workers=0).load(ArtifactStore(tmp_path))
    at_once = trained(dataset, probe, ArtifactStore(tmp_path / "at once"))
    store = ArtifactStore(tmp_path / "gone on")
    trained(dataset, replace(probe, stop_after=2, evaluate_at=None, checkpoint_at=()), store)
    assert_same(trained(dataset, probe, store), at_once)
    epoch = 2 if streamed else STEPS
    assert steps == [5 * epoch, 2 * epoch, 3 * epoch]


def test_one_that_failed_after_its_last_step_is_gone_on_from_too(dataset, whole, tmp_path, steps, monkeypatch):
    def fails(*args, **options):
        raise RuntimeError("out of memory")

    store, often = ArtifactStore(tmp_path), replace(CPU, checkpoint_seconds=1e-9)
    with monkeypatch.context() as patch:
        patch.setattr(ensemble, "pass_into", fails)
        with pytest.raises(RuntimeError, match="out of memory"):
            gather(dataset, stopped(2), needs=frozenset({"logits"}), store=store, trainer=often, logger=NoLog())
    trained(dataset, stopped(2), store)
    assert_same(trained(dataset, WHOLE, store), whole)
    assert steps == [2 * STEPS, 0, 3 * STEPS]


@pytest.mark.parametrize("evaluate_at", [None, ()])
def test_the_last_weights_of_a_stopped_member_are_there_in_any_case(dataset, whole, tmp_path, steps, evaluate_at):
    store = ArtifactStore(tmp_path)
    trained(dataset, stopped(2, evaluate_at=evaluate_at), store)
    assert_same(trained(dataset, WHOLE, store), whole)
    assert steps == [2 * STEPS, 3 * STEPS]


def test_one_that_lacks_an_epoch_or_kept_nothing_is_not_gone_on_from(dataset, whole, tmp_path, steps):
    store = ArtifactStore(tmp_path)
    trained(dataset, stopped(2), store)
    trained(dataset, stopped(4), store)  # from 2; without its weights
    trained(dataset, stopped(3, checkpoint_at=(2,), continuable=False), store)  # from 2
    trained(dataset, replace(stopped(1), seed=1), store)
    assert_same(trained(dataset, WHOLE, store), whole)  # from 2 again
    trained(dataset, replace(WHOLE, evaluate_at=(0, 5)), store)  # nobody kept 0
    assert [taken // STEPS for taken in steps] == [2, 2, 1, 1, 3, 5]


@pytest.mark.parametrize("damage", ["file", "version"])
def test_what_cannot_be_read_is_not_gone_on_from(dataset, whole, tmp_path, steps, monkeypatch, damage):
    store = ArtifactStore(tmp_path)
    _, first = trained(dataset, stopped(2), store)
    if damage == "file":
        first.continuation.write_bytes(first.continuation.read_bytes()[:-100])
    else:
        monkeypatch.setattr("winnow.training.checkpoint.FORMAT", 0)
    assert_same(trained(dataset, WHOLE, store), whole)
    assert steps == [2 * STEPS, 5 * STEPS]
    assert first.folder.exists() == (damage == "version")


def test_a_stop_is_in_the_keys_and_none_is_not(dataset):
    assert member_keys(dataset, WHOLE) == member_keys(dataset, stopped(5, evaluate_at=(2, 5), checkpoint_at=(4,)))
    assert "stop" not in member_keys(dataset, WHOLE)[0]
    several = [WHOLE, stopped(3), stopped(2), stopped(3, evaluate_at=(1,)), stopped(3, checkpoint_at=(1,))]
    assert len({member_keys(dataset, probe)[0] for probe in several}) == 5
    assert member_keys(dataset, stopped(3, changes=False)) != member_keys(dataset, stopped(3))
    assert member_keys(dataset, stopped(3, continuable=False)) == member_keys(dataset, stopped(3))
    assert len({run_keys(dataset, probe)[0] for probe in several}) == 3  # they are not evaluated in between


def test_models_of_random_parts_stop_too(dataset, tmp_path):
    probe, store = stopped(2), ArtifactStore(tmp_path)
    gather(dataset, probe, needs=frozenset({"subset_runs"}), store=store, trainer=CPU, logger=NoLog())
    (key,) = run_keys(dataset, probe)
    run, images = store.load("subset_run", key), normalised(dataset, dataset.train_images)
    inside = np.flatnonzero(run.array("membership"))
    subset = Subset(inside, np.ones(inside.size), np.zeros(inside.size, dtype=bool), dataset.n)
    fitted = tiny_fit(dataset, probe.training_recipe, subset=subset, seed=probe.member_seed(0), stop_after=2)
    assert (fitted.steps, fitted.examples_seen) == (2 * 3, 2 * 42)  # 42 examples in three batches
    predicted = fitted.model.eval()(images).argmax(dim=1).numpy()
    np.testing.assert_array_equal(run.array("correct"), predicted == dataset.train_labels)
