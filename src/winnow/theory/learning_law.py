"""The Learning Law's toy: example weights that change in time, chosen so that a perceptron learns as fast as it can.

Gu et al. 2024 (2402.17759), sections 3 and 4.1, "Towards Optimal Learning of Language Models". Their law says that at
the optimum ∇L_target·∇ℓ_i is the same for all examples with weight. What is exactly the same there is λ·∇ℓ_i, with λ
the costate: the gradient, by the parameters, of all the target loss still to come. The two agree where the order in
which examples are learned does not matter, that is where the flows of their gradients commute; elsewhere the law is an
approximation, and `Run` has both sides, so that one can see how good it is.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from winnow.core.errors import OptionError
from winnow.core.seeds import stream
from winnow.core.types import Floats, Ints

if TYPE_CHECKING:
    from winnow.theory.unrolled import Unrolled

SUPPORT = 1e-6
"""A weight below this share of the step's weight is none: the projection leaves zeros, and rounding little more."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Task:
    """A teacher's labels to learn by full-batch gradient steps, and the data on which the learning is judged.

    x [n, d], y [n] in {0, 1}: training examples; target_x [J, d], target_y [J]: the target set, whose mean loss is
    L_target; start [d]: the student's weights before the first step; step_size η and steps T:
    θ_(t+1) = θ_t − η Σ_i γ_(t,i) ∇ℓ_i(θ_t), with ℓ the logistic loss of θ·x, nats. flipped: the training examples
    whose labels are not the teacher's.
    """

    x: Floats
    y: Floats
    target_x: Floats
    target_y: Floats
    start: Floats
    step_size: float
    steps: int
    flipped: Ints

    @property
    def constant(self) -> Floats:
        """The policy of conventional training: γ = 1/n throughout, [T, n]."""
        return np.full((self.steps, len(self.x)), 1 / len(self.x))


def teacher_student(
    n: int = 128,
    dim: int = 8,
    targets: int = 128,
    *,
    steps: int = 50,
    step_size: float = 0.5,
    noise: float = 0.1,
    seed: int = 0,
) -> Task:
    """A task like the paper's: a Gaussian teacher T and x ~ N(0, I_dim), y = 1 where T·x > 0, a Gaussian student start.

    The paper has dim 128, 4,096 training and 512 target examples, 2,000 steps of 0.1. It is smaller here, so that the
    optimum is reached instead of approached. noise: the fraction of training labels that are flipped (the paper's
    theorem is about examples that are not noisy; flipped ones show where their weight goes). Target labels are clean.

    Raises OptionError for sizes below one or a noise outside [0, 1/2].
    """
    if min(n, dim, targets, steps) < 1 or step_size <= 0:
        raise OptionError("n, dim, targets and steps must be at least 1, and step_size positive.")
    if not 0 <= noise <= 0.5:
        raise OptionError(f"noise={noise} must be a fraction of the labels in [0, 0.5].")
    rng = stream(seed, "learning law")
    teacher = rng.standard_normal(dim)
    x, target_x = rng.standard_normal((n, dim)), rng.standard_normal((targets, dim))
    start = rng.standard_normal(dim)
    y = (x @ teacher > 0).astype(np.float64)
    flipped = np.sort(rng.permutation(n)[: round(noise * n)])
    y[flipped] = 1 - y[flipped]
    target_y = (target_x @ teacher > 0).astype(np.float64)
    return Task(
        x=x,
        y=y,
        target_x=target_x,
        target_y=target_y,
        start=start,
        step_size=step_size,
        steps=steps,
        flipped=flipped,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Run:
    """One training by a policy. losses [T + 1]: L_target at θ_0 ... θ_T; its mean over them is the area.

    theta [T + 1, d]. contributions [T, n]: ∇L_target(θ_t)·∇ℓ_i(θ_t), the paper's. costates [T, n]: the same with
    ∂(Σ_s>t L_target(θ_s))/∂θ_(t+1) in the place of ∇L_target: −η times it is the derivative of the summed loss by
    γ_(t,i), so that at an optimum it is equal for all examples with weight, exactly, and not more for any other.
    """

    losses: Floats
    theta: Floats
    contributions: Floats
    costates: Floats

    @property
    def area(self) -> float:
        """Σ_t L_target(θ_t) / (T + 1), nats: what the policy is to minimise."""
        return float(self.losses.mean())

    def steps_to(self, loss: float) -> int | None:
        """The first step after which L_target is at most `loss`; None where it never is."""
        reached = np.flatnonzero(self.losses <= loss)
        return int(reached[0]) if reached.size else None


def unrolled(task: Task) -> "Unrolled":
    """Its training as a function that can be differentiated."""
    from winnow.theory.unrolled import Unrolled  # torch takes seconds, and this room is otherwise without it

    return Unrolled(task)


def train(task: Task, policy: Floats) -> Run:
    """Train by a policy γ [T, n] and measure what each example contributed in each step.

    Raises OptionError unless γ ≥ 0 and Σ_i γ_(t,i) = 1 in each step, to 1e-9.
    """
    if policy.shape != task.constant.shape or policy.min() < 0 or np.any(np.abs(policy.sum(axis=1) - 1) > 1e-9):
        raise OptionError(
            f"a policy must be {list(task.constant.shape)} weights, none negative, that sum to one in each step; "
            "project it onto the simplex first."
        )
    training = unrolled(task)
    theta, losses, contributions = training.measured(policy)
    _, gradient = training.area(policy)
    return Run(
        losses=losses,
        theta=theta,
        contributions=contributions,
        costates=-gradient * (task.steps + 1) / task.step_size,
    )


def equal_step_control(task: Task, run: Run) -> Floats:
    """L_target [T + 1] of constant weights whose step t is as long as the step t of `run`, ‖θ_(t+1) − θ_t‖₂.

    A policy may pick examples with large gradients and so take longer steps than their mean; this control, which is not
    in the paper, has the length without the choice of direction.
    """
    lengths = np.linalg.norm(np.diff(run.theta, axis=0), axis=1)
    return unrolled(task).losses_of_steps(lengths)


def spread(policy: Floats, contributions: Floats) -> Floats:
    """Σ_i γ_i (c_i − c̄)² as a root, over |c̄|, c̄ = Σ_i γ_i c_i, in each step, [T]: 0 where all with weight are equal.

    One over the paper's similarity of contributions (section 4.1). policy and contributions: [T, n].
    """
    mean = (policy * contributions).sum(axis=1)
    variance = (policy * np.square(contributions - mean[:, None])).sum(axis=1)
    return np.sqrt(variance) / np.abs(mean)


def supported(policy: Floats) -> NDArray[np.bool_]:
    """Which examples have weight in which step, [T, n]."""
    return policy > SUPPORT
