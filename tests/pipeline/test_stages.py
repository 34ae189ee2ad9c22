"""What training a subset leaves and says, besides the test error."""

import json
import logging
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from helpers.training import CPU, TINY, tiny_dataset, tiny_fit, tiny_probe, tiny_recipe
from winnow import pipeline
from winnow.core.errors import MissingEvidenceError, OptionError
from winnow.core.types import Subset
from winnow.datasets.synthetic import Synthetic
from winnow.metrics.random import Random as RandomScores
from winnow.models.resnet_torchvision import ResNetTorchvision
from winnow.pipeline import CellSpec
from winnow.selectors.alpha import Fixed
from winnow.selectors.compression import Count
from winnow.selectors.random import Random
from winnow.store.artifacts import ArtifactStore
from winnow.store.checksums import provenance_checksum, sha256
from winnow.training.devices import TrainerSpec
from winnow.training.fit import check_batches

ENOUGH = tiny_recipe(epochs=13, budget="steps")  # 52 steps, for which no warning is given


@pytest.fixture(scope="module")
def dataset():
    return tiny_dataset()


@pytest.fixture
def store(tmp_path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "artifacts")


def of_classes(dataset, *labels, m=None):
    """The first m examples of these classes."""
    indices = np.flatnonzero(np.isin(dataset.train_labels, labels))[:m]
    return Subset(indices, np.ones(indices.size), np.zeros(indices.size, dtype=bool), dataset.n)


def train(dataset, subset, store, **options):
    default = {"model": TINY, "recipe": tiny_recipe(epochs=1), "trainer": CPU}
    return pipeline.train_subset(dataset, subset, **(default | options), store=store)


def test_each_class_has_its_error_and_the_worst_is_in_the_result(dataset, store):
    result = train(dataset, of_classes(dataset, 0, 1), store)
    errors = pipeline.load_class_errors(result.key, store=store)
    assert list(errors.columns) == ["class", "name", "n_test", "test_error"]
    assert errors["class"].tolist() == [0, 1, 2]
    assert errors["name"].tolist() == list(dataset.class_names)
    assert errors["n_test"].tolist() == np.bincount(dataset.test_labels).tolist()
    mean = (errors["n_test"] * errors["test_error"]).sum() / dataset.n_test
    assert mean == pytest.approx(result.test_error, abs=1e-12)
    assert result.worst_class_error == errors["test_error"].max() == errors["test_error"][2] == 1


def test_a_model_of_a_version_that_did_not_record_them_is_loaded(dataset, store):
    subset = of_classes(dataset, 0, 1, 2)
    new = train(dataset, subset, store)
    folder = store.path("model", new.key)
    (folder / "class_errors.parquet").unlink()
    result = json.loads((folder / "result.json").read_text())
    del result["worst_class_error"]
    (folder / "result.json").write_text(json.dumps(result))
    facts = json.loads((folder / "provenance.json").read_text())
    del facts["sha256"]["class_errors.parquet"]
    facts["sha256"]["result.json"] = sha256(folder / "result.json")
    (folder / "provenance.json").write_text(json.dumps(facts))
    (folder / "provenance.sha256").write_text(provenance_checksum(folder))
    old = train(dataset, subset, store)
    assert (old.test_error, old.seconds, old.worst_class_error) == (new.test_error, new.seconds, None)
    with pytest.raises(MissingEvidenceError, match="before errors were recorded by class"):
        pipeline.load_class_errors(new.key, store=store)
    with pytest.raises(MissingEvidenceError, match="no trained model nothing"):
        pipeline.load_class_errors("nothing", store=store)


def cell(count, **options):
    default = {
        "dataset": Synthetic(n=60, n_test=50, n_classes=3),
        "model": TINY,
        "recipe": ENOUGH,
        "probe": tiny_probe(),
        "metric": RandomScores(),
        "selector": Random(),
        "alpha": Fixed(value=0.5),
        "compression": Count(count=count),
    }
    return CellSpec(**(default | options))


