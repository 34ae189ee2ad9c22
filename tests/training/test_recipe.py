import numpy as np
import pytest
import torch
from hydra.utils import instantiate

from helpers.config import composed, options
from helpers.training import TINY, tiny_recipe
from winnow.core.errors import OptionError
from winnow.datasets.augmentation import Augmentation
from winnow.store.keys import describe
from winnow.training.recipe import Recipe


def rates(steps=50, **options):
    """The learning rate of each step, and the one that is left after the last."""
    recipe = tiny_recipe(lr=0.4, **options)
    optimiser, schedule = recipe.optimiser(torch.nn.Linear(3, 2), steps)
    seen = []
    for _ in range(steps):
        seen.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        if schedule is not None:
            schedule.step()
    return seen, optimiser.param_groups[0]["lr"]


def test_steps_by_hand():
    # 100 examples in batches of at most 32 are 4 steps an epoch, 33 of them 2, 32 of them 1.
    epochs = tiny_recipe(epochs=3, batch_size=32)
    assert [epochs.steps(m, 100) for m in (100, 33, 32, 1)] == [12, 6, 3, 3]
    steps = tiny_recipe(epochs=3, batch_size=32, budget="steps")
    assert [steps.steps(m, 100) for m in (100, 33, 32, 1)] == [12, 12, 12, 12]


def test_onecycle_peaks_at_lr_and_ends_near_zero():
    seen, _ = rates(schedule="onecycle")
    assert max(seen) == pytest.approx(0.4)
    assert seen.index(max(seen)) == 14  # 30% of the way
    assert seen[0] == pytest.approx(0.4 / 25)
    assert seen[-1] < 1e-4 * 0.4


def test_cosine_starts_at_lr_and_ends_at_zero():
    seen, after = rates(schedule="cosine")
    assert seen[0] == 0.4
    assert seen[25] == pytest.approx(0.2)
    assert seen == sorted(seen, reverse=True)
    assert after == pytest.approx(0, abs=1e-12)


def test_constant_is_constant():
    seen, after = rates(schedule="constant")
    assert {*seen, after} == {0.4}


def test_a_schedule_can_be_one_step_long():
    for schedule in ({"schedule": "onecycle"}, {"schedule": "cosine"}, {"schedule": "constant"}, STEPPED):
        (only,), _ = rates(steps=1, **schedule)
        assert 0 < only <= 0.4
    for warmed in ({"schedule": "cosine"}, {"schedule": "constant"}, STEPPED):
        (only,), _ = rates(steps=1, **warmed, warmup=0.5)
        assert 0 < only <= 0.4


STEPPED = {"schedule": "step", "decay_at": (0.3, 0.6, 0.8), "decay_factor": 0.2}


def test_steps_of_the_rate_are_shares_of_all_steps():
    """Paul et al.: x 0.2 after epochs 60, 120 and 160 of 200; here an epoch is a step, and then a quarter of one."""
    for steps in (200, 50):
        seen, _ = rates(steps=steps, **STEPPED)
        runs = [(round(rate, 10), seen.count(rate)) for rate in dict.fromkeys(seen)]
        assert runs == [(0.4, steps * 0.3), (0.08, steps * 0.3), (0.016, steps * 0.2), (0.0032, steps * 0.2)]


def test_cosine_ends_at_final_lr():
    seen, after = rates(schedule="cosine", final_lr=0.1)
    assert seen[0] == 0.4
    assert seen[25] == pytest.approx(0.25)
    assert after == pytest.approx(0.1)


