"""LESS against pairs of explicit loss gradients."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from helpers.evidence import make_evidence
from helpers.training import normalised, tiny_dataset, tiny_fit, tiny_recipe
from winnow.core.errors import MissingEvidenceError, OptionError
from winnow.core.types import Evidence
from winnow.datasets.loader import Batch
from winnow.metrics import gradient_features
from winnow.metrics.gradient_features import one_minus_p
from winnow.metrics.less import LESS
from winnow.probes.gradients import losses, parameter_gradients
from winnow.probes.projections import projected_gradients
from winnow.store.keys import make_key

TARGETS = (3, 10, 41)


@pytest.mark.parametrize("rows", [8_192, 7])
@pytest.mark.parametrize("similarity", ["cosine", "inner_product"])
def test_against_the_definition(similarity, rows, monkeypatch):
    monkeypatch.setattr(gradient_features, "ROWS", rows)
    evidence = make_evidence()
    expected = np.zeros(evidence.n)
    for k, projected in enumerate(evidence.projected_gradients):
        gradients = -one_minus_p(evidence, k)[:, None] * projected.astype(float)
        for i in range(evidence.n):
            target = np.mean([gradients[j] for j in TARGETS if j != i], axis=0)
            length = np.linalg.norm(target) * np.linalg.norm(gradients[i]) if similarity == "cosine" else 1
            expected[i] += target @ gradients[i] / length / 3
    scores = LESS(similarity=similarity, indices=TARGETS)(evidence)
    assert scores.values == pytest.approx(expected, rel=1e-9, abs=1e-12)


def toy():
    """A trained model in float64, its training batch, and the evidence of an exact projection of its gradients."""
    dataset = tiny_dataset(80)
    model = tiny_fit(dataset, tiny_recipe(epochs=4)).model.double().eval()
    images, labels = normalised(dataset, dataset.train_images).double(), torch.tensor(dataset.train_labels)
    batch = Batch(torch.arange(dataset.n), images, labels, torch.ones(dataset.n), dataset.n)
    with torch.no_grad():
        logits = model(batch.image).numpy()
    phi = projected_gradients(model, batch, size=150**2).detach().numpy()
    evidence = Evidence(
        dataset="toy", labels=dataset.train_labels, logits={4: logits[None]}, projected_gradients=(phi,)
    )
    return model, batch, evidence


def test_the_gradients_are_those_of_the_loss_and_the_sign_is_that_of_help():
    model, batch, evidence = toy()
    exact = torch.cat([g.flatten(1) for g in parameter_gradients(model, batch, losses)], dim=1).numpy()
    targets = tuple(range(0, 80, 2))
    scores = LESS(similarity="inner_product", indices=targets)(evidence).values
    mean = exact[list(targets)].mean(axis=0)
    outside = np.arange(1, 80, 2)
    assert np.corrcoef(scores[outside], exact[outside] @ mean)[0, 1] > 0.98  # but for the noise of the projection

    def loss_after(step: np.ndarray) -> float:
        """The targets' mean loss after a step against the gradient of one example."""
        moved, start = dict(model.named_parameters()), 0
        for name, parameter in moved.items():
            moved[name] = parameter.detach() - torch.tensor(step[start : start + parameter.numel()]).view_as(parameter)
            start += parameter.numel()
        with torch.no_grad():
            outputs = torch.func.functional_call(model, moved, (batch.image[list(targets)],))
        return F.cross_entropy(outputs, batch.label[list(targets)]).item()

    before = loss_after(np.zeros(exact.shape[1]))
    best, worst = outside[scores[outside].argmax()], outside[scores[outside].argmin()]
    assert loss_after(1e-4 * exact[best]) < before < loss_after(1e-4 * exact[worst])


def test_one_minus_p_where_p_is_one():
    logits = np.array([[[800.0, 0.0, 0.0], [40.0, 0.0, 0.0], [0.0, 0.0, 0.0]]], dtype=np.float32)
    evidence = Evidence(dataset="hand", labels=np.zeros(3, dtype=int), logits={1: logits})
    assert one_minus_p(evidence, 0) == pytest.approx([0, 2 * np.exp(-40), 2 / 3], rel=1e-12)


def test_a_gradient_of_zero_is_no_use():
    logits = np.array([[[800.0, 0.0], [0.0, 0.0], [0.0, 0.0]]], dtype=np.float32)
    phi = np.ones((3, 4), dtype=np.float32)
    evidence = Evidence(dataset="hand", labels=np.zeros(3, dtype=int), logits={1: logits}, projected_gradients=(phi,))
    assert LESS(indices=(1, 2))(evidence).values == pytest.approx([0, 1, 1])


