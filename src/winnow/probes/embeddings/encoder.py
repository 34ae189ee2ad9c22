"""Embeddings from an encoder that somebody else trained, with its weights in a local file."""

import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from numpy.typing import NDArray
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from winnow.core.errors import OptionError, check_choice
from winnow.datasets.base import ImageDataset
from winnow.datasets.batches import normalisation
from winnow.models.base import Classifier
from winnow.probes.embeddings.base import Embedding
from winnow.probes.forward import features
from winnow.probes.passes import Pass, kept_pass
from winnow.store.artifacts import ArtifactStore, Stage
from winnow.store.foreign import foreign_digest, foreign_tensors
from winnow.store.keys import NOT_IN_KEY, make_key
from winnow.training.devices import TrainerSpec


@dataclass(frozen=True, kw_only=True)
class Encoder(Embedding):
    """What a torchvision classifier, or a timm model, gives before its last linear layer, [n, d], evaluation mode.

    name: as the library calls it, such as resnet50. weights: a file of weights by the library's names, .safetensors or
    what torch.save wrote; only tensors are read of it, nothing is unpickled. A layer for classes in it is left out,
    whatever their number. library: "torchvision", or "timm" where it is installed.

    The whole image becomes size × size pixels, bilinear with antialiasing; a grey one gets three equal channels. Pixels
    in [0, 1] are then normalised by mean and std [3], by default those of ImageNet. Transformers take the size that
    they were trained with. batch_size: images at once; results do not depend on it.

    Raises OptionError for an unknown model, a file that cannot be read, or one that lacks weights of the model.
    """

    name: str
    weights: str = field(metadata=NOT_IN_KEY)
    library: str = "torchvision"
    size: int = 224
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    batch_size: int = field(default=64, metadata=NOT_IN_KEY)

    def __post_init__(self) -> None:
        check_choice("embedding.library", self.library, ("torchvision", "timm"))
        for name in ("mean", "std"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
            if len(getattr(self, name)) != 3:
                raise OptionError(f"embedding.{name} must be three numbers, for red, green and blue.")
        if min(self.std) <= 0:
            raise OptionError(f"embedding.std={list(self.std)} must be positive.")
        if self.size < 1 or self.batch_size < 1:
            raise OptionError(f"embedding.size={self.size} and batch_size={self.batch_size} must be at least 1.")

    def check(self, dataset: ImageDataset) -> None:
        with torch.device("meta"):
            self._network()
        if not self._path.is_file():
            raise OptionError(f"there is no file embedding.weights={self.weights}; give the path of the weights.")

    def keys(self, dataset: ImageDataset) -> list[str]:
        self.check(dataset)
        return [self._key(dataset)[0]]

    def artifact(self, dataset: ImageDataset) -> tuple[Stage, str]:
        return "pass", self._key(dataset)[0]

    def cost(self, n: int) -> int:
        return n

    def multiply_adds(self, dataset: ImageDataset) -> int:
        with torch.device("meta"):
            network, image = self._network().eval(), torch.zeros(1, 3, self.size, self.size)
        with FlopCounterMode(display=False) as counter:
            network(image)
        return counter.get_total_flops() // 2

    def embed(
        self, dataset: ImageDataset, *, store: ArtifactStore, trainer: TrainerSpec, **_: Any
    ) -> NDArray[np.float32]:
        self.check(dataset)
        kind = Pass(
            output=features,
            shape=lambda model, **_: (model.head.in_features,),
            differentiates=False,
            batch_size=self.batch_size,
        )
        key, inputs = self._key(dataset)
        return kept_pass(
            kind, "features", dataset, key=key, inputs=inputs, load=self._load, store=store, trainer=trainer
        )

    @property
    def _path(self) -> Path:
        return Path(self.weights).expanduser()

    def _key(self, dataset: ImageDataset) -> tuple[str, dict[str, Any]]:
        inputs = {"dataset": dataset.fingerprint, "embedding": self, "weights": foreign_digest(self._path)}
        return make_key(f"{dataset.slug}-{self.name}-features", inputs), inputs

    def _network(self) -> nn.Module:
        """The architecture up to its features, with weights of chance."""
        if self.library == "timm":
            try:
                import timm
            except ImportError as error:
                raise OptionError(
                    'embedding.library=timm needs timm, which is not installed: pip install "winnow[timm]".'
                ) from error
            check_choice("embedding.name", self.name, tuple(timm.list_models()))
            return timm.create_model(self.name, pretrained=False, num_classes=0)
        check_choice("embedding.name", self.name, tuple(torchvision.models.list_models(module=torchvision.models)))
        network: nn.Module = torchvision.models.get_model(self.name, weights=None)
        linear = [name for name, layer in network.named_modules() if isinstance(layer, nn.Linear)]
        if not linear:
            raise OptionError(f"embedding.name={self.name} does not end in a linear layer; choose another encoder.")
        network.set_submodule(linear[-1], nn.Identity())
        return network

    def _load(self, dataset: ImageDataset) -> Classifier:
        with torch.random.fork_rng(devices=[]):
            network = self._network().eval()
            own = network.state_dict()
            try:
                given = foreign_tensors(self._path)
                missing = network.load_state_dict(
                    {k: v for k, v in given.items() if k in own}, strict=False
                ).missing_keys
            except (RuntimeError, ValueError, pickle.UnpicklingError, SafetensorError, OSError) as error:
                raise OptionError(
                    f"embedding.weights={self.weights} cannot be read as weights of {self.name} "
                    f"({' '.join(str(error).split())[:200]}); save its state_dict()."
                ) from error
            if missing:
                raise OptionError(
                    f"embedding.weights={self.weights} lacks {len(missing)} of the weights of {self.name}, "
                    f"such as {missing[0]}; it may be of another model, or name them otherwise."
                )
            with torch.no_grad():
                dimensions = network(torch.zeros(1, 3, self.size, self.size)).shape[1]
            return Classifier(_Prepared(network, self, dataset), dimensions, dataset.n_classes)


class _Prepared(nn.Module):
    """Takes images [B, C, H, W] as the loader normalises them, and gives them to the encoder as it wants them."""

    mean: Tensor
    std: Tensor
    wanted_mean: Tensor
    wanted_std: Tensor

    def __init__(self, network: nn.Module, encoder: Encoder, dataset: ImageDataset) -> None:
        super().__init__()
        self.network, self.size = network, encoder.size
        mean, std = normalisation(dataset)
        given = {"mean": mean, "std": std}
        wanted = {"wanted_mean": encoder.mean, "wanted_std": encoder.std}
        for name, values in (given | wanted).items():
            self.register_buffer(name, torch.as_tensor(values, dtype=torch.float32).view(1, -1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        pixels = ((images * self.std + self.mean) / 255).expand(-1, 3, -1, -1)
        pixels = F.interpolate(pixels, (self.size, self.size), mode="bilinear", antialias=True, align_corners=False)
        return self.network((pixels - self.wanted_mean) / self.wanted_std)