def test_a_warmup_rises_in_a_line_and_leaves_the_rest_to_the_schedule():
    seen, after = rates(schedule="cosine", warmup=0.1)
    np.testing.assert_allclose(seen[:6], 0.4 * np.array([1, 2, 3, 4, 5, 6]) / 6)
    assert seen[5:] == sorted(seen[5:], reverse=True)
    assert after == pytest.approx(0, abs=1e-12)
    constant, _ = rates(schedule="constant", warmup=0.1)
    np.testing.assert_allclose(constant[:5], seen[:5])
    np.testing.assert_allclose(constant[5:], 0.4)
    stepped, _ = rates(**STEPPED, warmup=0.1)
    assert [round(stepped[at], 10) for at in (14, 15, 29, 30, 39, 40)] == [0.4, 0.08, 0.08, 0.016, 0.016, 0.0032]


def test_linear_falls_in_a_line_to_its_last_rate():
    seen, after = rates(schedule="linear", final_lr=0.1, warmup=0.2)
    np.testing.assert_allclose(seen[:11], 0.4 * np.arange(1, 12) / 11)
    np.testing.assert_allclose([*seen[10:], after], np.linspace(0.4, 0.1, 41), rtol=1e-6)


def test_what_is_fixed_is_left_out_and_batch_norms_biases_have_a_rate_of_their_own():
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 2), torch.nn.BatchNorm2d(4), torch.nn.Linear(4, 2))
    model[0].weight.requires_grad_(False)
    recipe = tiny_recipe(lr=0.4, weight_decay=0.1, norm_bias_rate=8, decay_all=True, schedule="linear", warmup=0.5)
    optimiser, schedule = recipe.optimiser(model, 10)
    names = {parameter: name for name, parameter in model.named_parameters()}
    groups = [([names[p] for p in group["params"]], group["weight_decay"]) for group in optimiser.param_groups]
    assert groups == [(["2.weight"], 0.1), (["0.bias", "1.weight", "2.bias"], 0.1), (["1.bias"], 0.1 / 8)]
    for _ in range(5):
        optimiser.step()
        schedule.step()
    assert [group["lr"] for group in optimiser.param_groups] == pytest.approx([0.4, 0.4, 3.2])


def test_total_steps_whatever_is_kept():
    recipe = tiny_recipe(epochs=7, total_steps=12, budget="steps")
    assert [recipe.steps(m, n) for m, n in ((1, 5), (100, 100))] == [12, 12]
    assert recipe.examples(10, 100) == 120


def test_constant_batches_by_hand():
    """Equal steps are equal examples: 64 examples or 65, a step has 64."""
    equal, constant = (
        Recipe(epochs=3, batch_size=64, budget="steps", batches=batches) for batches in ("equal", "constant")
    )
    assert [constant.steps(m, 640) for m in (64, 65)] == [equal.steps(m, 640) for m in (64, 65)] == [30, 30]
    assert [constant.examples(m, 640) for m in (10, 64, 65)] == [1920, 1920, 1920]
    assert [equal.examples(m, 640) for m in (64, 65)] == [1920, 15 * 65]
    assert [constant.batch_sizes(m) for m in (10, 65)] == [(64, 64), (64, 64)]
    assert [equal.batch_sizes(m) for m in (10, 65)] == [(10, 10), (32, 33)]
    passes = Recipe(epochs=3, batch_size=64, batches="constant")
    assert [passes.steps(m, 640) for m in (10, 64, 65)] == [1, 3, 4]  # ⌈3 m / 64⌉


def test_new_options_leave_the_keys_of_what_was_there():
    described = describe(tiny_recipe())
    assert not {"batches", "total_steps", "ema", "decay_at", "nesterov"} & set(described)
    assert describe(tiny_recipe(ema=0.9))["ema"] == 0.9
    assert "padding" not in describe(Augmentation())
    assert describe(Augmentation(padding="reflect"))["padding"] == "reflect"


def test_decay_of_all_parameters_and_plain_momentum():
    optimiser, _ = tiny_recipe(weight_decay=0.01, decay_all=True, nesterov=False).optimiser(TINY.build((8, 8, 1), 3), 9)
    assert {group["weight_decay"] for group in optimiser.param_groups} == {0.01}
    assert {group["nesterov"] for group in optimiser.param_groups} == {False}


