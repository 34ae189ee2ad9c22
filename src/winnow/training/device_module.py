"""A LightningModule whose batches are made on its device."""

import torch
from pytorch_lightning import LightningModule

from winnow.datasets.loader import Batch


class DeviceModule(LightningModule):
    """Takes batches as the loaders give them. Lightning would look through each of them for tensors to move."""

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        return batch
