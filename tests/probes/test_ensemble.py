from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from pytorch_lightning import Callback
from pytorch_lightning.loggers import Logger
from sklearn.metrics import roc_auc_score

from helpers.training import CPU, TINY, normalised, same_state, tiny_dataset, tiny_fit, tiny_probe, tiny_recipe
from winnow.core.errors import MissingEvidenceError
from winnow.datasets.augmentation import Augmentation
from winnow.datasets.targets import TargetImages
from winnow.metrics.aum import AUM
from winnow.metrics.el2n import EL2N
from winnow.metrics.forgetting import Forgetting
from winnow.metrics.gradient_features import one_minus_p
from winnow.metrics.loss import Loss
from winnow.probes import ensemble
from winnow.probes.ensemble import gather, member_keys
from winnow.store.artifacts import ArtifactStore
from winnow.training.callbacks.forgetting import Forgetting as Recorder
from winnow.training.loggers import CSVLog, NoLog

LOGITS, TRAJECTORIES = frozenset({"logits"}), frozenset({"trajectories"})
MOVED = tiny_recipe(augmentation=Augmentation(shift=0.25, flip=True))
PROBE = tiny_probe(recipe=MOVED, epochs=3, evaluate_at=(0, 2, 3), checkpoint_at=(0, 1, 2, 3))


@pytest.fixture(scope="module")
def dataset():
    return tiny_dataset()


@pytest.fixture
def trained(monkeypatch):
    """The seeds of the trainings that gather starts."""
    seeds, fit = [], ensemble.fit

    def counted(*args, seed, **options):
        seeds.append(seed)
        return fit(*args, seed=seed, **options)

    monkeypatch.setattr(ensemble, "fit", counted)
    return seeds


def gathered(dataset, probe, store, needs=LOGITS | TRAJECTORIES, logger=None):
    return gather(dataset, probe, needs=frozenset(needs), store=store, trainer=CPU, logger=logger or NoLog())


@pytest.fixture(scope="module")
def store(dataset, tmp_path_factory):
    """A store with the members of PROBE."""
    store = ArtifactStore(tmp_path_factory.mktemp("store"))
    gathered(dataset, PROBE, store)
    return store


def test_each_member_trains_once(dataset, tmp_path, trained):
    store = ArtifactStore(tmp_path)
    gathered(dataset, tiny_probe(members=2), store)
    assert trained == [tiny_probe().member_seed(member) for member in (0, 1)]
    gathered(dataset, tiny_probe(members=2), store)
    assert len(trained) == 2
    gathered(dataset, tiny_probe(members=3), store)
    assert trained[2:] == [tiny_probe().member_seed(2)]


def test_one_probe_run_serves_every_metric(dataset, tmp_path, trained):
    store = ArtifactStore(tmp_path)
    for metric in (EL2N(), EL2N(variant="window", window=2), Forgetting(), Loss(), AUM()):
        assert metric(gathered(dataset, tiny_probe(), store, metric.needs)).n == dataset.n
    assert len(trained) == 2


@pytest.mark.parametrize("needs", [frozenset(), LOGITS, TRAJECTORIES, LOGITS | TRAJECTORIES])
def test_evidence_has_exactly_what_is_needed(dataset, store, needs):
    evidence = gathered(dataset, PROBE, store, needs)
    there = {field.name for field in fields(evidence) if getattr(evidence, field.name) is not None}
    assert there == {"dataset", "labels", "source", *needs}
    assert evidence.source == (tuple(member_keys(dataset, PROBE)) if needs else ())
    assert evidence.dataset == dataset.fingerprint
    assert np.array_equal(evidence.labels, dataset.train_labels)


def test_shapes(dataset, store):
    evidence = gathered(dataset, PROBE, store)
    assert evidence.trajectories.p_true.shape == (2, 3, dataset.n)
    assert {epoch: logits.shape for epoch, logits in evidence.logits.items()} == dict.fromkeys(
        (0, 2, 3), (2, dataset.n, 3)
    )


def test_trajectories_without_changes(dataset, store):
    probe = tiny_probe(members=1, changes=False)
    (run,) = gathered(dataset, probe, store, TRAJECTORIES).trajectories.runs
    (full,) = gathered(dataset, replace(probe, changes=True), store, TRAJECTORIES).trajectories.runs
    assert run.change_abs is None
    assert np.array_equal(run.margin, full.margin)


