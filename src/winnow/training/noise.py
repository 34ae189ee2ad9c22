"""The random numbers that a model draws while it is trained, such as those of dropout."""

from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from winnow.core.seeds import derive


class Noise(Callback):
    """Seeds torch's global generator before each step, by the step: it matters neither what was drawn before nor where
    a training was interrupted. To be used within `fork_rng`."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        seed = derive(self.seed, "noise", trainer.global_step, trainer.global_rank)
        kind = pl_module.device.type
        # torch.manual_seed prints the stack for each kind of device that was never used, in a fifth of a small step
        if kind in ("cpu", "cuda"):
            torch.default_generator.manual_seed(seed)
            if kind == "cuda":
                torch.cuda.manual_seed_all(seed)
        else:
            torch.manual_seed(seed)
