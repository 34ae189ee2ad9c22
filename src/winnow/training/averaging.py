"""The exponential moving average of a model's weights, which is tested in its place where recipe.ema asks for one."""

from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


class WeightAverage(Callback):
    """Keeps θ̄ ← d θ̄ + (1 − d) θ after every step, θ̄ = θ after the first; batch-norm statistics likewise (torch's
    AveragedModel). Of several processes each keeps its own: weights are the same in all, statistics the first's count.
    """

    def __init__(self, decay: float) -> None:
        self.decay = decay

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        average = get_ema_multi_avg_fn(self.decay)
        self.average = AveragedModel(pl_module.model, multi_avg_fn=average, use_buffers=True)  # type: ignore[arg-type]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.average.to(pl_module.device)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.average.update_parameters(pl_module.model)  # type: ignore[arg-type]

    def state_dict(self) -> dict[str, Any]:
        return {"average": self.average.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.average.load_state_dict(state_dict["average"])


def weights_of(trainer: Trainer, module: LightningModule) -> dict[str, Tensor]:
    """What the model of this training is to be tested with now: its average where one is kept, or its own weights."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, WeightAverage):
            return callback.average.module.state_dict()
    return module.model.state_dict()  # type: ignore[union-attr]
