"""The Learning Law's toy: how much faster an optimal policy learns, and whether contributions become equal."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from winnow.core.types import Floats
from winnow.figures.style import GREY, Drawing, house_style
from winnow.theory.learning_law import Run, Task, equal_step_control, spread, supported, teacher_student, train
from winnow.theory.policy_search import optimise

BLUE, VERMILION = "#0072B2", "#D55E00"
DASHED = (0, (5, 1.5))


def learning_law(
    n: int = 128,
    dim: int = 8,
    targets: int = 128,
    steps: int = 50,
    step_size: float = 0.5,
    noise: float = 0.1,
    seed: int = 0,
    iterations: int = 3000,
) -> Drawing:
    """`draw` of teacher_student(...) with the policy that `optimise` finds in at most `iterations`.

    Raises OptionError as these do.
    """
    task = teacher_student(n, dim, targets, steps=steps, step_size=step_size, noise=noise, seed=seed)
    policy = optimise(task, iterations=iterations).policy
    return draw(task, policy)


def draw(task: Task, policy: Floats) -> Drawing:
    """Three panels over training steps: target loss; spread of contributions; how many examples have weight.

    Left: the loss of the constant and of the given policy [T, n], and, dashed, of constant weights with steps as long
    as that policy's. The dotted line marks where the policy reaches the constant one's final loss. Middle: standard
    deviation over mean of the contributions of the examples with weight, under both policies, and of their costate
    contributions, which an exact optimum makes equal; steps with one such example, which equals itself, are left out.
    The table has a line a step, its spreads NaN where none is drawn.
    """
    constant, optimal = train(task, task.constant), train(task, policy)
    table = _numbers(task, policy, constant, optimal)
    with house_style():
        figure = Drawing(table, (9.6, 3.2))
        left, middle, right = figure.subplots(1, 3)
        _losses(left, table, optimal.steps_to(float(constant.losses[-1])))
        _spreads(middle, table)
        _support(right, table, task)
        for axes in (left, middle, right):
            axes.set_xlabel("training step")
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    return figure


def _numbers(task: Task, policy: Floats, constant: Run, optimal: Run) -> pd.DataFrame:
    several = supported(policy).sum(axis=1) > 1
    losses = {
        "loss_constant": constant.losses,
        "loss_constant_as_long": equal_step_control(task, optimal),
        "loss_optimal": optimal.losses,
    }
    of_steps = {
        "spread_constant": spread(task.constant, constant.contributions),
        "spread_optimal": np.where(several, spread(policy, optimal.contributions), np.nan),
        "spread_optimal_costate": np.where(several, spread(policy, optimal.costates), np.nan),
        "examples_with_weight": supported(policy).sum(axis=1),
        "weight_of_flipped": policy[:, task.flipped].sum(axis=1),
    }
    after = pd.DataFrame({"step": np.arange(task.steps + 1)} | losses)
    return after.join(pd.DataFrame(of_steps))  # nothing follows the last loss


def _losses(axes: Axes, table: pd.DataFrame, reached: int | None) -> None:
    axes.plot(table["step"], table["loss_constant"], color="black", label="constant weights")
    label = "constant, steps as long as the optimal"
    axes.plot(table["step"], table["loss_constant_as_long"], color=GREY, linestyle=DASHED, label=label)
    axes.plot(table["step"], table["loss_optimal"], color=VERMILION, label="optimal weights")
    final, last = float(table["loss_constant"].iloc[-1]), len(table) - 1
    if reached is not None:
        label = f"{final:.2f} after {reached}, not {last} steps"
        axes.plot([reached, last], [final, final], color="black", linestyle=":", linewidth=1, label=label)
    axes.set_ylim(0, 1.05 * table["loss_constant"].iloc[0])
    axes.set_title("target loss (nats)", loc="left")
    axes.legend(loc="upper right", fontsize=7.5)


def _spreads(axes: Axes, table: pd.DataFrame) -> None:
    lines = {
        "constant weights": ("spread_constant", "black", "-", ""),
        "optimal weights": ("spread_optimal", VERMILION, "", "o"),
        "optimal, costate": ("spread_optimal_costate", BLUE, "", "^"),
    }
    floor = 1e-6  # below it is the optimiser's tolerance
    top = 1.0
    for label, (name, colour, style, marker) in lines.items():
        drawn = table[table[name].notna()]
        shown = np.maximum(drawn[name], floor)
        axes.plot(drawn["step"], shown, color=colour, linestyle=style, marker=marker, markersize=4, label=label)
        top = max([top, *shown])
    axes.set_yscale("log")
    axes.set_ylim(floor / 2, 1000 * top)
    axes.set_title("spread of contributions (std / mean)", loc="left")
    axes.legend(loc="upper right", fontsize=7.5)


def _support(axes: Axes, table: pd.DataFrame, task: Task) -> None:
    axes.step(table["step"][:-1], table["examples_with_weight"][:-1], where="mid", color=VERMILION)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    share = table["weight_of_flipped"].mean()
    axes.set_title(f"examples with weight, of {len(task.x)}", loc="left")
    axes.annotate(
        f"flipped labels: {task.flipped.size / len(task.x):.0%} of the examples,\n{share:.1%} of the optimal weight",
        (0.03, 0.97),
        xycoords="axes fraction",
        va="top",
        fontsize=7.5,
    )
