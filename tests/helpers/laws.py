"""Simulated scaling curves with planted parameters."""

import numpy as np

from winnow.scaling.laws import fit, law_error

PLANTED = {
    "power": {"a": 3.0, "b": 0.5},
    "power_floor": {"a": 3.0, "b": 0.5, "c": 0.02},
    "exponential": {"a": 0.5, "b": 1e-4},
    "exponential_floor": {"a": 0.5, "b": 1e-4, "c": 0.02},
    "broken_power": {"a": 3.0, "b": 0.3, "b2": 0.8, "n_break": 1500.0},
}


def coverage(law, planted, sizes, noise, *, sets=100, seeds=1):
    """In how many of the simulated data sets each planted parameter lies in its own interval.

    noise: standard deviation of the log error of one seed.
    """
    n = np.repeat(np.geomspace(100, 50_000, sizes), seeds)
    generator = np.random.default_rng(0)
    hits = dict.fromkeys(planted, 0)
    for _ in range(sets):
        error = law_error(law, planted, n) * np.exp(noise * generator.standard_normal(n.size))
        for name, (low, high) in fit(n, error, law).intervals.items():
            hits[name] += low <= planted[name] <= high
    return hits
