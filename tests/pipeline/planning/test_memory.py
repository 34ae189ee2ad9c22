"""Memory as it is planned, against what a profiler counts in a real step."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.profiler import ProfilerActivity, profile

from helpers.training import CPU, TINY, tiny_dataset, tiny_probe, tiny_recipe
from winnow.core.machine import unfolds
from winnow.datasets.loader import at_once
from winnow.datasets.synthetic import Synthetic
from winnow.metrics.el2n import EL2N
from winnow.metrics.grand import GraNd
from winnow.models.base import ModelSpec
from winnow.models.resnet_cifar import ResNetCifar
from winnow.models.smallconv import SmallConv
from winnow.pipeline import CellSpec
from winnow.pipeline.planning.memory import cell_need, shared_needs
from winnow.selectors.alpha import Fixed
from winnow.selectors.compression import Fraction
from winnow.selectors.threshold import Threshold
from winnow.training.callbacks.forgetting import Forgetting
from winnow.training.memory import evaluation_bytes, training_bytes
from winnow.training.recipe import Recipe


def _most_allocated(profiled: profile) -> int:
    """The most bytes that were allocated at once, from every allocation and release that the profiler saw."""
    events = [event for event in profiled.profiler.kineto_results.events() if event.name() == "[memory]"]
    changes = [event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())]
    return int(np.cumsum(changes).max())


def _bytes(model: torch.nn.Module) -> int:
    return sum(value.numel() * value.element_size() for value in model.state_dict().values())


def _seen_by_the_profiler(spec: ModelSpec, recipe: Recipe, shape: tuple[int, int, int], batch: int) -> int:
    """What a training step really holds at its peak on this CPU."""
    model = spec.build(shape, 10).to(memory_format=torch.channels_last)
    optimiser, _ = recipe.optimiser(model, steps=2)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        for _ in range(2):
            images = torch.zeros(batch, shape[2], *shape[:2]).contiguous(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16, enabled=recipe.precision == "bfloat16"):
                loss = F.cross_entropy(model(images), torch.zeros(batch, dtype=torch.int64))
            loss.backward()
            optimiser.step()
            optimiser.zero_grad()
            del loss
    return _most_allocated(profiled) + _bytes(model)


@pytest.mark.parametrize(
    ("spec", "size", "batch"),
    [(SmallConv(width=32), 8, 64), (ResNetCifar(depth=8, width=8), 32, 16)],
    ids=["smallconv", "resnet8"],
)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_training_step_holds_what_the_profiler_sees(spec, size: int, batch: int, precision: str) -> None:
    shape, recipe = (size, size, 3), tiny_recipe(precision=precision)
    seen = _seen_by_the_profiler(spec, recipe, shape, batch)
    planned = training_bytes(spec, recipe, shape, 10, batch, unfolded=unfolds("cpu", precision))
    assert planned == pytest.approx(seen, rel=0.1)


@pytest.mark.filterwarnings("ignore:TF32 acceleration")  # which torch says of any flag of oneDNN
def test_without_kernels_for_bfloat16_patches_are_held_too() -> None:
    """As on a CPU without bfloat16 in oneDNN, whose part here is played by oneDNN left out."""
    spec, shape, batch = ResNetCifar(depth=8, width=8), (32, 32, 3), 16
    recipe = tiny_recipe(precision="bfloat16")
    with torch.backends.mkldnn.flags(enabled=False):
        seen = _seen_by_the_profiler(spec, recipe, shape, batch)
    assert training_bytes(spec, recipe, shape, 10, batch, unfolded=True) == pytest.approx(seen, rel=0.1)
    assert training_bytes(spec, recipe, shape, 10, batch) < 0.7 * seen


def test_a_pass_holds_what_the_profiler_sees() -> None:
    shape = (32, 32, 3)
    spec = ResNetCifar(depth=8, width=4)
    model = spec.build(shape, 10).eval().to(memory_format=torch.channels_last)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled, torch.no_grad():
        model(torch.zeros(at_once(shape, "cpu"), 3, 32, 32).contiguous(memory_format=torch.channels_last))
    planned = evaluation_bytes(spec, shape, 10, 5000, "cpu")
    assert planned == pytest.approx(_most_allocated(profiled) + _bytes(model), rel=0.05)


def test_looking_computes_nothing_and_leaves_the_random_state() -> None:
    before = torch.random.get_rng_state()
    training_bytes(SmallConv(width=7), tiny_recipe(), (8, 8, 1), 3, 5)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("changes", [True, False])
def test_what_a_recorder_holds_is_counted_to_the_byte(changes: bool) -> None:
    spec = Forgetting(changes=changes)
    recorder = spec.build(np.arange(60), 3)
    device = type("Module", (), {"device": torch.device("cpu")})()
    recorder.on_fit_start(None, device)
    recorder.on_train_epoch_start(None, device)
    tensors = [each for each in [*vars(recorder).values(), *recorder.row.values()] if isinstance(each, torch.Tensor)]
    assert spec.held_bytes(60, 3) == sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def test_needs_name_what_holds_memory() -> None:
    cell = CellSpec(
        dataset=Synthetic(n=60, n_test=50, n_classes=3),
        model=TINY,
        recipe=tiny_recipe(),
        probe=tiny_probe(evaluate_at=(1, 2)),
        metric=EL2N(),
        selector=Threshold(drop_suspect=0.1, suspect_by="aum"),
        alpha=Fixed(value=0.5),
        compression=Fraction(r=0.5),
        recorders=(Forgetting(),),
    )
    dataset = tiny_dataset()
    data = 110 * (8 * 8 + 8)
    own = cell_need(cell, dataset, CPU, 30)
    assert own.device["data set"] == data
    assert own.device["recorders"] == Forgetting().held_bytes(30, 3)
    probe, part, fold, scoring = shared_needs(cell, dataset, CPU, {"probe", "part", "fold", "scores"})
    assert probe.on_host == 2 * 60 * (7 * 4 + 1)
    assert part.device["data set"] == fold.device["data set"] == data
    assert scoring.host == {"logits": 2 * 2 * 60 * 3 * 4}  # trajectories stay in their files
    assert scoring.on_device == 0
    graded = CellSpec(**{**vars(cell), "metric": GraNd()})
    (scoring,) = shared_needs(graded, dataset, CPU, {"scores"})
    assert scoring.device == {"a pass": CPU.memory_gb * 2**30, "data set": data}
