import tracemalloc

import numpy as np
import pytest

from winnow.core.errors import MissingEvidenceError, OptionError
from winnow.core.types import Evidence
from winnow.metrics import ssp
from winnow.metrics.ssp import SSP


def evidence_of(embeddings, labels=None):
    embeddings = np.asarray(embeddings, dtype=np.float32)
    labels = np.zeros(len(embeddings), dtype=int) if labels is None else np.asarray(labels)
    return Evidence(dataset="hand", labels=labels, embeddings=embeddings)


def test_supervised_by_hand():
    # Class 0 points east twice and north once: mean direction (2, 1)/√5. The lone example of class 1 is its own mean.
    evidence = evidence_of([[3, 0], [1, 0], [0, 2], [0, 5]], [0, 0, 0, 1])
    expected = [1 - 2 / np.sqrt(5), 1 - 2 / np.sqrt(5), 1 - 1 / np.sqrt(5), 0]
    assert SSP(supervised=True)(evidence).values == pytest.approx(expected, abs=1e-6)


def test_one_centroid_is_the_mean_direction():
    rng = np.random.default_rng(0)
    embeddings = rng.normal((3, 0, 0, 0), size=(50, 4))
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    centre = unit.mean(axis=0) / np.linalg.norm(unit.mean(axis=0))
    assert SSP(k=1)(evidence_of(embeddings)).values == pytest.approx(1 - unit @ centre, abs=1e-5)


def test_what_lies_between_clusters_is_hard():
    rng = np.random.default_rng(1)
    clusters = np.repeat(np.eye(3), 40, axis=0) + rng.normal(0, 0.05, (120, 3))
    values = SSP(k=3)(evidence_of([*clusters, [1, 1, 1]])).values
    assert values[-1] > 3 * values[:-1].max()


def test_k_defaults_to_the_classes_and_lengths_do_not_matter():
    rng = np.random.default_rng(2)
    embeddings, labels = rng.normal(size=(60, 5)), np.arange(60) % 4
    expected = SSP(k=4)(evidence_of(embeddings)).values
    assert np.array_equal(SSP()(evidence_of(embeddings, labels)).values, expected)
    scaled = embeddings * 2.0 ** rng.integers(-3, 4, (60, 1))
    assert SSP(k=4)(evidence_of(scaled)).values == pytest.approx(expected, abs=1e-6)


def test_blocks_and_the_sample_change_little(monkeypatch):
    rng = np.random.default_rng(3)
    embeddings = np.repeat(np.eye(4, 6), 200, axis=0) + rng.normal(0, 0.1, (800, 6))
    whole = SSP(k=4)(evidence_of(embeddings)).values
    monkeypatch.setattr(ssp, "ROWS_IN_BLOCK", 7)
    assert SSP(k=4)(evidence_of(embeddings)).values == pytest.approx(whole, abs=1e-6)
    monkeypatch.setattr(ssp, "POINTS_PER_CENTROID", 50)
    assert np.corrcoef(SSP(k=4)(evidence_of(embeddings)).values, whole)[0, 1] > 0.95


def test_a_sample_of_limited_bytes_changes_little(monkeypatch):
    rng = np.random.default_rng(3)
    embeddings = np.repeat(np.eye(4, 6), 200, axis=0) + rng.normal(0, 0.1, (800, 6))
    whole = SSP(k=4)(evidence_of(embeddings)).values
    monkeypatch.setattr(ssp, "SAMPLE_BYTES", 100 * 4 * 6)
    limited = SSP(k=4)(evidence_of(embeddings)).values
    assert not np.array_equal(limited, whole)
    assert np.corrcoef(limited, whole)[0, 1] > 0.95
    monkeypatch.setattr(ssp, "SAMPLE_BYTES", 0)  # one example a centroid is the least
    assert np.isfinite(SSP(k=4)(evidence_of(embeddings)).values).all()


@pytest.mark.parametrize("metric", [SSP(k=4, restarts=1), SSP(supervised=True)])
def test_a_memory_map_is_never_held_as_a_whole(metric, tmp_path, monkeypatch):
    monkeypatch.setattr(ssp, "ROWS_IN_BLOCK", 512)
    n, d = 40_000, 64
    made = np.lib.format.open_memmap(tmp_path / "made.npy", mode="w+", dtype=np.float32, shape=(n, d))
    made[:] = np.random.default_rng(0).standard_normal((n, d), dtype=np.float32)
    evidence = evidence_of(np.load(tmp_path / "made.npy", mmap_mode="r"), np.arange(n) % 4)
    metric(evidence)  # imports
    tracemalloc.start()
    metric(evidence)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.3 * made.nbytes  # a sample of 262 kB, vectors of n and a few blocks of 131 kB; all of it is 10 MB


def test_errors():
    with pytest.raises(OptionError, match=r"metric\.k"):
        SSP(k=0)
    with pytest.raises(OptionError, match="supervised"):
        SSP(k=3, supervised=True)
    with pytest.raises(OptionError, match="more than the 2"):
        SSP(k=3)(evidence_of(np.eye(2)))
    with pytest.raises(MissingEvidenceError, match="embeddings"):
        SSP()(Evidence(dataset="hand", labels=np.zeros(2, dtype=int)))
