import pytest
import torch
from hydra.utils import instantiate

from helpers.config import composed, options
from helpers.training import TINY, tiny_recipe
from winnow.errors import OptionError
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
    for schedule in ("onecycle", "cosine", "constant"):
        (only,), _ = rates(steps=1, schedule=schedule)
        assert 0 < only <= 0.4


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
        ({"schedule": "linear"}, r"recipe\.schedule=linear.*onecycle, cosine, constant"),
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
