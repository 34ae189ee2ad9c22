import numpy as np
import pytest

from winnow.core.seeds import stream
from winnow.selectors import keys as keys_module
from winnow.selectors.keys import Keys

N = 5000
ALL = stream(7, "ties", "more").random(N)
MEMBERS = {"all": np.arange(N), "most": np.flatnonzero(ALL < 0.9), "few": np.array([3, 40, 4000]), "one": np.array([9])}


def keys(held: bool) -> Keys:
    return Keys(seed=7, names=("ties", "more"), n=N, held=held)


@pytest.mark.parametrize("members", MEMBERS.values(), ids=MEMBERS)
@pytest.mark.parametrize(("held", "drawn"), [(True, 2**20), (False, 2**20), (False, 64)])
def test_keys_are_those_of_the_stream_held_or_not(monkeypatch, held, drawn, members):
    monkeypatch.setattr(keys_module, "DRAWN", drawn)
    assert np.array_equal(keys(held)[members], ALL[members])
    assert np.array_equal(keys(held)[members[::-1]], ALL[members[::-1]])
    ordered = members[np.argsort(ALL[members])]
    for count in {1, -(-members.size // 3), members.size}:
        assert sorted(keys(held).smallest(members, count)) == sorted(ordered[:count])


def test_the_smallest_are_found_where_they_are_not_expected():
    low = np.flatnonzero(ALL < 0.2)  # as a stratum would be that was itself drawn by the keys
    ordered = low[np.argsort(ALL[low])]
    assert sorted(keys(held=False).smallest(low, 500)) == sorted(ordered[:500])
    high = np.flatnonzero(ALL > 0.8)
    assert sorted(keys(held=False).smallest(high, 300)) == sorted(high[np.argsort(ALL[high])][:300])
