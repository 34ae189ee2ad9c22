"""Keys name contents: what must change them, what must not, and that they stay what they were."""

import os
import subprocess
import sys
from dataclasses import dataclass, field, make_dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest

from winnow.core.types import Subset
from winnow.datasets.augmentation import Augmentation
from winnow.metrics.el2n import EL2N
from winnow.models.smallconv import SmallConv
from winnow.probes.ensemble import member_inputs
from winnow.probes.probe import Probe
from winnow.selectors.alpha import Auto
from winnow.selectors.calibrated import Calibrated
from winnow.store.keys import LATER, NOT_IN_KEY, Component, describe, is_key, make_key, named_in_key
from winnow.training.recipe import Recipe

RECIPE = Recipe(name="digits", epochs=8, batch_size=64, lr=0.4, augmentation=Augmentation(shift=0.125))
PROBE = Probe(model=SmallConv(), recipe=RECIPE, members=2, epochs=6, evaluate_at=(2, 6), seed=3)
SUBSET = Subset([0, 2, 3], [0.5, 1.5, 1.0], [True, False, False], 4)


@dataclass(frozen=True)
class Thing(Component):
    size: float = 1.0
    label: str = "a"
    folder: str = field(default="here", metadata=NOT_IN_KEY)


# A key that moves makes every artifact on every disk useless. Change these literals only together with a raised
# `version` of the component (or SCHEMA), because its results changed; never because a field was moved or renamed.
@pytest.mark.parametrize(
    ("inputs", "key"),
    [
        (RECIPE, "frozen-24e1950ffd76b2ab"),
        (EL2N(epoch=4), "frozen-1ab3fe854e79ab14"),
        (Calibrated(protocol="tempered", tau=0.25), "frozen-3dd093bf16ef6593"),
        (Auto(criterion="validation", compare=False), "frozen-298ee0dd686dfecd"),
        (member_inputs(SimpleNamespace(fingerprint="digits-0123456789ab"), PROBE, 1), "frozen-1a70397026c58cc9"),
        ({"subset": SUBSET.content_hash}, "frozen-8c1c7d2c4611b907"),
    ],
    ids=["recipe", "metric", "selector", "alpha", "probe member", "subset"],
)
def test_keys_stay_what_they_were(inputs, key):
    assert make_key("frozen", inputs) == key


def test_a_key_is_a_prefix_and_sixteen_digits():
    prefix, digits = make_key("digits-el2n", {}).rsplit("-", 1)
    assert (prefix, len(digits)) == ("digits-el2n", 16)
    int(digits, 16)
    assert is_key(make_key("../ a/b", {}))
    assert not any(map(is_key, ("digits-el2n", f"a/b-{digits}", f"-{digits}0", digits)))


def test_a_component_is_its_qualified_name_version_and_fields():
    assert describe(Thing()) == {"is": f"{__name__}.Thing", "version": 1, "size": 1, "label": "a"}


def test_plain_values_are_told_apart():
    values = [None, True, False, 0, 1, "1", 0.1, np.nextafter(0.1, 1), "", [], {}, [1, 2], [2, 1], {"a": 1}, {"a": 2}]
    assert len({make_key("k", value) for value in values}) == len(values)


def test_whole_floats_equal_ints():
    assert make_key("k", Thing(size=2.0)) == make_key("k", Thing(size=2))
    assert make_key("k", {"alpha": -0.0}) == make_key("k", {"alpha": 0})
    assert make_key("k", Thing(size=2.5)) != make_key("k", Thing(size=2))


def test_equal_collections_have_equal_keys():
    assert make_key("k", (1, 2)) == make_key("k", [1, 2])
    assert make_key("k", {"a": 1, "b": 2}) == make_key("k", {"b": 2, "a": 1})
    assert make_key("k", {3, 1, 2}) == make_key("k", frozenset([2, 3, 1])) == make_key("k", [1, 2, 3])
    assert make_key("k", Path("a/b")) == make_key("k", "a/b")


def test_fields_outside_the_key_do_not_matter():
    assert make_key("k", Thing(folder="there")) == make_key("k", Thing())
    assert make_key("k", Thing(label="b")) != make_key("k", Thing())
    assert make_key("k", [{"nested": Thing(folder="there")}]) == make_key("k", [{"nested": Thing()}])


@dataclass(frozen=True)
class Grown(Component):
    width: float = field(default=1.0, metadata=named_in_key("size"))
    label: str = "a"
    kind: str = field(default="old", metadata=LATER)

    def _version(self) -> int:
        return 1 if self.label == "a" else 2


def test_a_later_field_is_in_the_key_only_where_it_is_set_and_a_renamed_one_under_its_old_name():
    grown = {"is": f"{__name__}.Grown", "version": 1, "size": 1, "label": "a"}
    assert describe(Grown()) == grown
    assert describe(Grown(kind="new")) == grown | {"kind": "new"}
    assert describe(Grown(label="b")) == grown | {"label": "b", "version": 2}


def test_a_field_that_came_later_is_in_the_key_only_off_its_default():
    def kind(*more):
        made = make_dataclass("Grown", [("a", int, 1), *more], bases=(Component,), frozen=True)
        made.__module__ = "made.up"
        return made

    before, after = kind(), kind(("b", float, field(default=0.5, metadata=LATER)))
    assert make_key("k", after()) == make_key("k", after(b=0.5)) == make_key("k", before())
    assert make_key("k", after(b=0.7)) not in (make_key("k", before()), make_key("k", after(b=0.8)))


def of_fields(*names: str, name: str = "Made"):
    kind = make_dataclass(name, [(n, int, field(default=len(n))) for n in names], bases=(Component,), frozen=True)
    kind.__module__ = "made.up"
    return kind


def test_field_order_does_not_matter():
    assert make_key("k", of_fields("a", "bb")()) == make_key("k", of_fields("bb", "a")())
    assert make_key("k", of_fields("a", "bb")()) != make_key("k", of_fields("a", "ccc")())


def test_the_name_of_the_component_matters():
    assert make_key("k", of_fields("a")()) != make_key("k", of_fields("a", name="Other")())


def test_the_version_changes_the_key():
    first, second = of_fields("a"), of_fields("a")
    second.version = 2
    assert make_key("k", first()) != make_key("k", second())


def test_a_version_is_no_field():
    @dataclass(frozen=True)
    class Raised(Component):
        version: ClassVar[int] = 3

    assert describe(Raised())["version"] == 3


def test_the_schema_changes_the_key(monkeypatch):
    before = make_key("k", Thing())
    monkeypatch.setattr("winnow.store.keys.SCHEMA", 10**6)
    assert make_key("k", Thing()) != before


@pytest.mark.parametrize("value", [object(), np.zeros(2), np.int64(1), b"bytes", Thing])
def test_what_has_no_stable_description_cannot_be_in_a_key(value):
    with pytest.raises(AssertionError, match="cannot be part of a key"):
        make_key("k", {"value": value})


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite_cannot_be_in_a_key(value):
    with pytest.raises(ValueError, match="not JSON compliant"):
        make_key("k", value)


def test_keys_are_equal_in_processes_that_hash_differently():
    names = [f"name{i}" for i in range(12)]
    code = f"from winnow.store.keys import make_key; print(make_key('k', {{'needs': frozenset({names!r})}}))"
    printed = {
        subprocess.check_output(
            [sys.executable, "-c", code], env=os.environ | {"PYTHONHASHSEED": seed}, text=True
        ).strip()
        for seed in ("0", "1", "2")
    }
    assert printed == {make_key("k", {"needs": frozenset(names)})}
