import sys
from collections import OrderedDict

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from safetensors.torch import save_file

from helpers.training import CPU, tiny_dataset, tiny_probe
from winnow.core.errors import OptionError
from winnow.datasets.base import ImageDataset
from winnow.probes.embeddings.encoder import Encoder
from winnow.store.artifacts import ArtifactStore

NAME, SIZE = "shufflenet_v2_x0_5", 32


@pytest.fixture(scope="module")
def network():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        network = torchvision.models.get_model(NAME, num_classes=7)
        with torch.no_grad():  # running statistics that are not those of a new network
            network.train()(torch.randn(8, 3, 64, 64))
    return network.eval()


@pytest.fixture
def weights(network, tmp_path):
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    return tmp_path / "weights.pt"


@pytest.fixture(scope="module", params=[1, 3])
def dataset(request):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (30, 12, 12, request.param), dtype=np.uint8)
    labels = np.arange(30) % 2
    return ImageDataset(
        name="made",
        train_images=images,
        train_labels=labels,
        test_images=images[:4],
        test_labels=labels[:4],
        class_names=("a", "b"),
    )


def encoder(weights, **options):
    return Encoder(**{"name": NAME, "weights": str(weights), "size": SIZE} | options)


def embed(source, dataset, tmp_path):
    store = ArtifactStore(tmp_path / "store")
    return source.embed(dataset, of_probe=None, store=store, trainer=CPU, logger=None)


def test_embeddings_are_the_features_before_the_last_layer(dataset, network, weights, tmp_path):
    given = embed(encoder(weights, batch_size=7), dataset, tmp_path)
    pixels = torch.tensor(dataset.train_images).permute(0, 3, 1, 2).float().expand(-1, 3, -1, -1) / 255
    pixels = F.interpolate(pixels, (SIZE, SIZE), mode="bilinear", antialias=True)
    wanted = torchvision.transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))(pixels)
    seen = []
    hook = network.fc.register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        network(wanted)
    hook.remove()
    assert isinstance(given, np.memmap)
    assert given.shape == (30, network.fc.in_features)
    np.testing.assert_allclose(given, seen[0].numpy(), rtol=1e-3, atol=1e-4)


def test_files_of_the_same_weights(network, weights, tmp_path):
    dataset = tiny_dataset()
    expected = embed(encoder(weights), dataset, tmp_path)
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    wrapped = {f"module.{name}": value for name, value in network.state_dict().items()}
    torch.save({"state_dict": OrderedDict(wrapped), "epoch": 3}, tmp_path / "checkpoint.pt")
    headless = {name: value for name, value in network.state_dict().items() if not name.startswith("fc.")}
    torch.save({"model": headless}, tmp_path / "headless.pt")
    for name in ("weights.safetensors", "checkpoint.pt", "headless.pt"):
        source = encoder(tmp_path / name)
        assert source.keys(dataset) != encoder(weights).keys(dataset)  # other bytes
        np.testing.assert_array_equal(embed(source, dataset, tmp_path), expected)


def test_keys_follow_content_and_options_and_not_places(weights, tmp_path):
    dataset = tiny_dataset()
    moved = tmp_path / "moved.pt"
    moved.write_bytes(weights.read_bytes())
    key = encoder(weights).keys(dataset)
    assert encoder(moved, batch_size=3).keys(dataset) == key
    assert encoder(weights, size=48).keys(dataset) != key
    assert encoder(weights, mean=(0, 0, 0)).keys(dataset) != key


class Mischief:
    """What unpickling it does is seen."""

    done = False

    def __reduce__(self):
        return setattr, (Mischief, "done", True)


def test_nothing_is_unpickled(tmp_path):
    torch.save({"fc.weight": Mischief()}, tmp_path / "evil.pt")
    with pytest.raises(OptionError, match="cannot be read as weights"):
        embed(encoder(tmp_path / "evil.pt"), tiny_dataset(), tmp_path)
    assert not Mischief.done


def test_files_that_are_no_weights_of_the_model(network, tmp_path):
    dataset, files = tiny_dataset(), {}
    for name in ("text.pt", "text.safetensors"):
        (tmp_path / name).write_text("nothing")
        files[name] = "cannot be read as weights"
    state = network.state_dict()
    torch.save({name: value for name, value in state.items() if name != "conv1.0.weight"}, tmp_path / "less.pt")
    torch.save(state | {"conv1.0.weight": torch.zeros(1)}, tmp_path / "wrong.pt")
    torch.save(torch.zeros(3), tmp_path / "tensor.pt")
    files |= {"less.pt": r"lacks 1 of .* conv1\.0\.weight", "wrong.pt": "cannot be read", "tensor.pt": "cannot be read"}
    for name, message in files.items():
        with pytest.raises(OptionError, match=message):
            embed(encoder(tmp_path / name), dataset, tmp_path)
    with pytest.raises(OptionError, match=r"no file embedding\.weights"):
        encoder(tmp_path / "nowhere.pt").keys(dataset)


def test_models_that_are_not_known_or_not_there(weights, monkeypatch):
    dataset = tiny_dataset()
    with pytest.raises(OptionError, match=r"embedding\.name=resnet51"):
        encoder(weights, name="resnet51").check(dataset)
    with pytest.raises(OptionError, match="linear layer"):
        encoder(weights, name="squeezenet1_0").check(dataset)
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(OptionError, match=r'pip install "winnow\[timm\]"'):
        encoder(weights, library="timm").check(dataset)


@pytest.mark.parametrize(
    "bad", [{"library": "hub"}, {"mean": (0.5,)}, {"std": (1, 0, 1)}, {"size": 0}, {"batch_size": 0}]
)
def test_values_outside_their_range(bad):
    (name,) = bad
    with pytest.raises(OptionError, match=name):
        encoder("weights.pt", **bad)


@pytest.mark.parametrize("name", ["resnet18", "vit_b_16", "convnext_tiny", "efficientnet_b0", "swin_t", "vgg11"])
def test_the_layer_for_classes_is_found(name):
    with torch.device("meta"):
        whole = torchvision.models.get_model(name, num_classes=1000)
        headless = encoder("weights.pt", name=name)._network()
    lost = set(whole.state_dict()) - set(headless.state_dict())
    assert {part.rpartition(".")[2] for part in lost} == {"weight", "bias"}
    assert [len(whole.state_dict()[part]) for part in lost] == [1000, 1000]


def test_cost(weights):
    dataset, probe = tiny_dataset(), tiny_probe(embedding=Encoder(name="resnet18", weights=str(weights)))
    alone, both = frozenset({"embeddings"}), frozenset({"embeddings", "logits"})
    own = probe.model.multiply_adds(dataset.image_shape, dataset.n_classes)
    encoded = probe.embedding.multiply_adds(dataset)
    assert encoded == pytest.approx(
        1.814e9, rel=1e-3
    )  # as torchvision's table says, 0.5 M of its layer for classes less
    assert probe.cost(dataset.n, alone) == dataset.n
    assert probe.multiply_adds(dataset, alone) == encoded
    n = dataset.n
    assert probe.cost(n, both) == n + 2 * n * 3  # two members: two epochs and one evaluation
    assert probe.multiply_adds(dataset, both) == (encoded + 6 * own) // 7
    assert probe.multiply_adds(dataset, frozenset({"logits"})) == own
