"""Rows of made-up cells, for tests that need a grid and no training."""

import itertools
from typing import Any

from winnow.core.types import Row

_keys = itertools.count()


def make_row(rule: str = "random", r: float = 0.1, error: float = 0.2, seed: int = 0, **fields: Any) -> Row:
    """One row with a key of its own; seed sets its probes, selection and training, and fields override the rest."""
    metric = None if rule == "random" else rule.split()[0]
    n = fields.get("n", 1000)
    n_kept = fields.get("n_kept", round(r * n))
    default = {
        "rule": rule,
        "dataset": "blobs",
        "model": "mlp",
        "recipe": "short",
        "metric": metric,
        "selector": "random" if metric is None else "threshold",
        "protocol": None,
        "alpha": 0.0 if metric is None else 1.0,
        "r": r,
        "n": n,
        "n_kept": n_kept,
        "probe_seed": None if metric is None else seed,
        "selection_seed": seed,
        "train_seed": seed,
        "steps": 100,
        "examples_seen": 10 * n_kept,
        "probe_examples": 0 if metric is None else 5 * n,
        "n_test": 999,
        "test_error": error,
        "test_loss": 1.0,
        "effective_sample_size": float(n_kept),
        "seconds": 1.5,
        "device": "CPU",
        "key": f"cell-{next(_keys)}",
        "git": None,
    }
    return Row(**(default | fields))