def test_the_drawn_targets():
    metric, other = LESS(fraction=0.2), LESS(fraction=0.2, seed=1)
    assert metric._targets(60).sum() == 12
    assert (metric._targets(60) != other._targets(60)).any()
    assert LESS(fraction=0.001)._targets(60).sum() == 2


def test_names_and_errors():
    assert (LESS().name, LESS(similarity="inner_product").name) == ("less", "less[inner_product]")
    with pytest.raises(OptionError, match="cosine, inner_product"):
        LESS(similarity="dot")


@pytest.mark.parametrize("similarity", ["cosine", "inner_product"])
def test_targets_outside_by_hand(similarity):
    # Two classes, p = 1/2, so the loss gradient is −φ/2. The mean loss gradient of the targets is (−1, −1).
    phi = np.array([[6, 0], [0, -2], [2, 2], [0, 0]], dtype=np.float32)
    theirs = np.array([[-3, 0], [0, -3], [0, 0]], dtype=np.float32)
    evidence = Evidence(
        dataset="hand", labels=np.zeros(4, dtype=int), logits={1: np.zeros((1, 4, 2), dtype=np.float32)},
        projected_gradients=(phi,), target_gradients=(theirs,),
    )  # fmt: skip
    expected = {"cosine": [np.sqrt(0.5), -np.sqrt(0.5), 1, 0], "inner_product": [3, -1, 2, 0]}
    scores = LESS(folder="anywhere", similarity=similarity)(evidence).values
    assert scores == pytest.approx(expected[similarity], rel=1e-12)


@pytest.mark.parametrize("similarity", ["cosine", "inner_product"])
def test_targets_outside_against_the_definition(similarity, monkeypatch):
    monkeypatch.setattr(gradient_features, "ROWS", 7)
    evidence, metric = make_evidence(), LESS(similarity=similarity, folder="anywhere")
    each = []
    for k, (projected, theirs) in enumerate(zip(evidence.projected_gradients, evidence.target_gradients, strict=True)):
        gradients, target = -one_minus_p(evidence, k)[:, None] * projected.astype(float), theirs.mean(axis=0)
        lengths = np.linalg.norm(gradients, axis=1) * np.linalg.norm(target) if similarity == "cosine" else 1
        each.append(gradients @ target / lengths)
    assert metric(evidence).values == pytest.approx(np.mean(each, axis=0), rel=1e-9, abs=1e-12)
    assert metric(evidence).standard_error == pytest.approx(np.std(each, axis=0, ddof=1) / np.sqrt(3), rel=1e-9)


def test_copies_of_training_examples_as_targets_count_the_example_itself():
    evidence, indices = make_evidence(), list(TARGETS)
    gradients = [-one_minus_p(evidence, k)[:, None] * phi for k, phi in enumerate(evidence.projected_gradients)]
    copied = replace(evidence, target_gradients=tuple(each[indices] for each in gradients))
    outside, inside = LESS(similarity="inner_product", folder="x"), LESS(similarity="inner_product", indices=TARGETS)
    is_target, own = np.isin(np.arange(evidence.n), indices), np.mean([(g**2).sum(1) for g in gradients], axis=0)
    expected = inside(evidence).values * (3 - is_target) + is_target * own
    assert outside(copied).values * 3 == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_a_folder_changes_what_is_read_and_not_the_key():
    metric = LESS(projection=16, seed=3, folder="here/val")
    assert metric.needs == LESS().needs | {"target_gradients"}
    assert metric.pass_options["target_gradients"] == metric.pass_options["projected_gradients"]
    assert (LESS().reads_folder, metric.reads_folder) == (None, "here/val")
    assert make_key("metric", metric) == make_key("metric", replace(metric, folder="there", title="theirs"))
    assert metric.name == "less to folder[projection=16,seed=3]"
    assert LESS(folder="x", title="val", similarity="inner_product").name == "less to val[inner_product]"
    with pytest.raises(MissingEvidenceError, match="target_gradients"):
        metric(replace(make_evidence(), target_gradients=None))


def test_one_target_set_at_a_time():
    with pytest.raises(OptionError, match="give one of them"):
        LESS(folder="x", indices=TARGETS)
    with pytest.raises(OptionError, match=r"set metric\.folder too"):
        LESS(title="val")
