from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.evidence import recorded
from winnow.core.errors import MissingEvidenceError, OptionError
from winnow.selectors.ccs import CCS
from winnow.selectors.random import Random
from winnow.store.keys import describe

# Four strata of width one once the two hardest are gone: 8 in [0, 1), none in [1, 2), 2 in [2, 3), 8 in [3, 4].
SCORES = np.array(
    [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.9, 2.0, 2.9, 3.0, 3.1, 3.2, 3.3, 3.4, 3.5, 3.6, 4.0, 100.0, 200.0]
)
ORDER = np.random.default_rng(0).permutation(20)
SCORES = SCORES[ORDER]
ONE_CLASS = np.zeros(20, dtype=int)


def in_each_stratum(r, seed=0, **options):
    subset = CCS(**{"beta": 0.1, "strata": 4} | options).select(SCORES, ONE_CLASS, r=r, seed=seed)
    return np.histogram(SCORES[subset.indices], bins=[0, 1, 2, 3, 4.5, 1000])[0].tolist()


def test_small_strata_are_kept_whole_and_the_others_share_what_is_left():
    # m = 10: the empty stratum takes none of 10 // 4, the one of two takes both (10 // 3 = 3), and 8 are shared by two.
    assert in_each_stratum(0.5) == [4, 0, 2, 4, 0]
    # m = 11: 9 are left for two; the easier takes 9 // 2 and the last takes the rest.
    assert in_each_stratum(0.55) == [4, 0, 2, 5, 0]
    # m = 4: 4 // 3 = 1 for the stratum of two, then 3 // 2, then 2.
    assert in_each_stratum(0.2) == [1, 0, 1, 2, 0]


def test_a_budget_larger_than_what_beta_leaves_drops_less():
    assert in_each_stratum(0.9) == [8, 0, 2, 8, 0]
    assert in_each_stratum(0.95, strata=1) == [8, 0, 2, 8, 1]
    assert in_each_stratum(1) == [8, 0, 2, 8, 2]


def test_nothing_is_dropped_at_beta_zero():
    # Widths of 50: 18 in the first stratum, none in the second, 100 and 200 alone in the others; of 4 the first has 2.
    low, *rest = np.split(in_each_stratum(0.2, beta=0), [4])
    assert (sum(low), *rest) == (2, 2)