def test_trajectories_stay_in_their_files(dataset, store):
    for run in gathered(dataset, PROBE, store, TRAJECTORIES).trajectories.runs:
        array = run.p_true
        while array is not None and not isinstance(array, np.memmap):
            array = array.base
        assert array is not None


def test_logits_are_of_the_weights_of_their_epoch(dataset, store):
    # In evaluation mode and without augmentation, of the canonical images in canonical order.
    evidence, images = gathered(dataset, PROBE, store), normalised(dataset, dataset.train_images)
    for member, key in enumerate(member_keys(dataset, PROBE)):
        artifact = store.load("probe", key)
        for epoch in (0, 2, 3):
            model = TINY.build(dataset.image_shape, dataset.n_classes)
            model.load_state_dict(artifact.tensors(f"weights_{epoch}"))
            with torch.no_grad():
                expected = model.eval()(images).numpy()
            np.testing.assert_allclose(evidence.logits[epoch][member], expected, rtol=1e-3, atol=1e-4)
    assert np.abs(evidence.logits[2] - evidence.logits[3]).max() > 0.01


def test_kept_weights_are_of_the_same_training(dataset, store):
    for member, key in enumerate(member_keys(dataset, PROBE)):
        kept = {epoch: store.load("probe", key).tensors(f"weights_{epoch}") for epoch in PROBE.checkpoint_at}
        seen = {}

        class Keeper(Callback):
            def on_train_start(self, trainer, module, seen=seen):
                seen[0] = {name: value.clone() for name, value in module.model.state_dict().items()}

        final = tiny_fit(dataset, PROBE.training_recipe, seed=PROBE.member_seed(member), callbacks=[Keeper()]).model
        assert same_state(kept[0], seen[0])
        assert same_state(kept[3], final.state_dict())
        steps = {epoch: int(weights["backbone.1.num_batches_tracked"]) for epoch, weights in kept.items()}
        assert steps == {0: 0, 1: 4, 2: 8, 3: 12}


def test_only_asked_and_evaluated_weights_are_kept(dataset, tmp_path):
    store, probe = ArtifactStore(tmp_path), tiny_probe(members=1, checkpoint_at=(1,))
    gathered(dataset, probe, store)
    parts = store.load("probe", member_keys(dataset, probe)[0]).parts()
    assert {part for part in parts if part.startswith(("weights", "logits"))} == {"weights_1", "weights_2", "logits_2"}


def test_trajectories_are_of_the_members(dataset, store):
    evidence = gathered(dataset, PROBE, store, TRAJECTORIES).trajectories
    for member in range(2):
        recorder = Recorder().build(np.arange(dataset.n), dataset.n_classes)
        tiny_fit(dataset, PROBE.training_recipe, seed=PROBE.member_seed(member), callbacks=[recorder])
        for field in fields(evidence):
            one, other = getattr(evidence, field.name)[member], getattr(recorder.trajectory(), field.name)
            assert np.array_equal(one, other), field.name


def test_every_member_opens_a_log_of_its_own(dataset, tmp_path):
    logger = CSVLog(folder=str(tmp_path / "out"))
    gathered(dataset, tiny_probe(), ArtifactStore(tmp_path / "store"), logger=logger)
    names = sorted(path.parent.name for path in (tmp_path / "out").rglob("metrics.csv"))
    assert [name.split("-")[:2] for name in names] == [["probe", "member0"], ["probe", "member1"]]


def test_a_training_that_fails_closes_its_log_and_leaves_nothing(dataset, tmp_path, monkeypatch):
    def fail(*args, **options):
        raise RuntimeError("diverged")

    class Log(NoLog):
        def open(self, name, *, kind, config):
            events.append("open")

        def close(self, logger: Logger | None, row=None, *, failed=False):
            events.append("close failed" if failed else "close")

    events, store = [], ArtifactStore(tmp_path)
    monkeypatch.setattr(ensemble, "fit", fail)
    with pytest.raises(RuntimeError, match="diverged"):
        gathered(dataset, tiny_probe(), store, logger=Log())
    assert events == ["open", "close failed"]
    assert not store.exists("probe", member_keys(dataset, tiny_probe())[0])


