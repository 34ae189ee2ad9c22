import numpy as np
import pytest

from helpers.training import CPU, tiny_dataset, tiny_probe
from winnow import pipeline
from winnow.core.errors import OptionError, ShapeError
from winnow.core.types import Evidence
from winnow.metrics.el2n import EL2N
from winnow.metrics.ssp import SSP
from winnow.probes.embeddings.npy import Npy
from winnow.probes.ensemble import evidence_keys, member_keys
from winnow.store.artifacts import ArtifactStore

EMBEDDINGS = frozenset({"embeddings"})


@pytest.fixture(scope="module")
def dataset():
    return tiny_dataset()


@pytest.fixture
def vectors(dataset):
    return np.random.default_rng(0).normal(size=(dataset.n, 5)).astype(np.float32)


def saved(path, array):
    np.save(path, array)
    return Npy(path=str(path))


def embed(source, dataset):
    return source.embed(dataset, of_probe=None, store=None, trainer=None, logger=None)


def test_the_file_is_read_where_it_lies(dataset, vectors, tmp_path):
    given = embed(saved(tmp_path / "a.npy", vectors), dataset)
    assert isinstance(given, np.memmap)
    assert not given.flags.writeable
    np.testing.assert_array_equal(given, vectors)


def test_the_content_names_it_and_not_the_path(dataset, vectors, tmp_path):
    one, copy = (saved(tmp_path / name, vectors) for name in ("a.npy", "b.npy"))
    assert one.keys(dataset) == copy.keys(dataset)
    changed = vectors.copy()
    changed[3, 2] += 1
    before = one.keys(dataset)
    assert saved(tmp_path / "a.npy", changed).keys(dataset) != before


def test_scores_and_subsets_need_no_probe(dataset, vectors, tmp_path):
    store = ArtifactStore(tmp_path / "store")
    source = saved(tmp_path / "a.npy", vectors)
    probe = tiny_probe(embedding=source, evaluate_at=())  # no pass over the data is needed
    assert probe.cost(dataset.n, EMBEDDINGS) == 0
    scores = pipeline.score_dataset(dataset, metric=SSP(k=3), probe=probe, store=store, trainer=CPU)
    expected = SSP(k=3)(Evidence(dataset="", labels=dataset.train_labels, embeddings=vectors))
    np.testing.assert_array_equal(scores.values, expected.values)
    evidence = pipeline.probe_dataset(dataset, probe=probe, needs=EMBEDDINGS, store=store, trainer=CPU)
    assert evidence.source == tuple(source.keys(dataset))
    assert not store.root.joinpath("probe").exists()


def test_only_what_reads_embeddings_depends_on_them(dataset, vectors, tmp_path):
    plain, other = tiny_probe(), tiny_probe(embedding=saved(tmp_path / "a.npy", vectors))
    assert pipeline.scores_key(dataset, EL2N(), plain) == pipeline.scores_key(dataset, EL2N(), other)
    assert pipeline.scores_key(dataset, SSP(), plain) != pipeline.scores_key(dataset, SSP(), other)
    assert evidence_keys(dataset, plain, EMBEDDINGS) == member_keys(dataset, plain)
    both = frozenset({"embeddings", "logits"})
    assert evidence_keys(dataset, other, both) == member_keys(dataset, other) + other.embedding.keys(dataset)
    assert other.cost(100, both) == plain.cost(100, frozenset({"logits"}))


@pytest.mark.parametrize("shape", [(59, 5), (61, 5), (60,), (60, 5, 1), (5, 60)])
def test_an_array_that_does_not_cover_the_data(dataset, shape, tmp_path):
    source = saved(tmp_path / "a.npy", np.zeros(shape, dtype=np.float32))
    with pytest.raises(ShapeError, match=r"each of the 60 training examples of synthetic.*\[60, d\]"):
        source.keys(dataset)


def test_of_a_limited_data_set_the_error_says_which_rows(tmp_path):
    from winnow.datasets.synthetic import Synthetic

    limited = Synthetic(n=60, n_test=20, limit=30).load(ArtifactStore(tmp_path))
    array = np.zeros((60, 2), dtype=np.float32)
    with pytest.raises(ShapeError, match="source_index"):
        saved(tmp_path / "a.npy", array).keys(limited)
    assert saved(tmp_path / "b.npy", array[limited.source_index]).keys(limited)


def test_other_numbers_and_no_numbers(dataset, vectors, tmp_path):
    with pytest.raises(ShapeError, match=r"float64.*astype"):
        saved(tmp_path / "a.npy", vectors.astype(np.float64)).check(dataset)
    vectors[17, 1] = np.nan
    with pytest.raises(ShapeError, match="row 17 is not finite"):
        embed(saved(tmp_path / "b.npy", vectors), dataset)


class Mischief:
    """What unpickling it does is seen."""

    done = False

    def __reduce__(self):
        return setattr, (Mischief, "done", True)


def test_nothing_is_unpickled(dataset, tmp_path):
    source = saved(tmp_path / "a.npy", np.array([Mischief()] * dataset.n, dtype=object))
    with pytest.raises(OptionError, match=r"embedding\.path=.*a\.npy cannot be read"):
        source.check(dataset)
    assert not Mischief.done


def test_a_file_that_is_not_there_or_no_array(dataset, tmp_path):
    (tmp_path / "text.npy").write_text("0.1 0.2")
    for name in ("nowhere.npy", "text.npy"):
        with pytest.raises(OptionError, match=rf"{name} cannot be read.*numpy\.save"):
            Npy(path=str(tmp_path / name)).keys(dataset)
