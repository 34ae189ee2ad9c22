import numpy as np

from helpers.rows import make_row
from winnow.scaling import grid
from winnow.scaling.costs import total


def test_the_total_is_that_of_training_and_of_the_scores_that_were_read():
    scored = {"multiply_adds": 1000, "probe_multiply_adds": 400}
    table = grid.table(
        [make_row("random", 0.1, multiply_adds=1000), make_row("el2n hardest", 0.1, **scored), make_row("old")]
    )
    costs = dict(zip(table["rule"], total(table), strict=True))
    assert costs["random"] == 1000 * 1000
    assert costs["el2n hardest"] == 1000 * 1000 + 5000 * 400
    assert np.isnan(costs["old"])
