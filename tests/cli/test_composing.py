"""What QuickLoader composes is what Hydra does: compared whole, with Hydra's own node, and with types and flags."""

import copy
import pickle
import subprocess
import sys
from collections.abc import Iterator, Sequence
from io import TextIOBase
from pathlib import Path
from typing import Any, TextIO

import pytest
from hydra import initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, Node, OmegaConf

from helpers import config
from helpers.scripts import TINY, run_script
from winnow.cli import entry
from winnow.cli.composing import QuickLoader

CONF = Path(entry.CONF)
EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))
SHAPES = ("demo", "label_noise_digits", "score_phase")  # groups and values; one stage; values of what is no group too
SPREAD = 12  # cells of each sweep, in the long form
BASE = ["dataset=digits", "seed=1"]


@pytest.fixture(scope="module")
def search_path() -> Iterator[ConfigSearchPath]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield GlobalHydra.instance().config_loader().get_search_path()


@pytest.fixture(scope="module", autouse=True)
def parsed_once() -> Iterator[None]:
    """Spares Hydra's own loader, in these tests, half of its time."""
    original = OmegaConf.load
    kept: dict[str, Any] = {}

    def load(file: Any) -> Any:
        if not isinstance(file, TextIOBase):
            return original(file)
        name = str(getattr(file, "name", ""))
        if name not in kept:
            kept[name] = original(file)
        return copy.deepcopy(kept[name])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OmegaConf, "load", load)
        yield


@pytest.fixture(scope="module")
def loaders(search_path: ConfigSearchPath) -> tuple[ConfigLoaderImpl, QuickLoader]:
    """Hydra's, and ours, which all tests of this module share: each composes on what is left from those before."""
    return ConfigLoaderImpl(search_path), QuickLoader(search_path)


