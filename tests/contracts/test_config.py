"""Every yaml of every config group composes to a typed cell, and every experiment too."""

import copy
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf, open_dict

from helpers.config import composed_cell
from winnow.cli import entry
from winnow.cli.cells import cell_from, runtime_from
from winnow.core.errors import OptionError
from winnow.pipeline import CellSpec
from winnow.probes.embeddings.probe import ProbeFeatures
from winnow.probes.probe import Probe
from winnow.training import precision

CONF = Path(entry.CONF)
GROUPS = ("dataset", "model", "recipe", "probe", "embedding", "metric", "selector", "alpha", "compression", "callbacks")
REQUIRED = {
    ("dataset", "imagefolder"): ["dataset.root=data"],
    ("embedding", "npy"): ["embedding.path=vectors.npy"],
    ("embedding", "encoder"): ["embedding.weights=weights.pt"],
    ("metric", "file"): ["metric.path=scores.csv"],
}
OPTIONS = {group: sorted(path.stem for path in (CONF / group).glob("*.yaml")) for group in GROUPS}
EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))


@pytest.mark.parametrize("options", list(zip_longest(*OPTIONS.values())), ids=lambda each: "-".join(filter(None, each)))
def test_every_option_of_every_group_makes_a_cell(options: tuple[str | None, ...]) -> None:
    """The first of each group together, then the second of each, and so on: composing is what takes long."""
    chosen = [(group, option) for group, option in zip(GROUPS, options, strict=True) if option is not None]
    required = [override for each in chosen for override in REQUIRED.get(each, [])]
    cfg = composed_cell(*(f"{group}={option}" for group, option in chosen), *required)
    assert isinstance(cell_from(cfg), CellSpec)
    for own, of_probes in ((cfg.model, cfg.probe.model), (cfg.recipe, cfg.probe.recipe)):
        assert own.keys() <= of_probes.keys(), "probes have every option of theirs"
    assert cfg.recipe.augmentation.keys() <= cfg.probe.recipe.augmentation.keys()


def _targets(node: Any, path: str = "") -> list[str]:
    """The dotted paths of all components in a plain configuration."""
    if not isinstance(node, dict):
        return []
    below = [found for name in node for found in _targets(node[name], f"{path}.{name}".lstrip("."))]
    return below + ([path] if "_target_" in node else [])


