"""What every selector in conf/selector must do; a new yaml is found and tested here without a change."""

from dataclasses import fields, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hydra.utils import instantiate
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers.config import composed, is_preset, options
from helpers.evidence import make_evidence
from helpers.strategies import data_sets
from winnow.core.errors import BudgetError, OptionError
from winnow.core.types import Evidence, Scores, Subset
from winnow.selectors.base import Selector
from winnow.selectors.calibrated import Calibrated
from winnow.store.keys import make_key

CONFIGS = options("selector")
LABELS = make_evidence().labels
# Few distinct scores, and five of a class always with the same embedding, so that most are tied and every selector has
# something to draw.
BY_CLASS = np.argsort(LABELS, kind="stable")
ALIKE = BY_CLASS[np.arange(60) // 5 * 5][np.argsort(BY_CLASS)]
EVIDENCE = replace(make_evidence(), embeddings=make_evidence().embeddings[ALIKE])
SCORES = Scores(np.round(np.random.default_rng(3).exponential(size=60)), metric="made-up", dataset=EVIDENCE.dataset)


evidence_of = cache(lambda n: make_evidence(n=n))


@pytest.fixture(params=CONFIGS, ids=lambda path: path.stem)
def path(request) -> Path:
    return request.param


@pytest.fixture(params=[None, "exact", 0.5], ids="balance={}".format)
def selector(path, request) -> Selector:
    return replace(instantiate(composed(path)), balance=request.param)


def select(selector, *, r=0.4, alpha=0.5, seed=0) -> Subset:
    return selector.select(SCORES, LABELS, r=r, alpha=alpha, seed=seed, evidence=EVIDENCE)


def test_there_are_selectors():
    assert CONFIGS


def test_config_names_the_module_and_every_option(path):
    config = dict(composed(path))
    selector = instantiate(config)
    module = config.pop("_target_").rsplit(".", 1)[0]
    assert path.read_text().startswith("# ")
    if is_preset(path):
        return
    assert module == f"winnow.selectors.{path.stem}"
    assert config == {field.name: field.default for field in fields(selector)}


def test_is_a_keyed_selector(selector):
    assert isinstance(selector, Selector)
    assert selector.needs <= {field.name for field in fields(Evidence)}
    assert make_key("selector", selector) == make_key("selector", replace(selector))
    assert 0 <= selector.effective_alpha(0.5) <= 1
    assert (selector.balance is None) == ("balance=" not in selector.rule("el2n", 0.5))


@pytest.mark.parametrize(("r", "m"), [(0.21, 13), (0.4, 24), (0.775, 47), (1, 60)])
def test_keeps_exactly_the_budget(selector, r, m):
    subset = select(selector, r=r)
    assert (subset.m, subset.n) == (m, 60)
    assert np.all(np.diff(subset.indices) > 0)
    assert 0 <= subset.indices[0] <= subset.indices[-1] < 60


def test_the_same_seed_keeps_the_same(selector):
    assert select(selector, seed=4).content_hash == select(selector, seed=4).content_hash


def test_another_seed_keeps_another_part(selector):
    assert len({select(selector, seed=seed).content_hash for seed in range(5)}) > 1


def test_everything_is_kept_with_weight_one(selector):
    assert select(selector, r=1).content_hash == Subset.full(60).content_hash


@pytest.mark.parametrize("r", [0, -1, 1.5, 0.001])
def test_bad_r(selector, r):
    for refuse in (lambda: selector.check(LABELS, r=r, alpha=0.5), lambda: select(selector, r=r)):
        with pytest.raises(BudgetError, match=f"r={r}"):
            refuse()


@pytest.mark.parametrize("alpha", [-0.1, 1.1, float("nan")])
def test_bad_alpha(selector, alpha):
    for refuse in (lambda: selector.check(LABELS, r=0.5, alpha=alpha), lambda: select(selector, alpha=alpha)):
        with pytest.raises(OptionError, match="alpha"):
            refuse()


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data_sets(), st.floats(0.3, 1), st.floats(0, 0.8), st.integers(0, 2**31))
def test_budget_and_balance_hold_on_any_data_set(selector, data_set, r, alpha, seed):
    scores, labels = data_set
    evidence = replace(evidence_of(labels.size), labels=labels)
    subset = selector.select(scores, labels, r=r, alpha=alpha, seed=seed, evidence=evidence)
    assert subset.m == int(np.floor(r * labels.size + 0.5 + 1e-9))
    assert np.all(np.diff(subset.indices) > 0)
    sizes = np.bincount(labels)
    counts = np.bincount(labels[subset.indices], minlength=sizes.size)
    if selector.balance == "exact":
        assert np.all(np.abs(counts - r * sizes) < 1 + 1e-6)
    if selector.balance == 0.5:
        assert np.all(counts >= np.ceil(0.5 * r * sizes - 1e-9))


def test_drops_the_suspect_first(path):
    selector = replace(instantiate(composed(path)), drop_suspect=0.1)
    subset = select(selector, r=0.5)
    assert subset.m == 27  # of the 54 that are left
    assert not set(subset.indices) & set(np.flatnonzero(SCORES.values > np.sort(SCORES.values)[-6]))


@pytest.mark.parametrize("protocol", ["exact", "approximate"])
def test_calibrated_takes_it_for_its_signal(path, protocol):
    wrapped = Calibrated(signal=instantiate(composed(path)), protocol=protocol)
    subset = select(wrapped, r=0.5, alpha=0.4)
    assert (subset.m, subset.is_signal.sum()) == (30, 12)
    assert abs(subset.weights.mean() - 1) < 1e-9
    assert wrapped.rule("el2n", 0.4).endswith(f"{protocol} 0.4")