def test_planted_mislabelled_examples_are_ranked_hard(tmp_path, trained):
    """From one probe run, el2n and forgetting tell the mislabelled from all other examples, with an AUC above 0.9."""
    dataset = tiny_dataset(240, n_classes=4, hard=0, mislabelled=0.05)
    probe = tiny_probe(members=2, epochs=8, recipe=replace(tiny_recipe(), lr=0.1), evaluate_at=(4, 8))
    store, mislabelled = ArtifactStore(tmp_path), np.isin(np.arange(dataset.n), dataset.planted["mislabelled"])
    assert mislabelled.sum() == 12
    for metric in (EL2N(epoch=4), Forgetting()):
        scores = metric(gathered(dataset, probe, store, metric.needs)).values
        assert roc_auc_score(mislabelled, scores) > 0.9, metric.name
    assert len(trained) == 2


def test_features_are_those_behind_the_last_evaluated_logits(dataset, tmp_path, monkeypatch):
    store, probe, needs = ArtifactStore(tmp_path), tiny_probe(members=2), {"features", "embeddings", "logits"}
    evidence = gathered(dataset, probe, store, needs)
    assert [f.shape for f in evidence.features] == [(dataset.n, evidence.features[0].shape[1])] * 2
    for member, features in enumerate(evidence.features):
        head = store.load("probe", member_keys(dataset, probe)[member]).tensors("weights_2")
        logits = features @ head["head.weight"].numpy().T + head["head.bias"].numpy()
        np.testing.assert_allclose(logits, evidence.logits_at(2)[member], rtol=1e-4, atol=1e-4)
    assert np.array_equal(evidence.embeddings, evidence.features[0])
    monkeypatch.setattr("winnow.probes.passes.pass_into", None)  # passed once: the second time they are read
    assert np.array_equal(gathered(dataset, probe, store, {"embeddings"}).embeddings, evidence.embeddings)


def test_gradient_norms_of_the_asked_epochs_whatever_the_memory(dataset, tmp_path):
    needs, probe = frozenset({"gradient_norms", "input_gradient_norms"}), tiny_probe(members=2, evaluate_at=(0, 2))
    options = {"needs": needs, "epochs": frozenset({0, 2}), "logger": NoLog()}
    evidence = gather(dataset, probe, store=ArtifactStore(tmp_path / "a"), trainer=CPU, **options)
    assert {epoch: norms.shape for epoch, norms in evidence.gradient_norms.items()} == dict.fromkeys(
        (0, 2), (2, dataset.n)
    )
    assert np.array_equal(
        gathered(dataset, probe, ArtifactStore(tmp_path / "a"), needs).gradient_norms[2], evidence.gradient_norms[2]
    )
    tight = replace(CPU, memory_gb=0.002)
    again = gather(dataset, probe, store=ArtifactStore(tmp_path / "b"), trainer=tight, **options)
    for epoch in (0, 2):
        np.testing.assert_allclose(again.gradient_norms[epoch], evidence.gradient_norms[epoch], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(again.input_gradient_norms, evidence.input_gradient_norms, rtol=1e-4, atol=1e-6)


def test_targets_are_passed_through_every_member(dataset, store):
    needs = frozenset({"logits", "projected_gradients", "target_gradients"})
    targets = TargetImages(images=dataset.train_images[[7, 3]], labels=dataset.train_labels[[7, 3]])
    computing = {"store": store, "trainer": CPU, "logger": NoLog()}
    options = {name: {"size": 64, "seed": 1} for name in ("projected_gradients", "target_gradients")}
    evidence = gather(dataset, PROBE, needs=needs, options=options, targets=targets, **computing)
    for k, (projected, theirs) in enumerate(zip(evidence.projected_gradients, evidence.target_gradients, strict=True)):
        expected = -one_minus_p(evidence, k)[:, None] * projected
        np.testing.assert_allclose(theirs, expected[[7, 3]], rtol=1e-3, atol=1e-5)
    with pytest.raises(MissingEvidenceError, match="give the images of a target set"):
        gather(dataset, PROBE, needs=needs, **computing)
