"""The training of the Learning Law's toy, step by step in torch, so that it can be differentiated by its policy."""

import torch
from torch import Tensor

from winnow.core.types import Floats
from winnow.theory.learning_law import Task


class Unrolled:
    """A task in double precision, and its training as a differentiable function of the policy."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.x, self.y, self.target_x, self.target_y, self.start = (
            torch.tensor(array, dtype=torch.float64)
            for array in (task.x, task.y, task.target_x, task.target_y, task.start)
        )

    def train(self, policy: Tensor) -> list[Tensor]:
        """θ_0 ... θ_T."""
        thetas = [self.start]
        for weights in policy.unbind():
            theta = thetas[-1]
            residual = torch.sigmoid(self.x @ theta) - self.y
            thetas.append(theta - self.task.step_size * ((weights * residual) @ self.x))
        return thetas

    def target_losses(self, thetas: Tensor) -> Tensor:
        """L_target [T + 1] at thetas [T + 1, d]."""
        outputs = thetas @ self.target_x.T
        return (torch.nn.functional.softplus(outputs) - self.target_y * outputs).mean(1)

    def area(self, policy: Floats) -> tuple[float, Floats]:
        """The area and its gradient by the policy, [T, n]."""
        gamma = torch.tensor(policy, dtype=torch.float64, requires_grad=True)
        value = self.target_losses(torch.stack(self.train(gamma))).mean()
        (gradient,) = torch.autograd.grad(value, gamma)
        return value.item(), gradient.numpy()

    def measured(self, policy: Floats) -> tuple[Floats, Floats, Floats]:
        """θ [T + 1, d], L_target [T + 1] and ∇L_target(θ_t)·∇ℓ_i(θ_t) [T, n] of a training by the policy."""
        with torch.no_grad():
            theta = torch.stack(self.train(torch.tensor(policy, dtype=torch.float64)))
            losses = self.target_losses(theta)
            before = theta[:-1]
            residual = torch.sigmoid(before @ self.x.T) - self.y  # [T, n]
            target_residual = torch.sigmoid(before @ self.target_x.T) - self.target_y
            slopes = target_residual @ self.target_x / len(self.target_x)  # ∇L_target, [T, d]
            contributions = residual * (slopes @ self.x.T)
        return theta.numpy(), losses.numpy(), contributions.numpy()

    def losses_of_steps(self, lengths: Floats) -> Floats:
        """L_target [T + 1] of constant weights with steps of these lengths ‖θ_(t+1) − θ_t‖₂, [T]."""
        thetas = [self.start]
        with torch.no_grad():
            for length in lengths:
                theta = thetas[-1]
                step = (torch.sigmoid(self.x @ theta) - self.y) @ self.x
                thetas.append(theta - float(length) * step / step.norm())
            return self.target_losses(torch.stack(thetas)).numpy()