def test_each_example_of_a_stratum_is_as_likely_as_the_others():
    draws, kept = 800, np.zeros(20)
    for seed in range(draws):
        kept[CCS(beta=0.1, strata=4).select(SCORES, ONE_CLASS, r=0.5, seed=seed).indices] += 1
    expected = np.select([SCORES > 10, SCORES >= 3, SCORES >= 2], [0, 0.5, 1], 0.5)
    assert np.all(np.abs(kept / draws - expected) < 4 * np.sqrt(0.25 / draws))
    assert np.all((kept / draws)[(SCORES >= 2) & (SCORES < 3)] == 1)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(-30, 30), min_size=2, max_size=60),
    st.floats(0, 0.9),
    st.integers(1, 12),
    st.floats(0.3, 1),
    st.integers(0, 9),
)
def test_budgets_by_the_papers_loop(scores, beta, strata, r, seed):
    scores = np.array(scores, dtype=float)
    n = scores.size
    subset = CCS(beta=beta, strata=strata).select(scores, np.zeros(n, dtype=int), r=r, seed=seed)
    left = n - min(int(beta * n + 0.5 + 1e-9), n - subset.m)
    trusted = np.sort(scores)[:left]
    width = (trusted[-1] - trusted[0]) / strata or 1
    group = [min(int((score - trusted[0]) / width), strata - 1) for score in trusted]
    waiting, budget, expected = {k: group.count(k) for k in range(strata)}, subset.m, dict.fromkeys(range(strata), 0)
    while waiting:
        smallest = min(waiting, key=waiting.get)
        expected[smallest] = min(waiting[smallest], budget // len(waiting))
        budget -= expected[smallest]
        del waiting[smallest]
    drawn = [min(int((score - trusted[0]) / width), strata - 1) for score in scores[subset.indices]]
    assert {k: drawn.count(k) for k in range(strata)} == expected


def test_equal_scores_are_drawn_at_random():
    keep = [CCS().select(np.zeros(50), np.zeros(50, dtype=int), r=0.5, seed=seed) for seed in (0, 1)]
    assert keep[0].m == keep[1].m == 25
    assert keep[0].content_hash != keep[1].content_hash


def test_the_cut_by_the_margin_of_training():
    margin = np.where(np.arange(20) < 4, -1.0, 1.0) * np.ones((2, 3, 1))
    evidence = recorded(margin, ONE_CLASS)
    trajectories = replace(evidence.trajectories, probability_margin=evidence.trajectories.margin[..., ::-1])
    evidence = replace(evidence, trajectories=trajectories)
    by_code = CCS(beta=0.2, cut_by="aum_probability")
    subset = by_code.select(np.arange(20.0), ONE_CLASS, r=0.8, seed=0, evidence=evidence)
    assert subset.indices.tolist() == list(range(16))
    selector = CCS(beta=0.2, cut_by="aum")
    assert selector.needs == {"trajectories"}
    assert CCS().needs == frozenset()
    subset = selector.select(np.arange(20.0), ONE_CLASS, r=0.8, seed=0, evidence=evidence)
    assert subset.indices.tolist() == list(range(4, 20))
    with pytest.raises(MissingEvidenceError, match="trajectories"):
        selector.select(np.arange(20.0), ONE_CLASS, r=0.8, seed=0)


def test_a_flat_cover_of_a_skewed_score():
    scores = np.random.default_rng(1).exponential(size=5000)
    one_class = np.zeros(5000, dtype=int)
    spread = {
        rule: np.std(scores[rule.select(scores, one_class, r=0.05, seed=0).indices]) for rule in (CCS(), Random())
    }
    trusted = np.sort(scores)[:4500]
    assert spread[CCS()] == pytest.approx((trusted[-1] - trusted[0]) / np.sqrt(12), rel=0.02)  # uniform over the range
    assert np.std(trusted) < 0.9 * spread[CCS()]


def test_rule_and_errors():
    assert CCS().rule("el2n", 0.5) == "el2n ccs[score] 0.1"
    assert CCS(beta=0.3, cut_by="aum", strata=20).rule("el2n", 0.5) == "el2n ccs[aum] 0.3 strata=20"
    assert CCS(beta="cifar10", cut_by="aum").rule("aum", 0.5) == "aum ccs[aum] cifar10"
    wrong = (
        ({"beta": 1.0}, "beta"),
        ({"strata": 0}, "strata"),
        ({"cut_by": "loss"}, "score, aum, aum_probability"),
        ({"beta": "x"}, "cifar100"),
    )
    for options, match in wrong:
        with pytest.raises(OptionError, match=match):
            CCS(**options)


@pytest.mark.parametrize(
    ("name", "r", "beta"),
    [
        ("cifar10", 0.7, 0),
        ("cifar10", 0.2, 0.1),
        ("cifar10", 0.1, 0.3),
        ("cifar10", 0.15, 0.2),
        ("cifar100", 0.5, 0.2),
        ("cifar10", 0.05, 0.3),
        ("imagenet", 0.4, 0.2),
    ],
)
def test_the_authors_beta_for_each_r_and_beyond_of_the_nearest(name, r, beta):
    scores = np.random.default_rng(2).exponential(size=1000)
    one_class = np.zeros(1000, dtype=int)
    tuned, fixed = (CCS(beta=b).select(scores, one_class, r=r, seed=3) for b in (name, beta))
    assert tuned.content_hash == fixed.content_hash


def test_the_cut_kept_its_key_when_its_name_changed():
    told = describe(CCS())
    assert (told["beta_by"], told["version"]) == ("score", 1)
    assert "cut_by" not in told
