from dataclasses import replace

import pytest
from hydra.utils import instantiate

from helpers.config import options
from helpers.training import TINY, tiny_dataset, tiny_probe, tiny_recipe
from winnow.cli.inherited import with_inherited
from winnow.core.errors import MissingEvidenceError, OptionError
from winnow.metrics.dual import DUAL
from winnow.metrics.tdds import TDDS
from winnow.models.smallconv import SmallConv
from winnow.pipeline.scoring import check_metric
from winnow.probes.ensemble import member_keys
from winnow.probes.probe import Probe


@pytest.fixture(scope="module")
def dataset():
    return tiny_dataset()


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"members": 0}, r"probe\.members=0"),
        ({"epochs": 0}, r"probe\.epochs=0"),
        ({"epochs": 4, "evaluate_at": (2, 5)}, r"probe\.evaluate_at=\[2, 5\].*0\.\.4"),
        ({"epochs": 4, "evaluate_at": (-1,)}, r"probe\.evaluate_at=\[-1\].*0\.\.4"),
        ({"epochs": 4, "checkpoint_at": (5,)}, r"probe\.checkpoint_at=\[5\].*0\.\.4"),
        ({"epochs": 4, "stop_after": 5}, r"probe\.stop_after=5 must lie in 1\.\.4 \(probe\.epochs\)"),
        ({"epochs": 4, "stop_after": 0}, r"probe\.stop_after=0"),
        ({"epochs": 4, "stop_after": 2, "evaluate_at": (3,)}, r"evaluate_at=\[3\].*0\.\.2 \(probe\.stop_after\)"),
        ({"epochs": 4, "stop_after": 2, "checkpoint_at": (4,)}, r"checkpoint_at=\[4\].*0\.\.2 \(probe\.stop_after\)"),
    ],
)
def test_bad_options(bad, message):
    with pytest.raises(OptionError, match=message):
        tiny_probe(**bad)


def test_evaluated_epochs():
    assert tiny_probe(epochs=7).evaluated == (7,)
    assert tiny_probe(epochs=7, evaluate_at=[4, 0, 4]).evaluated == (0, 4)
    assert tiny_probe(epochs=7, evaluate_at=()).evaluated == ()
    assert tiny_probe(epochs=7).checkpoint_at == ()
    assert tiny_probe(epochs=7, checkpoint_at=[3, 1]).checkpoint_at == (1, 3)
    assert tiny_probe(epochs=7, stop_after=4).evaluated == (4,)


def test_missing_epochs_are_named():
    probe = tiny_probe(epochs=6, evaluate_at=(2, 4))
    probe.check_epochs(frozenset())
    probe.check_epochs(frozenset({2, 4}))
    with pytest.raises(MissingEvidenceError, match=r"epoch 3\b.*after: 2, 4\..*add 3 to probe\.evaluate_at"):
        probe.check_epochs(frozenset({5, 2, 3}))
    stopped = replace(probe, stop_after=4)
    with pytest.raises(
        MissingEvidenceError, match=r"epoch 5\b.*stop after epoch 4; set probe\.stop_after to at least 5"
    ):
        stopped.check_epochs(frozenset({5}))
    with pytest.raises(MissingEvidenceError, match=r"epoch 3\b.*add 3 to probe\.evaluate_at"):
        stopped.check_epochs(frozenset({3}))
    with pytest.raises(MissingEvidenceError, match="after: none"):
        tiny_probe(evaluate_at=()).check_epochs(frozenset({1}))


def test_cost_by_hand():
    # Three members, 100 examples: five epochs of training and two evaluations.
    assert tiny_probe(members=3, epochs=5, evaluate_at=(0, 5)).cost(100) == 3 * 100 * (5 + 2)
    assert tiny_probe(members=1, epochs=2, evaluate_at=()).cost(10) == 20
    # Stopped at epoch 20 of 200: paid to there, of the models of random parts too.
    early = tiny_probe(members=10, epochs=200, stop_after=20)
    assert early.cost(100) == 10 * 100 * (20 + 1)
    assert early.cost(100, frozenset({"subset_runs"})) == 10 * (70 * 20 + 100)
    towards = frozenset({"logits", "projected_gradients", "target_gradients"})
    assert tiny_probe(members=3, epochs=5).cost(100, towards, targets=7) == 3 * (100 * (5 + 2) + 7)


def test_training_follows_the_probe_and_not_the_recipe():
    probe = tiny_probe(recipe=tiny_recipe(epochs=90, budget="steps", lr=0.7), epochs=4)
    assert probe.training_recipe == tiny_recipe(epochs=4, budget="epochs", lr=0.7)


def test_every_member_of_every_seed_has_its_own_seed():
    seeds = [tiny_probe(seed=seed).member_seed(member) for seed in range(20) for member in range(20)]
    assert len(set(seeds)) == 400


def test_a_larger_ensemble_reuses_the_smaller(dataset):
    three, two = (member_keys(dataset, tiny_probe(members=k)) for k in (3, 2))
    assert three[:2] == two
    assert len(set(three)) == 3


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"epochs": 3, "evaluate_at": (2,)},
        {"evaluate_at": (1, 2)},
        {"checkpoint_at": (2,)},
        {"changes": False},
        {"model": SmallConv(width=9)},
        {"recipe": tiny_recipe(lr=0.06)},
    ],
)
def test_what_changes_a_member_changes_its_key(dataset, change):
    assert not {*member_keys(dataset, tiny_probe(**change))} & {*member_keys(dataset, tiny_probe())}


def test_what_does_not_change_a_member_does_not_change_its_key(dataset):
    same = tiny_probe(recipe=tiny_recipe(name="another", epochs=50, budget="steps"), evaluate_at=(2,))
    assert member_keys(dataset, same) == member_keys(dataset, tiny_probe())
    assert member_keys(tiny_dataset(seed=1), same) != member_keys(dataset, same)


def test_a_metric_that_reads_changes_asks_for_them_before_anything_is_trained():
    asked = {"recipe": tiny_recipe(), "epochs": 12}
    check_metric(TDDS(), tiny_probe(**asked))
    check_metric(DUAL(window=5), tiny_probe(**asked, changes=False))
    with pytest.raises(MissingEvidenceError, match=r"tdds reads.*set probe\.changes=true"):
        check_metric(TDDS(), tiny_probe(**asked, changes=False))


@pytest.mark.parametrize("path", options("probe"), ids=lambda path: path.stem)
def test_config(path):
    from hydra import compose, initialize_config_dir

    with initialize_config_dir(str(path.parents[1]), version_base="1.3"):
        config = compose(
            overrides=["+model=smallconv", "+recipe=digits", "+embedding=probe", "+seed=7", f"+probe={path.stem}"]
        )
    probe = instantiate(with_inherited(config))
    assert isinstance(probe, Probe)
    assert probe.seed == 7
    assert replace(probe, model=TINY).model == TINY
    assert path.read_text().startswith("# ")