@pytest.fixture
def composed(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The overrides of each time that Hydra composes from the files."""
    calls: list[list[str]] = []
    original = ConfigLoaderImpl._load_configuration_impl

    def counted(self: ConfigLoaderImpl, *args: Any, **named: Any) -> DictConfig:
        calls.append(named["overrides"])
        return original(self, *args, **named)

    monkeypatch.setattr(ConfigLoaderImpl, "_load_configuration_impl", counted)
    return calls


def whole(node: Node) -> Any:
    """All that makes a node of a configuration: its content unresolved, in order, with types and flags."""
    told: dict[str, Any] = {**vars(node._metadata), "flags": node._metadata.flags or {}, "node": type(node)}
    del told["resolver_cache"]  # the second that ${now:} has been
    content = node._value()
    if isinstance(node, DictConfig) and isinstance(content, dict):
        told["content"] = [(name, whole(child)) for name, child in content.items()]
    elif isinstance(node, ListConfig) and isinstance(content, list):
        told["content"] = [whole(child) for child in content]
    else:
        told["content"] = (type(content), content)
    return told


def outcome(loader: ConfigLoaderImpl, overrides: Sequence[str], mode: RunMode, name: str) -> Any:
    """What a loader makes of a command's overrides, be it an error."""
    try:
        return whole(loader.load_configuration(name, list(overrides), mode))
    except Exception as error:
        return type(error), str(error), type(error.__cause__), str(error.__cause__)


def cells(master: DictConfig, loader: ConfigLoaderImpl) -> list[list[str]]:
    """The overrides of each cell of an experiment's sweep."""
    params = [f"{name}={value}" for name, value in master.hydra.sweeper.params.items()]
    overrides = OverridesParser.create(config_loader=loader).parse_overrides([*params, *master.hydra.overrides.task])
    return BasicSweeper.split_arguments(overrides, max_batch_size=None)[0]


def check_sweep(loaders: tuple[ConfigLoaderImpl, QuickLoader], experiment: str, script: str, number: int) -> None:
    """Cells from all over a sweep. The first, which the others may be made from, is not compared."""
    own, quick = loaders
    master = quick.load_configuration(script, [f"experiment={experiment}"], RunMode.MULTIRUN)
    swept = cells(master, quick)
    quick.load_sweep_config(master, swept[0])
    for overrides in swept[-1 : 0 : -max(1, len(swept) // number)]:
        made = quick.load_sweep_config(master, overrides)
        assert whole(made) == whole(own.load_sweep_config(master, overrides))
        assert made.hydra.sweep.dir == master.hydra.sweep.dir, "what ${now:} gave is taken over"


@pytest.mark.parametrize(
    "experiment", [each if each in SHAPES else pytest.param(each, marks=pytest.mark.slow) for each in EXPERIMENTS]
)
def test_cells_of_every_experiment_are_those_of_hydra(
    experiment: str, loaders: tuple[ConfigLoaderImpl, QuickLoader]
) -> None:
    check_sweep(loaders, experiment, "stage" if experiment.startswith("label_noise") else "config", number=1)


@pytest.mark.slow
@pytest.mark.parametrize("script", ["config", "stage", "select"])
@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_a_spread_of_cells_of_every_experiment(
    experiment: str, script: str, loaders: tuple[ConfigLoaderImpl, QuickLoader]
) -> None:
    check_sweep(loaders, experiment, script, number=SPREAD)


@pytest.mark.parametrize(
    ("name", "mode", "overrides"),
    [
        (
            "config",
            RunMode.RUN,
            ["seed=2", "compression.r=0.1", "recipe.decay_at=[0.5,0.75]", "only=null", "plan=true"],
        ),
        (
            "config",
            RunMode.RUN,
            ["recipe.name='a b=c,d'", "train_seed=${oc.select:selection_seed,3}", "probe.epochs=1e1"],
        ),
        ("config", RunMode.RUN, ["+note=1", "++seed=3", "~paths.data", "++dataset.more={a:[1,{b:2}]}", "+list=[]"]),
        ("config", RunMode.RUN, ["probe.embedding._target_=x", "dataset={n:3}", "~recipe.lr", "model.width=3"]),
        ("config", RunMode.RUN, ["recipe@probe.recipe=images", "callbacks=[forgetting]", "probe.recipe.lr=0.5"]),
        ("config", RunMode.RUN, ["~callbacks", "+export=table", "hydra/launcher=pool", "hydra.launcher.devices=2"]),
        ("config", RunMode.RUN, ["hydra.job.config.override_dirname.exclude_keys=[seed]", "hydra.job.env_copy=[HOME]"]),
        ("config", RunMode.RUN, ["hydra.mode=RUN", "hydra.run.dir='a,b'", "hydra={verbose:true}"]),
        (
            "config",
            RunMode.MULTIRUN,
            ["model.width=3,6", "metric=el2n,aum", "hydra.mode=MULTIRUN", "compression.r=0.2"],
        ),
        ("select", RunMode.RUN, ["diagnose=shift", "selector=calibrated", "alpha=auto", "seed=5"]),
        ("figures", RunMode.RUN, ["figure=perceptron_phase", "out=x.png"]),
        # what cannot be composed
        ("config", RunMode.RUN, ["recipe.epoch=3"]),
        ("config", RunMode.RUN, ["metric=el3n"]),
        ("config", RunMode.RUN, ["+seed=1"]),
        ("config", RunMode.RUN, ["~nothing"]),
        ("config", RunMode.RUN, ["~seed=7"]),
        ("config", RunMode.RUN, ["seed=1,2"]),
        ("config", RunMode.RUN, ["seed=range(3)"]),
        ("config", RunMode.RUN, ["nothing@here=1"]),
        ("config", RunMode.RUN, ["recipe.lr=["]),
        ("config", RunMode.RUN, ["seed"]),
        ("config", RunMode.RUN, ["hydra.sweep.dirs=x"]),
        ("config", RunMode.RUN, ["hydra.verbose={}"]),
        ("config", RunMode.RUN, ["seed.more=1"]),
        ("config", RunMode.RUN, ["+metric=aum"]),
        ("nothing", RunMode.RUN, []),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else None,
)
def test_every_kind_of_override(
    name: str, mode: RunMode, overrides: list[str], loaders: tuple[ConfigLoaderImpl, QuickLoader]
) -> None:
    given = [*BASE, *overrides] if name not in ("figures", "nothing") else overrides
    quick, own = (outcome(loader, given, mode, name) for loader in reversed(loaders))
    assert quick == own


def test_what_differs_in_values_is_composed_once(search_path: ConfigSearchPath, composed: list[list[str]]) -> None:
    quick = QuickLoader(search_path)
    made = []
    for overrides in (
        ["seed=1"],
        ["metric=aum", "seed=1"],
        ["seed=2"],
        ["seed=3", "metric=aum", "+note=x"],
        ["~paths.data"],
    ):
        made.append(quick.load_configuration("config", ["hydra.verbose=true", *overrides], RunMode.RUN))
    assert composed == [["hydra.verbose=true"], ["hydra.verbose=true", "metric=aum"]]
    assert [config.seed for config in made] == [1, 1, 2, 3, 0]
    made[0].recipe.epochs = 99
    again = quick.load_configuration("config", ["hydra.verbose=true", "seed=4"], RunMode.RUN)
    assert again.recipe.epochs != 99, "nobody's changes are in the next one's"
    assert len(composed) == 2
    with pytest.raises(HydraException, match="Could not override"):
        quick.load_configuration("config", ["seed=9", "recipe.epoch=3"], RunMode.RUN)
    other_choice = quick.load_configuration("config", ["metric=loss"], RunMode.RUN)
    assert (other_choice.seed, other_choice.hydra.verbose) == (0, False)


def test_a_file_is_read_once(search_path: ConfigSearchPath, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    original = OmegaConf.load

    def noted(file: TextIO) -> Any:
        read.append("/".join(Path(file.name).parts[-2:]))
        return original(file)

    monkeypatch.setattr(OmegaConf, "load", noted)
    quick = QuickLoader(search_path)
    for metric in ("aum", "el2n", "loss"):
        quick.load_configuration("config", [f"metric={metric}"], RunMode.RUN)
    assert len(read) > 15
    assert len(read) == len(set(read))
    assert {"metric/aum.yaml", "metric/el2n.yaml", "metric/loss.yaml"} <= set(read)


def test_groups_in_folders_that_an_override_adds(loaders: tuple[ConfigLoaderImpl, QuickLoader], tmp_path: Path) -> None:
    """An option that is a value where the folder is not searched, and a group where it is."""
    (tmp_path / "seed").mkdir()
    (tmp_path / "seed" / "five.yaml").write_text("# @package _global_\nseed: 5\n")
    given = ["+seed=five", f"hydra.searchpath=[{tmp_path}]", "selection_seed=2"]
    for overrides in (given, ["seed=five", given[1]]):  # the second lacks the + that a group needs here
        own, quick = (outcome(loader, overrides, RunMode.RUN, "config") for loader in loaders)
        assert quick == own
    config = loaders[1].load_configuration("config", given, RunMode.RUN)
    assert (config.seed, config.selection_seed) == (5, 2)
    with pytest.raises(HydraException, match="An item is already at 'seed'"):
        loaders[1].load_configuration("config", ["+seed=five", "selection_seed=2"], RunMode.RUN)


def test_a_loader_travels_without_what_it_has_composed(search_path: ConfigSearchPath) -> None:
    quick = QuickLoader(search_path)
    light = len(pickle.dumps(quick))
    config = quick.load_configuration("config", ["seed=1"], RunMode.RUN)
    assert len(pickle.dumps(quick)) == light
    arrived = pickle.loads(pickle.dumps(quick))
    assert whole(arrived.load_configuration("config", ["seed=1"], RunMode.RUN)) == whole(config)


def test_a_loader_arrives_before_hydra_has_looked_for_its_plugins(search_path: ConfigSearchPath) -> None:
    """As in the job of a cluster."""
    arrives = [sys.executable, "-c", "import pickle, sys; print(type(pickle.load(sys.stdin.buffer)).__name__)"]
    quick = pickle.dumps(QuickLoader(search_path))
    assert subprocess.run(arrives, input=quick, stdout=subprocess.PIPE, check=True).stdout == b"QuickLoader\n"


def test_commands_compose_once(
    composed: list[list[str]], capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A single run, and a sweep whose cells differ in values."""
    monkeypatch.chdir(tmp_path)
    for arguments, told in ([], "1 cell"), (["-m", "seed=range(5)"], "5 cells"):
        monkeypatch.setattr(config, "loaders", {})
        composed.clear()
        ended = run_script("run.py", *arguments, *TINY, "plan=true", capsys=capsys)
        assert ended.code == 0, ended.err
        assert told in ended.out
        assert len(composed) == 1
