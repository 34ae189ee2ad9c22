"""What a probe ensemble is: K models trained to score the data, not to be kept."""

from dataclasses import dataclass, field, replace

from winnow.core.errors import MissingEvidenceError, OptionError, check_choice
from winnow.core.rounding import round_half_up
from winnow.core.seeds import derive
from winnow.datasets.base import ImageDataset
from winnow.models.base import ModelSpec
from winnow.probes.embeddings.base import Embedding
from winnow.probes.embeddings.probe import ProbeFeatures
from winnow.store.keys import LATER, NOT_IN_KEY, Component
from winnow.training.devices import TrainerSpec
from winnow.training.precision import settled
from winnow.training.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class Probe(Component):
    """`members` models trained on the whole training set, each with a seed of its own.

    epochs: length of a member's schedule. stop_after: the epoch after which its training ends all the same (None: with
    the schedule), as in papers that score early in a long training; it is paid to there only, and a longer one of the
    same goes on from it, to the bit (see probes/stopped.py). evaluate_at: the epochs after which all training examples
    are passed through the member in evaluation mode without augmentation (0 is initialisation; None: after the last).
    continuable: whether a stopped member keeps what that takes beside its results. For n examples of C classes: twice
    the size of the weights and once more for each kept epoch, and n (29 stop_after + 4 C) bytes of what the recorder
    saw (21 stop_after n without changes): with ResNet-18 after 20 epochs of CIFAR-10 about 0.17 GB, after 20 of
    ImageNet 6 GB, nearly all the softmax.
    checkpoint_at: the epochs whose weights are kept besides the evaluated ones. seed: of the ensemble; it is apart from
    the seeds of selection and training, and no two seeds share a member's. Of `recipe`, everything but epochs,
    budget, total_steps and batches is used: batches are dealt equal, so that each epoch shows every example once.
    subset_fraction: the share of the data that each model is trained on for metrics that compare models with and
    without an example (memorization, influence), 0.7 in their paper; the ensemble is then `members` such models.
    changes: whether trajectories hold how each example's softmax changes from one presentation to the next, which tdds
    alone reads. It takes the softmax of all examples on the training device, 4 n C bytes: 5 GB of ImageNet.
    embedding: where embeddings come from. It enters the keys of what reads embeddings alone.
    parallel: which members are trained at once. "data": one after another, and several devices share its batches.
    "members": of several devices one on each, which gives exactly the members of one device. A number: so many on one
    device, by processes that share its threads; each is exactly what it is alone with as many threads. "auto": on one
    device the number that is faster (members_at_once.how_many), on several as "data".

    Raises OptionError for an epoch outside [0, epochs] or after the stop, less than one member, at all or at once, or a
    fraction outside (0, 1).
    """

    model: ModelSpec
    recipe: Recipe
    members: int = 5
    epochs: int = 10
    stop_after: int | None = None
    evaluate_at: tuple[int, ...] | None = None
    checkpoint_at: tuple[int, ...] = ()
    subset_fraction: float = 0.7
    embedding: Embedding = field(default_factory=ProbeFeatures)
    changes: bool = field(default=True, metadata=LATER)
    parallel: str | int = field(default="auto", metadata=NOT_IN_KEY)
    continuable: bool = field(default=True, metadata=NOT_IN_KEY)
    seed: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.parallel, str):
            check_choice("probe.parallel", self.parallel, ("auto", "data", "members"))
        elif self.parallel < 1:
            raise OptionError(f"probe.parallel={self.parallel} must be at least 1, or auto, data or members.")
        if self.members < 1 or self.epochs < 1:
            raise OptionError(f"probe.members={self.members} and probe.epochs={self.epochs} must be at least 1.")
        if not 0 < self.subset_fraction < 1:
            raise OptionError(f"probe.subset_fraction={self.subset_fraction} must be in (0, 1), such as 0.7.")
        if self.stop_after is not None and not 1 <= self.stop_after <= self.epochs:
            raise OptionError(f"probe.stop_after={self.stop_after} must lie in 1..{self.epochs} (probe.epochs).")
        if self.stop_after == self.epochs:
            object.__setattr__(self, "stop_after", None)
        limit = "probe.epochs" if self.stop_after is None else "probe.stop_after"
        for name in ("evaluate_at", "checkpoint_at"):
            given = getattr(self, name)
            epochs = tuple(sorted(set((self.trained_epochs,) if given is None else given)))
            if any(not 0 <= epoch <= self.trained_epochs for epoch in epochs):
                raise OptionError(f"probe.{name}={list(epochs)} must lie in 0..{self.trained_epochs} ({limit}).")
            object.__setattr__(self, name, epochs)

    @property
    def trained_epochs(self) -> int:
        """The epochs that a member is trained for, of the `epochs` of its schedule."""
        return self.epochs if self.stop_after is None else self.stop_after

    @property
    def fold_epochs(self) -> int:
        """The epochs that a model of all but a fold is trained for: up to the last evaluated one, and at least one."""
        return max(1, self.evaluated[-1])

    @property
    def evaluated(self) -> tuple[int, ...]:
        """The evaluated epochs, sorted."""
        assert self.evaluate_at is not None
        return self.evaluate_at

    @property
    def training_recipe(self) -> Recipe:
        return replace(self.recipe, epochs=self.epochs, budget="epochs", total_steps=None, batches="equal")

    def settled(self, trainer: TrainerSpec | None = None) -> "Probe":
        """With the precision of its recipe settled (see winnow.training.precision)."""
        return replace(self, recipe=settled(self.recipe, trainer))

    def member_seed(self, member: int) -> int:
        return derive(self.seed, "probe", member)

    def member_needs(self, needs: frozenset[str]) -> frozenset[str]:
        """Those of `needs` for which members are trained on the whole training set."""
        of_others = {"subset_runs", "fold_features"} | (set() if self.embedding.from_members else {"embeddings"})
        return needs - of_others

    def cost(self, n: int, needs: frozenset[str] = frozenset({"logits"}), *, targets: int = 0) -> int:
        """Examples processed for the evidence in `needs` of n examples: presentations in training plus passes.

        A pass for gradients counts once, though its backward half costs as much again, and so does the search for a
        boundary, whose every step differentiates each of the classes it looks at. targets: the images, outside the
        n, that target_gradients are of.
        """
        total = self.embedding.cost(n) if "embeddings" in needs else 0
        if whole := self.member_needs(needs):
            passes = len(self.evaluated) + len(whole - {"trajectories", "logits", "embeddings", "target_gradients"})
            total += self.members * n * (self.trained_epochs + passes)
            total += self.members * targets if "target_gradients" in whole else 0
            total += n if "embeddings" in whole and "features" not in whole else 0
        if "subset_runs" in needs:
            total += self.members * (round_half_up(self.subset_fraction * n) * self.trained_epochs + n)
        if "fold_features" in needs:  # each example is in the parts of all but one
            total += n * ((self.members - 1) * self.fold_epochs + self.members)
        return total

    def multiply_adds(self, dataset: ImageDataset, needs: frozenset[str]) -> int:
        """Of one forward pass of one of the examples that `cost` counts; their mean, where models differ."""
        own = self.model.multiply_adds(dataset.image_shape, dataset.n_classes)
        embedding = self.embedding.cost(dataset.n) if "embeddings" in needs else 0
        if not embedding:
            return own
        total = self.cost(dataset.n, needs)
        return ((total - embedding) * own + embedding * self.embedding.multiply_adds(dataset)) // total

    def check_evaluated(self, reader: str, needs: frozenset[str]) -> None:
        """Raise MissingEvidenceError where `reader` needs a pass over the data and no epoch is evaluated, or folds held
        out of a single member."""
        passes = sorted(self.member_needs(needs) - {"trajectories"})
        if passes and not self.evaluated:
            raise MissingEvidenceError(f"{reader} reads {passes[0]}; set probe.evaluate_at to at least one epoch.")
        if "fold_features" in needs and self.members == 1:
            raise MissingEvidenceError(
                f"{reader} holds each fold out of one of the probes, and probe.members=1 would leave it nothing to be "
                "trained on; raise probe.members."
            )

    def check_trained(self, reader: str, least: int) -> None:
        """Raise MissingEvidenceError where `reader` needs more epochs of trajectories than there will be."""
        if least > self.trained_epochs:
            limit = "probe.epochs" if self.stop_after is None else "probe.stop_after"
            raise MissingEvidenceError(
                f"{reader} reads {least} epochs of training, but {limit}={self.trained_epochs}; train the probes for "
                "longer or let it read fewer."
            )

    def check_changes(self, reader: str, *, reads: bool) -> None:
        """Raise MissingEvidenceError where `reader` reads changes of the softmax and none will be recorded."""
        if reads and not self.changes:
            raise MissingEvidenceError(
                f"{reader} reads how the softmax of each example changes, which probe.changes=false does not record; "
                "set probe.changes=true."
            )

    def check_epochs(self, asked: frozenset[int]) -> None:
        """Raise MissingEvidenceError, naming the epochs there will be, when a metric asks for another one."""
        missing = sorted(asked - set(self.evaluated))
        if missing and self.stop_after is not None and missing[-1] > self.stop_after:
            raise MissingEvidenceError(
                f"the metric asks for epoch {missing[-1]}, but the probes stop after epoch {self.stop_after}; "
                f"set probe.stop_after to at least {missing[-1]} (probe.epochs={self.epochs}), or to null."
            )
        if missing:
            there = ", ".join(map(str, self.evaluated)) or "none"
            raise MissingEvidenceError(
                f"the metric asks for epoch {missing[0]}, but the probes are evaluated after: {there}. "
                f"Choose one of them or add {missing[0]} to probe.evaluate_at (probe.epochs={self.epochs})."
            )