def test_no_component_of_any_group_can_be_something_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each `_target_` of a cell, nested ones too, is replaced by a function, which must not be called."""
    called: list[Any] = []
    monkeypatch.setattr("os.system", called.append)
    overrides = ["selector=calibrated", "selector.signal={_target_:winnow.selectors.threshold.Threshold}"]
    overrides += ["embedding=simclr", "callbacks=[forgetting,contributions]"]
    whole = composed_cell(*overrides)
    plain: Any = OmegaConf.to_container(whole)
    paths = [path for name in (*GROUPS, "trainer", "logger") for path in _targets(plain[name], name)]
    assert {"recipe.augmentation", "embedding.views", "selector.signal", "callbacks.forgetting"} < set(paths)
    assert set(GROUPS) - {"callbacks"} < set(paths)
    for path in paths:
        cfg = copy.deepcopy(whole)
        owner = OmegaConf.select(cfg, path)
        owner["_target_"] = "os.system"
        with pytest.raises(OptionError, match=rf"{path.rpartition('.')[2]}\._target_=os\.system is no class"):
            runtime_from(cfg) if path.startswith(("trainer", "logger")) else cell_from(cfg)
    assert called == []


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_makes_a_cell_and_says_how_it_is_run(experiment: str) -> None:
    cfg = composed_cell(f"experiment={experiment}")
    cell = cell_from(cfg)
    assert cell.rule
    assert cfg.hydra.sweeper.params, "an experiment is a sweep"
    text = (CONF / "experiment" / f"{experiment}.yaml").read_text()
    assert f"experiment={experiment}" in text.splitlines()[1], "its head gives the command"


@pytest.mark.parametrize("option", ["auto", "cpu"])
@pytest.mark.parametrize("logger", [path.stem for path in sorted((CONF / "logger").glob("*.yaml"))])
def test_every_runtime_option(option: str, logger: str, tmp_path: Path) -> None:
    if logger == "tensorboard":
        pytest.importorskip("tensorboard")
    cfg = composed_cell(f"trainer={option}", f"logger={logger}", f"hydra.runtime.output_dir={tmp_path}")
    HydraConfig.instance().set_config(cfg)
    runtime = runtime_from(cfg)
    assert runtime.trainer.accelerator == option
    assert runtime.store.root == Path("artifacts")


def test_small_data_sets_bring_models_of_their_size_and_a_choice_on_the_command_line_wins() -> None:
    assert cell_from(composed_cell("dataset=digits")).model.name == "smallconv"
    assert cell_from(composed_cell("dataset=imagefolder", "dataset.root=x")).model.name == "resnet18"
    assert cell_from(composed_cell("dataset=digits", "model=resnet8")).model.name == "resnet8"
    assert cell_from(composed_cell("experiment=cifar10_jpeg")).model.name == "resnet8"
    assert cell_from(composed_cell("experiment=demo")).recipe.name == "digits"


def test_the_probe_simclr_is_a_short_name_of_the_embedding() -> None:
    long = cell_from(composed_cell("embedding=simclr", "probe=default", "embedding.epochs=7")).probe
    for short in (["probe=simclr"], ["dataset=digits", "probe=simclr"], ["experiment=demo", "probe=simclr"]):
        assert cell_from(composed_cell(*short, "embedding.epochs=7")).probe == long
    assert long.embedding != cell_from(composed_cell()).probe.embedding == ProbeFeatures()


def test_views_are_mirrored_where_training_images_are() -> None:
    for dataset, flip in ((["dataset=digits"], False), (["dataset=imagefolder", "dataset.root=x"], True)):
        assert cell_from(composed_cell(*dataset, "embedding=simclr")).probe.embedding.views.flip is flip


def _probe(*overrides: str) -> Probe:
    return cell_from(composed_cell(*overrides)).probe


@pytest.mark.parametrize("dataset", ["digits", "cifar10"])
def test_probes_take_over_what_is_not_set_for_them(dataset: str) -> None:
    overrides = (f"dataset={dataset}", "recipe.lr=0.3", "recipe.augmentation.cutout=0.25", "model=resnet8")
    cell = cell_from(composed_cell(*overrides, "model.width=8"))
    assert (cell.probe.recipe, cell.probe.model) == (cell.recipe, cell.model)
    changed = _probe(*overrides, "model.width=8", "probe.recipe.lr=0.1", "probe.recipe.augmentation.shift=0")
    recipe = replace(cell.recipe, lr=0.1, augmentation=replace(cell.recipe.augmentation, shift=0))
    assert changed == replace(cell.probe, recipe=recipe)
    assert _probe(*overrides, "probe.model.width=4").model == replace(cell.model, width=4)


def test_probes_may_have_another_recipe_and_model_by_name() -> None:
    own = cell_from(composed_cell("dataset=cifar10"))
    other = cell_from(
        composed_cell("dataset=digits", "recipe.lr=0.3", "recipe@probe.recipe=images", "model@probe.model=resnet8")
    )
    assert other.recipe.name == "digits"
    assert (other.probe.recipe, other.probe.model) == (
        own.recipe,
        cell_from(composed_cell("model=resnet8")).model,
    )
    quicker = _probe("dataset=digits", "recipe@probe.recipe=images", "probe.recipe.lr=0.1", "probe.recipe.momentum=0")
    assert quicker.recipe == replace(own.recipe, lr=0.1, momentum=0)
    assert _probe("probe=simclr", "probe.recipe.lr=0.1").recipe.lr == 0.1
    assert _probe("experiment=cifar10_jpeg").recipe.name == "cifar10_jpeg"


def test_what_a_yaml_leaves_at_its_default_is_left_there_for_the_probes_too() -> None:
    cfg = composed_cell("recipe.lr=0.3", "probe.recipe.batch_size=16")
    with open_dict(cfg):
        del cfg.recipe.momentum, cfg.recipe.augmentation.shift
    cell = cell_from(cfg)
    assert cell.probe.recipe == replace(cell.recipe, batch_size=16)
    named = composed_cell("dataset=digits", "recipe.momentum=0.5", "recipe@probe.recipe=images")
    with open_dict(named):
        named.probe.recipe.momentum = "${oc.select:recipe.momentum}"  # as where images.yaml does not name it
    assert cell_from(named).probe.recipe.momentum == 0.9


def test_callbacks_are_combined_by_listing_them() -> None:
    listed = cell_from(composed_cell("callbacks=[forgetting,contributions]", "callbacks.contributions.every=5"))
    assert [type(recorder).__name__ for recorder in listed.recorders] == ["Forgetting", "Contributions"]
    assert cell_from(composed_cell()).recorders == cell_from(composed_cell("callbacks=none")).recorders == ()


def test_each_yaml_says_in_its_first_line_what_it_is() -> None:
    for path in CONF.glob("*/*.yaml"):
        assert path.read_text().startswith("# "), path


@pytest.mark.parametrize(("fast", "told"), [(True, "bfloat16"), (False, "float32")])
@pytest.mark.parametrize("experiment", ["cifar10_jpeg", "label_noise_cifar10_jpeg"])
def test_an_experiment_takes_the_precision_in_which_the_device_is_faster(
    experiment: str, fast: bool, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "trains_faster_in_bfloat16", lambda kind: fast)
    cell = cell_from(composed_cell(f"experiment={experiment}"))
    assert (cell.recipe.precision, cell.probe.recipe.precision) == (told, told)
