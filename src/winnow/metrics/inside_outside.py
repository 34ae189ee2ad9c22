"""How often models are right about examples that they were and were not trained on."""

import numpy as np

from winnow.errors import MissingEvidenceError
from winnow.types import Floats, SubsetRuns


def check_both(runs: SubsetRuns) -> None:
    """Raise MissingEvidenceError, with the count, where an example has no model with it, or none without."""
    counts = runs.membership.sum(axis=0)
    never_in, never_out = int((counts == 0).sum()), int((counts == len(runs.membership)).sum())
    if never_in or never_out:
        raise MissingEvidenceError(
            f"of {counts.size} examples {never_in} are in no model's part and {never_out} in every one of the "
            f"{len(runs.membership)} models; raise probe.members, or move probe.subset_fraction towards 0.5."
        )


def rates(runs: SubsetRuns) -> tuple[Floats, Floats, Floats]:
    """Share of right answers with the example and without it, and the standard error of their difference, each [n].

    A share p of k models has the variance p(1 − p)/(k − 1), or at worst 1/4 where k = 1.
    """
    check_both(runs)
    shares, variances = [], []
    for part in (runs.membership, ~runs.membership):
        count = part.sum(axis=0)
        share = (part & runs.correct).sum(axis=0) / count
        shares.append(share)
        variances.append(np.where(count > 1, share * (1 - share) / np.maximum(count - 1, 1), 0.25))
    return shares[0], shares[1], np.sqrt(variances[0] + variances[1])
