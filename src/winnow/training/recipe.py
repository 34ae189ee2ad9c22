"""How a model is trained: the numbers of the optimiser, and how long."""

import logging
from dataclasses import dataclass, field

import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, OneCycleLR

from winnow.datasets.augmentation import Augmentation
from winnow.errors import OptionError, check_choice
from winnow.keys import NOT_IN_KEY, Component

log = logging.getLogger(__name__)
FEW_STEPS = 50


@dataclass(frozen=True, kw_only=True)
class Recipe(Component):
    """SGD with Nesterov momentum and a schedule over optimiser steps.

    budget: "epochs" passes over a subset `epochs` times, so a small subset gets fewer steps; "steps" gives every subset
    the steps that `epochs` passes over the full training set take. batch_size: the largest batch (see InMemoryLoader).
    schedule: "onecycle" (Smith & Topin 2017; warm-up over 30% to `lr`, then cosine to nothing), "cosine" or "constant".
    precision: "float32", "bfloat16" (autocast in training only; tests and scores are computed in float32), or "auto",
    which stands for one of them until winnow.training.precision.settled says which: the faster on a device.
    Weight decay spares biases and batch norm, as is usual with large learning rates.

    Raises OptionError for a value outside its range.
    """

    name: str = field(default="custom", metadata=NOT_IN_KEY)
    epochs: int
    batch_size: int = 128
    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    schedule: str = "onecycle"
    label_smoothing: float = 0.0
    precision: str = "float32"
    channels_last: bool = True
    budget: str = "epochs"
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        check_choice("recipe.schedule", self.schedule, ("onecycle", "cosine", "constant"))
        check_choice("recipe.precision", self.precision, ("float32", "bfloat16", "auto"))
        check_choice("recipe.budget", self.budget, ("epochs", "steps"))
        if self.epochs < 1 or self.batch_size < 1:
            raise OptionError(f"recipe.epochs={self.epochs} and batch_size={self.batch_size} must be at least 1.")
        if self.lr <= 0 or self.weight_decay < 0:
            raise OptionError(f"recipe.lr={self.lr} must be positive and weight_decay={self.weight_decay} at least 0.")
        if not (0 <= self.momentum < 1 and 0 <= self.label_smoothing < 1):
            raise OptionError("recipe.momentum and recipe.label_smoothing must be in [0, 1).")

    def check_settled(self) -> None:
        """Raise OptionError while the precision is "auto"."""
        if self.precision == "auto":
            raise OptionError(
                "recipe.precision=auto is float32 on one device and bfloat16 on another, and keys and rows say which; "
                "settle it first: winnow.training.precision.settled(recipe, trainer), or settled(trainer) of a cell "
                "or a probe."
            )

    def steps(self, m: int, n: int) -> int:
        """Optimiser steps for a subset of m of n training examples."""
        return self.epochs * -(-(n if self.budget == "steps" else m) // self.batch_size)

    def examples(self, m: int, n: int) -> int:
        """Presentations in training on a subset of m of n training examples, in batches as the loaders deal them."""
        batches = -(-m // self.batch_size)
        epochs, rest = divmod(self.steps(m, n), batches)
        return epochs * m + rest * (m // batches) + min(rest, m % batches)

    def warn_of_few_steps(self, title: str, m: int, n: int, *, epochs: str = "recipe.epochs") -> None:
        """Warn of a training too short to learn anything: the error of an untrained model says nothing of a rule.

        epochs: the option that sets their number.
        """
        steps = self.steps(m, n)
        if steps < FEW_STEPS:
            log.warning("%s: only %d optimiser steps; raise %s or lower recipe.batch_size.", title, steps, epochs)

    def optimiser(self, model: nn.Module, steps: int) -> tuple[torch.optim.Optimizer, LRScheduler | None]:
        """The optimiser and its schedule, to be stepped after every batch; None where the rate is constant."""
        decayed = [p for p in model.parameters() if p.ndim > 1]
        spared = [p for p in model.parameters() if p.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": self.weight_decay}, {"params": spared, "weight_decay": 0.0}]
        sgd = torch.optim.SGD(groups, lr=self.lr, momentum=self.momentum, nesterov=self.momentum > 0)
        if self.schedule == "onecycle":
            return sgd, OneCycleLR(sgd, max_lr=self.lr, total_steps=steps, cycle_momentum=False)
        if self.schedule == "cosine":
            return sgd, CosineAnnealingLR(sgd, T_max=steps)
        return sgd, None