def warnings_of(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def test_a_row_carries_the_worst_class_and_leads_to_all(store):
    row = pipeline.train_cell(cell(40), store=store, trainer=CPU)
    errors = pipeline.load_class_errors(row.key, store=store)
    assert row.worst_class_error == errors["test_error"].max() > row.test_error - 1e-12


def test_one_example_is_trained_on_and_what_it_cannot_teach_is_said(store, caplog):
    """All that a model of one example can say is its class: the error is the share of the others."""
    row = pipeline.train_cell(cell(1), store=store, trainer=CPU)
    few, single = warnings_of(caplog)
    assert few.startswith("smallconv-w8 on 1 example: 2 of 3 classes keep none (")
    assert few.endswith("), so they cannot be learned; keep 3 examples or more.")
    assert single == (
        "smallconv-w8 on 1 examples: batches of one example; batch norm, if there is any, sees one image at a time."
    )
    errors = pipeline.load_class_errors(row.key, store=store)
    assert sorted(errors["test_error"]) == [0, 1, 1]
    assert row.worst_class_error == 1
    caplog.clear()
    assert pipeline.train_cell(cell(1), store=store, trainer=CPU) == row
    assert warnings_of(caplog) == []


@pytest.mark.parametrize(("labels", "m", "told"), [
    ((0, 1, 2), None, None),
    ((0, 2), None, "smallconv-w8 on {m} examples: 1 of 3 classes keep none (class1), so they cannot be learned; "
                   "keep more, or balance the classes (selector.balance)."),
    ((1,), 2, "smallconv-w8 on 2 examples: 2 of 3 classes keep none (class0, class2), so they cannot be learned; "
              "keep 3 examples or more."),
])  # fmt: skip
def test_a_class_that_keeps_nothing_is_named(dataset, store, caplog, labels, m, told):
    subset = of_classes(dataset, *labels, m=m)
    for _ in range(2):  # also where the model is there already, once a row
        caplog.clear()
        train(dataset, subset, store, recipe=ENOUGH)
        assert warnings_of(caplog) == ([] if told is None else [told.format(m=subset.m)])


@dataclass(frozen=True, kw_only=True)
class Tenth(Synthetic):
    """A data set that names a class of which it has no training images."""

    def read(self, store):
        made = super().read(store)
        object.__setattr__(made, "class_names", (*made.class_names, "absent"))
        return made


def test_a_class_that_was_never_there_is_not_missed(store, caplog):
    dataset = Tenth(n=60, n_test=50, n_classes=3).load(store)
    result = train(dataset, Subset.full(dataset.n), store, recipe=ENOUGH)
    assert warnings_of(caplog) == []
    assert len(pipeline.load_class_errors(result.key, store=store)) == 3


SMALL_MAPS = ResNetTorchvision(depth=18)  # of images of 8x8 pixels its last maps have one


def test_batch_norm_with_a_single_value_is_refused_before_anything_is_trained(store):
    with pytest.raises(OptionError, match=r"resnet18 on 1 examples: a batch of one example .* keep at least two"):
        pipeline.train_cell(cell(1, model=SMALL_MAPS), store=store, trainer=CPU)
    assert store.keys("row") == store.keys("model") == []


def test_who_sees_a_batch_of_one(dataset):
    def seen(m, model=SMALL_MAPS, **options):
        batch_size = options.pop("batch_size", 16)
        recipe, trainer = tiny_recipe(batch_size=batch_size), TrainerSpec(accelerator="cpu", **options)
        return check_batches(dataset, m, model=model, recipe=recipe, trainer=trainer, title="it")

    assert seen(2) == 2
    assert seen(17) == 8
    assert seen(1, TINY) == 1
    assert seen(5, devices=2, sync_batchnorm=True) == 5
    assert check_batches(dataset, 1, model=SMALL_MAPS, recipe=tiny_recipe(batches="constant")) == 1
    for m, options in ((1, {}), (9, {"batch_size": 1}), (3, {"devices": 2})):
        with pytest.raises(OptionError, match="it: a batch of one example"):
            seen(m, **options)
    with pytest.raises(OptionError, match="its smallest batch has 1 examples, for 2 devices"):
        seen(1, devices=2)


def test_fit_refuses_it_too(dataset):
    with pytest.raises(OptionError, match="a batch of one example"):
        tiny_fit(dataset, model=SMALL_MAPS, subset=of_classes(dataset, 0, m=1))


def test_the_table_of_class_errors_is_plain(dataset, store):
    result = train(dataset, of_classes(dataset, 0, 1, 2), store)
    read = pd.read_parquet(store.path("model", result.key) / "class_errors.parquet")
    assert read["test_error"].dtype == np.float64
    assert read["class"].dtype == np.int64
