"""What property tests draw from."""

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray


@st.composite
def data_sets(draw: st.DrawFn) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Scores with many ties that grow with the class, and labels in no order, of two to five classes of 20 to 60."""
    sizes = draw(st.lists(st.integers(20, 60), min_size=2, max_size=5))
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    labels = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    return rng.integers(0, 10, labels.size).astype(float) + labels, labels
