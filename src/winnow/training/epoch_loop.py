"""The steps of a training: Lightning's loop over an epoch, without what no training here asks of it in each step."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from pytorch_lightning import Callback, LightningModule
from pytorch_lightning.loops.training_epoch_loop import _TrainingEpochLoop
from pytorch_lightning.plugins.precision import MixedPrecision, Precision
from pytorch_lightning.strategies import DDPStrategy, SingleDeviceStrategy
from pytorch_lightning.utilities.exceptions import SIGTERMException

from winnow.training.device_module import DeviceModule

HOOKS = (
    "on_train_batch_start",
    "on_before_zero_grad",
    "on_before_backward",
    "on_after_backward",
    "on_before_optimizer_step",
    "on_train_batch_end",
)
# What a module may override to take its steps in another way, or to skip them. None here does; it would not be heard.
UNHEARD = (
    "backward",
    "configure_gradient_clipping",
    "lr_scheduler_step",
    "on_after_batch_transfer",
    "on_before_batch_transfer",
    "on_train_batch_start",
    "optimizer_step",
    "optimizer_zero_grad",
)


class EpochLoop(_TrainingEpochLoop):
    """Takes each step as Lightning's own loop does, to the same bits: with the same hooks in the same order, counters
    (which checkpoints and `trainer.global_step` read), log, and forward pass through the strategy, where DDP wraps it.

    Left out is what makes no difference here: hooks that nobody overrides, profilers, moving batches to the device that
    they are on, gradients over several batches or clipped ones, validation within an epoch, and looking for what was
    logged after a step in which nothing was. For DeviceModules with one optimiser and schedules by the step alone.
    """

    def on_run_start(self, data_fetcher: Any) -> None:
        super().on_run_start(data_fetcher)
        self._module: Any = self.trainer.lightning_module
        self._check()
        self._hooks = {name: self._overriding(name) for name in HOOKS}
        (self._optimiser,) = self.trainer.optimizers
        self._schedules: list[Any] = [config.scheduler for config in self.trainer.lr_scheduler_configs]
        self._parallel = self.trainer.world_size > 1

    def _check(self) -> None:
        trainer, module = self.trainer, self._module
        assert isinstance(module, DeviceModule)
        assert module.automatic_optimization
        assert not [name for name in UNHEARD if getattr(type(module), name) is not getattr(LightningModule, name)]
        assert type(trainer.strategy) in (SingleDeviceStrategy, DDPStrategy), trainer.strategy
        assert type(trainer.precision_plugin) in (Precision, MixedPrecision), trainer.precision_plugin
        assert getattr(trainer.precision_plugin, "scaler", None) is None
        assert trainer.accumulate_grad_batches == 1
        assert trainer.gradient_clip_val is None
        assert not trainer.enable_validation
        for config in trainer.lr_scheduler_configs:
            assert (config.interval, config.frequency, config.reduce_on_plateau) == ("step", 1, False), config

    def _overriding(self, name: str) -> list[Callable[..., Any]]:
        """The hooks of this name that do something: those of the callbacks, then that of the module."""
        callbacks: list[Callback] = self.trainer.callbacks  # type: ignore[attr-defined]
        hooks: list[Callable[..., Any]] = [
            partial(hook, self.trainer, self._module)
            for callback in callbacks
            if getattr(hook := getattr(callback, name), "__func__", hook) is not getattr(Callback, name)
        ]
        own = getattr(self._module, name)
        return hooks if getattr(own, "__func__", own) is getattr(LightningModule, name) else [*hooks, own]

    def _call(self, name: str, *arguments: Any) -> None:
        if hooks := self._hooks[name]:
            self._module._current_fx_name = name  # `log` asks where it is called from
            for hook in hooks:
                hook(*arguments)
            self._module._current_fx_name = None

    def advance(self, data_fetcher: Any) -> None:
        """One step."""
        if self._parallel:
            self._broadcast_sigterm_tensor()
        progress = self.batch_progress
        number = progress.current.ready
        batch, _, _ = next(data_fetcher)
        progress.is_last_batch = data_fetcher.done
        progress.increment_ready()
        connector = self.trainer._logger_connector
        connector.on_batch_start(batch)
        self._call("on_train_batch_start", batch, number)
        progress.increment_started()
        outputs = self._step(batch, number)
        progress.increment_processed()
        for schedule in self._schedules:
            self.scheduler_progress.increment_ready()
            schedule.step()
            self.scheduler_progress.increment_completed()
        self._call("on_train_batch_end", outputs, batch, number)
        logged = any(True for _ in self._results.valid_items())
        if logged:
            connector.on_batch_end()
        else:
            self._results.batch = self._results.batch_size = None
        progress.increment_completed()
        if logged:
            connector.update_train_step_metrics()

    def on_advance_end(self, data_fetcher: Any) -> None:
        self._batches_that_stepped += 1
        self._save_loggers_on_train_batch_end()
        if self.trainer.received_sigterm and not self._is_training_done:
            raise SIGTERMException

    def _step(self, batch: Any, number: int) -> dict[str, Any]:
        """Forward, backward and update; what the module's training_step gave, its loss detached."""
        module, optimiser = self._module, self._optimiser
        counted = self.automatic_optimization.optim_progress.optimizer
        counted.step.increment_ready()
        module._current_fx_name = "training_step"
        given: Any = self.trainer.strategy.training_step(batch, number)
        module._current_fx_name = None
        outputs: dict[str, Any] = dict(given) if isinstance(given, Mapping) else {"loss": given}
        loss = outputs["loss"]
        outputs["loss"] = loss.detach()

        counted.zero_grad.increment_ready()
        self._call("on_before_zero_grad", optimiser)
        counted.zero_grad.increment_started()
        optimiser.zero_grad()
        counted.zero_grad.increment_completed()
        self._call("on_before_backward", loss)
        loss.backward()
        self._call("on_after_backward")
        self._call("on_before_optimizer_step", optimiser)
        optimiser.step()
        counted.step.increment_completed()
        return outputs
