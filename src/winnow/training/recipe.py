"""How a model is trained: the numbers of the optimiser, and how long."""

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import (
    ConstantLR,
    CosineAnnealingLR,
    LinearLR,
    LRScheduler,
    MultiStepLR,
    OneCycleLR,
    SequentialLR,
)

from winnow.core.errors import OptionError, check_choice
from winnow.datasets.augmentation import Augmentation
from winnow.store.keys import LATER, NOT_IN_KEY, Component

log = logging.getLogger(__name__)
FEW_STEPS = 50


@dataclass(frozen=True, kw_only=True)
class Recipe(Component):
    """SGD with momentum and a schedule over optimiser steps.

    budget: "epochs" passes over a subset `epochs` times, so a small subset gets fewer steps; "steps" gives every subset
    the steps that `epochs` passes over the full training set take. total_steps: that many whatever the subset and the
    data set, in place of both. batch_size: the largest batch. batches: "equal" deals the m examples of an epoch into
    ⌈m / B⌉ batches as equal in size as can be, so that steps of a small subset may see as few as about B / 2 examples;
    "constant" cuts one endless stream of permutations into batches of exactly B, so that equal steps are equal
    examples, and where m < B an example recurs in a batch (see InMemoryLoader). Both leave the weighted risk unbiased.
    schedule: "onecycle" (Smith & Topin 2017; warm-up over 30% to `lr`, then cosine to nothing), "cosine" (to
    `final_lr`), "linear" (to `final_lr`), "step" (times `decay_factor` at each of `decay_at`, shares of the steps in
    (0, 1)) or "constant".
    warmup: share of the steps in which the rate rises in a line to `lr`, before the schedule has the rest.
    precision: "float32", "bfloat16" (autocast in training only; tests and scores are computed in float32), or "auto",
    which stands for one of them until winnow.training.precision.settled says which: the faster on a device.
    Weight decay spares biases and batch norm, as is usual with large learning rates, unless decay_all. norm_bias_rate:
    the rate of batch norm's biases in units of the others', their decay being divided by it (Jordan 2024, 2404.00498).
    ema: decay of an exponential moving average of weights and batch-norm statistics, updated after every step; where it
    is not 0, the averaged model is the one that is tested, evaluated and kept.
    lookahead: every so many steps the model goes on from a moving average of itself (Zhang et al. 2019, 1907.08610),
    which forgets less and less (see training/lookahead.py), and ends as that average; 0 does without.
    test_views: of each test image, whose logits are averaged: 1 is the image alone, 2 it and its mirror image, 6 both
    and both again shifted by a pixel up and left, and down and right, which count half (Jordan 2024).

    Raises OptionError for a value outside its range, and for options that the schedule does not read.
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
    batches: str = field(default="equal", metadata=LATER)
    total_steps: int | None = field(default=None, metadata=LATER)
    nesterov: bool = field(default=True, metadata=LATER)
    decay_all: bool = field(default=False, metadata=LATER)
    final_lr: float = field(default=0.0, metadata=LATER)
    decay_at: tuple[float, ...] = field(default=(), metadata=LATER)
    decay_factor: float = field(default=0.1, metadata=LATER)
    warmup: float = field(default=0.0, metadata=LATER)
    ema: float = field(default=0.0, metadata=LATER)
    norm_bias_rate: float = field(default=1.0, metadata=LATER)
    lookahead: int = field(default=0, metadata=LATER)
    test_views: int = field(default=1, metadata=LATER)

    def __post_init__(self) -> None:
        object.__setattr__(self, "decay_at", tuple(self.decay_at))
        check_choice("recipe.schedule", self.schedule, ("onecycle", "cosine", "linear", "step", "constant"))
        check_choice("recipe.precision", self.precision, ("float32", "bfloat16", "auto"))
        check_choice("recipe.budget", self.budget, ("epochs", "steps"))
        check_choice("recipe.batches", self.batches, ("equal", "constant"))
        if self.epochs < 1 or self.batch_size < 1:
            raise OptionError(f"recipe.epochs={self.epochs} and batch_size={self.batch_size} must be at least 1.")
        if self.total_steps is not None and self.total_steps < 1:
            raise OptionError(f"recipe.total_steps={self.total_steps} must be at least 1; null leaves it to epochs.")
        if self.lr <= 0 or self.weight_decay < 0:
            raise OptionError(f"recipe.lr={self.lr} must be positive and weight_decay={self.weight_decay} at least 0.")
        for name in ("momentum", "label_smoothing", "warmup", "ema"):
            if not 0 <= getattr(self, name) < 1:
                raise OptionError(f"recipe.{name}={getattr(self, name)} must be in [0, 1).")
        if self.norm_bias_rate <= 0 or self.lookahead < 0:
            options = f"recipe.norm_bias_rate={self.norm_bias_rate} and lookahead={self.lookahead}"
            raise OptionError(f"{options}: a rate must be positive, and a number of steps at least 0.")
        if self.lookahead and self.ema:
            raise OptionError("recipe.lookahead and recipe.ema both say which average is tested; set one of them to 0.")
        check_choice("recipe.test_views", self.test_views, (1, 2, 6))
        self._check_schedule()

    def _check_schedule(self) -> None:
        if not 0 <= self.final_lr <= self.lr:
            raise OptionError(f"recipe.final_lr={self.final_lr} must be from 0 to recipe.lr={self.lr}.")
        if self.final_lr and self.schedule not in ("cosine", "linear"):
            raise OptionError(f"recipe.final_lr is for schedule=cosine or linear, not {self.schedule}; leave it at 0.")
        if bool(self.decay_at) != (self.schedule == "step"):
            raise OptionError(
                "recipe.schedule=step needs recipe.decay_at, shares of the steps such as [0.3,0.6,0.8], "
                f"and no other schedule has any; got schedule={self.schedule}, decay_at={list(self.decay_at)}."
            )
        rising = list(self.decay_at) == sorted(set(self.decay_at))
        if not rising or any(not 0 < share < 1 for share in self.decay_at):
            raise OptionError(f"recipe.decay_at={list(self.decay_at)} must be rising shares of the steps in (0, 1).")
        if not 0 < self.decay_factor <= 1:
            raise OptionError(f"recipe.decay_factor={self.decay_factor} must be in (0, 1].")
        if self.warmup and self.schedule == "onecycle":
            raise OptionError("recipe.warmup is for the other schedules: onecycle has a warm-up of its own.")

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
        if self.total_steps is not None:
            return self.total_steps
        if self.budget == "epochs" and self.batches == "constant":
            return -(-self.epochs * m // self.batch_size)
        return self.epochs * -(-(n if self.budget == "steps" else m) // self.batch_size)

    def examples(self, m: int, n: int) -> int:
        """Presentations in training on a subset of m of n training examples, in batches as the loaders deal them."""
        if self.batches == "constant":
            return self.steps(m, n) * self.batch_size
        batches = -(-m // self.batch_size)
        epochs, rest = divmod(self.steps(m, n), batches)
        return epochs * m + rest * (m // batches) + min(rest, m % batches)

    def batch_sizes(self, m: int) -> tuple[int, int]:
        """The smallest and the largest batch of a training on m examples."""
        if self.batches == "constant":
            return self.batch_size, self.batch_size
        batches = -(-m // self.batch_size)
        return m // batches, -(-m // batches)

    def warn_of_few_steps(self, title: str, m: int, n: int, *, epochs: str = "recipe.epochs") -> None:
        """Warn of a training too short to learn anything: the error of an untrained model says nothing of a rule.

        epochs: the option that sets their number.
        """
        steps = self.steps(m, n)
        if steps < FEW_STEPS:
            log.warning("%s: only %d optimiser steps; raise %s or lower recipe.batch_size.", title, steps, epochs)

    def optimiser(self, model: nn.Module, steps: int) -> tuple[torch.optim.Optimizer, LRScheduler | None]:
        """The optimiser and its schedule, to be stepped after every batch; None where the rate is constant.

        Parameters that ask for no gradient are left out.
        """
        learnt = [p for p in model.parameters() if p.requires_grad]
        faster = set(_norm_biases(model)) if self.norm_bias_rate != 1 else set()
        decayed = [p for p in learnt if p.ndim > 1]
        spared = [p for p in learnt if p.ndim <= 1 and p not in faster]
        of_spared = self.weight_decay if self.decay_all else 0.0
        groups: list[dict[str, Any]] = [
            {"params": decayed, "weight_decay": self.weight_decay},
            {"params": spared, "weight_decay": of_spared},
        ]
        if faster:
            rate = self.norm_bias_rate
            of_faster = [p for p in learnt if p in faster]
            groups.append({"params": of_faster, "lr": self.lr * rate, "weight_decay": of_spared / rate})
        nesterov = self.nesterov and self.momentum > 0
        sgd = torch.optim.SGD(groups, lr=self.lr, momentum=self.momentum, nesterov=nesterov)
        warming = math.ceil(self.warmup * steps)
        schedule = self._schedule(sgd, steps, warming)
        if not warming:
            return sgd, schedule
        rise = LinearLR(sgd, start_factor=1 / (warming + 1), total_iters=warming)
        return sgd, SequentialLR(sgd, [rise, schedule or ConstantLR(sgd, factor=1.0)], milestones=[warming])

    def _schedule(self, sgd: torch.optim.Optimizer, steps: int, warming: int) -> LRScheduler | None:
        left = steps - warming
        if self.schedule == "onecycle":
            rates = [group["lr"] for group in sgd.param_groups]
            return OneCycleLR(sgd, max_lr=rates, total_steps=steps, cycle_momentum=False)
        if self.schedule == "cosine":
            return CosineAnnealingLR(sgd, T_max=max(left, 1), eta_min=self.final_lr)
        if self.schedule == "linear":
            return LinearLR(sgd, start_factor=1.0, end_factor=self.final_lr / self.lr, total_iters=max(left, 1))
        if self.schedule == "step":  # the shares are of all steps, those of the warm-up too
            at = [max(round(share * steps) - warming, 0) for share in self.decay_at]
            return MultiStepLR(sgd, milestones=at, gamma=self.decay_factor)
        return None


def _norm_biases(model: nn.Module) -> Iterator[nn.Parameter]:
    for layer in model.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm) and layer.bias is not None:
            yield layer.bias
