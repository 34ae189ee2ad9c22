"""The Learning Law's toy: how much faster an optimal policy learns, and whether contributions become equal."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from winnow.figures.style import GREY, house_style
from winnow.theory.learning_law import (
    Run,
    Task,
    optimise,
    spread,
    supported,
    teacher_student,
    train,
    with_steps_as_long,
)
from winnow.types import Floats

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
) -> Figure:
    """`draw` of teacher_student(...) with the policy that `optimise` finds in at most `iterations`.

    Raises OptionError as these do.
    """
    task = teacher_student(n, dim, targets, steps=steps, step_size=step_size, noise=noise, seed=seed)
    policy = optimise(task, iterations=iterations).policy
    return draw(task, policy)


def draw(task: Task, policy: Floats) -> Figure:
    """Three panels over training steps: target loss; spread of contributions; how many examples have weight.

    Left: the loss of the constant and of the given policy [T, n], and, dashed, of constant weights with steps as long
    as that policy's. The dotted line marks where the policy reaches the constant one's final loss. Middle: standard
    deviation over mean of the contributions of the examples with weight, under both policies, and of their costate
    contributions, which an exact optimum makes equal; steps with one such example, which equals itself, are left out.
    """
    constant, optimal = train(task, task.constant), train(task, policy)
    with house_style():
        figure = Figure(figsize=(9.6, 3.2), layout="constrained")
        left, middle, right = figure.subplots(1, 3)
        _losses(left, constant, optimal, with_steps_as_long(task, optimal))
        _spreads(middle, task, policy, constant, optimal)
        _support(right, task, policy)
        for axes in (left, middle, right):
            axes.set_xlabel("training step")
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    return figure


def _losses(axes: Axes, constant: Run, optimal: Run, control: Floats) -> None:
    axes.plot(constant.losses, color="black", label="constant weights")
    axes.plot(control, color=GREY, linestyle=DASHED, label="constant, steps as long as the optimal")
    axes.plot(optimal.losses, color=VERMILION, label="optimal weights")
    final, last = float(constant.losses[-1]), len(constant.losses) - 1
    if (reached := optimal.steps_to(final)) is not None:
        label = f"{final:.2f} after {reached}, not {last} steps"
        axes.plot([reached, last], [final, final], color="black", linestyle=":", linewidth=1, label=label)
    axes.set_ylim(0, 1.05 * constant.losses[0])
    axes.set_title("target loss (nats)", loc="left")
    axes.legend(loc="upper right", fontsize=7.5)


def _spreads(axes: Axes, task: Task, policy: Floats, constant: Run, optimal: Run) -> None:
    several = supported(policy).sum(axis=1) > 1
    steps = np.arange(task.steps)
    lines = {
        "constant weights": (steps, spread(task.constant, constant.contributions), "black", "-", ""),
        "optimal weights": (steps[several], spread(policy, optimal.contributions)[several], VERMILION, "", "o"),
        "optimal, costate": (steps[several], spread(policy, optimal.costates)[several], BLUE, "", "^"),
    }
    floor = 1e-6  # below it is the optimiser's tolerance
    top = 1.0
    for label, (at, values, colour, style, marker) in lines.items():
        shown = np.maximum(values, floor)
        axes.plot(at, shown, color=colour, linestyle=style, marker=marker, markersize=4, label=label)
        top = max(top, shown.max(initial=0))
    axes.set_yscale("log")
    axes.set_ylim(floor / 2, 1000 * top)
    axes.set_title("spread of contributions (std / mean)", loc="left")
    axes.legend(loc="upper right", fontsize=7.5)


def _support(axes: Axes, task: Task, policy: Floats) -> None:
    axes.step(np.arange(task.steps), supported(policy).sum(axis=1), where="mid", color=VERMILION)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    share = policy[:, task.flipped].sum() / task.steps
    axes.set_title(f"examples with weight, of {len(task.x)}", loc="left")
    axes.annotate(
        f"flipped labels: {task.flipped.size / len(task.x):.0%} of the examples,\n{share:.1%} of the optimal weight",
        (0.03, 0.97),
        xycoords="axes fraction",
        va="top",
        fontsize=7.5,
    )
