"""The Lightning trainers of a TrainerSpec. They write nothing and say little."""

from collections.abc import Sequence
from typing import Any

from pytorch_lightning import Callback, Trainer
from pytorch_lightning.plugins.environments import LightningEnvironment
from pytorch_lightning.strategies import DDPStrategy

from winnow.parallel import workers
from winnow.training.devices import TrainerSpec
from winnow.training.epoch_loop import EpochLoop


def joint_trainer(spec: TrainerSpec, **options: Any) -> Trainer:
    """A trainer of this process, together with the others that are called at the same time."""
    if not workers.is_distributed():
        return solo_trainer(spec, **options)
    backend = "cpu:gloo,cuda:nccl" if spec.on_gpu else "gloo"
    strategy = DDPStrategy(cluster_environment=_Met(), process_group_backend=backend)
    return _trainer(spec, strategy=strategy, devices=spec.devices, num_nodes=spec.nodes, **options)


def solo_trainer(spec: TrainerSpec, **options: Any) -> Trainer:
    """A trainer of this process alone, on its own device."""
    devices: Any = [workers.local_rank()] if spec.on_gpu else 1
    # Named, so that Lightning does not look for SLURM or torchrun, whose processes are not its business here.
    return _trainer(spec, devices=devices, plugins=[LightningEnvironment()], **options)


def _trainer(spec: TrainerSpec, *, callbacks: Sequence[Callback] = (), **options: Any) -> Trainer:
    trainer = Trainer(
        accelerator="gpu" if spec.on_gpu else "cpu" if spec.accelerator == "cpu" else "auto",
        callbacks=list(callbacks),
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=any("ProgressBar" in type(c).__name__ for c in callbacks),
        num_sanity_val_steps=0,
        use_distributed_sampler=False,  # loaders shard themselves
        **options,
    )
    trainer.fit_loop.epoch_loop = EpochLoop(trainer, max_steps=trainer.max_steps)
    return trainer


class _Met(LightningEnvironment):
    """Tells Lightning of processes that have met already."""

    @property
    def creates_processes_externally(self) -> bool:
        return True

    def world_size(self) -> int:
        return workers.world_size()

    def set_world_size(self, size: int) -> None:
        assert size == workers.world_size()

    def global_rank(self) -> int:
        return workers.rank()

    def set_global_rank(self, rank: int) -> None:
        assert rank == workers.rank()

    def local_rank(self) -> int:
        return workers.local_rank()

    def node_rank(self) -> int:
        return workers.node_rank()