def test_weight_decay_spares_biases_and_batch_norm():
    model = TINY.build((8, 8, 1), 3)
    optimiser, _ = tiny_recipe(weight_decay=0.01).optimiser(model, 10)
    decay = {id(p): group["weight_decay"] for group in optimiser.param_groups for p in group["params"]}
    found = {name: decay.pop(id(p)) for name, p in model.named_parameters()}
    assert not decay
    assert {name for name, value in found.items() if value == 0.01} == {
        "backbone.0.weight",
        "backbone.4.weight",
        "head.weight",
    }
    assert set(found.values()) == {0.0, 0.01}


def test_momentum():
    group = tiny_recipe().optimiser(torch.nn.Linear(2, 2), 5)[0].param_groups[0]
    assert (group["momentum"], group["nesterov"]) == (0.9, True)
    optimiser, schedule = tiny_recipe(momentum=0).optimiser(torch.nn.Linear(2, 2), 5)
    optimiser.step()
    schedule.step()
    assert (optimiser.param_groups[0]["momentum"], optimiser.param_groups[0]["nesterov"]) == (0, False)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"schedule": "exponential"}, r"recipe\.schedule=exponential.*onecycle, cosine, linear, step, constant"),
        ({"precision": "float16"}, r"recipe\.precision=float16.*float32, bfloat16"),
        ({"budget": "examples"}, r"recipe\.budget=examples.*epochs, steps"),
        ({"epochs": 0}, r"recipe\.epochs=0"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"lr": 0}, r"recipe\.lr=0"),
        ({"weight_decay": -1e-4}, "weight_decay=-0.0001"),
        ({"momentum": 1}, "momentum"),
        ({"momentum": -0.1}, "momentum"),
        ({"label_smoothing": 1}, "label_smoothing"),
        ({"label_smoothing": -0.1}, "label_smoothing"),
        ({"ema": 1}, r"recipe\.ema=1"),
        ({"batches": "full"}, r"recipe\.batches=full.*equal, constant"),
        ({"total_steps": 0}, r"total_steps=0.*null"),
        ({"final_lr": 0.5, "schedule": "cosine"}, r"final_lr=0\.5 must be from 0 to recipe\.lr"),
        ({"final_lr": 0.01}, "schedule=cosine or linear, not onecycle"),
        ({"schedule": "step"}, r"needs recipe\.decay_at"),
        ({"schedule": "cosine", "decay_at": (0.5,)}, "no other schedule has any"),
        ({"schedule": "step", "decay_at": (0.6, 0.3)}, "rising"),
        ({"schedule": "step", "decay_at": (60, 120)}, "shares of the steps"),
        ({"schedule": "step", "decay_at": (0.5,), "decay_factor": 0}, "decay_factor=0"),
        ({"warmup": 0.1}, "onecycle has a warm-up"),
        ({"norm_bias_rate": 0}, r"norm_bias_rate=0"),
        ({"lookahead": -1}, r"lookahead=-1"),
        ({"lookahead": 5, "ema": 0.9}, "both say which average"),
        ({"test_views": 3}, r"recipe\.test_views=3.*1, 2, 6"),
    ],
)
def test_bad_options(bad, message):
    with pytest.raises(OptionError, match=message):
        tiny_recipe(**bad)


@pytest.mark.parametrize("path", options("recipe"), ids=lambda path: path.stem)
def test_config(path):
    recipe = instantiate(composed(path))
    assert isinstance(recipe, Recipe)
    assert recipe.name == path.stem
    assert path.read_text().startswith("# ")


def test_there_are_configs():
    assert options("recipe")


def test_a_training_of_few_steps_is_warned_of(caplog):
    Recipe(epochs=10, batch_size=20).warn_of_few_steps("here", 100, 100)
    assert caplog.text == ""
    Recipe(epochs=10, batch_size=256).warn_of_few_steps("here", 200, 200)
    assert "here: only 10 optimiser steps; raise recipe.epochs" in caplog.text
