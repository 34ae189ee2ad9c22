"""How often models are right about examples that they were and were not trained on."""

import numpy as np

from winnow.core.errors import MissingEvidenceError
from winnow.core.types import Floats, Ints, SubsetRuns


def check_both(runs: SubsetRuns) -> None:
    """Raise MissingEvidenceError, with the count, where an example has no model with it, or none without."""
    counts = runs.membership.sum(axis=0)
    never_in, never_out = int((counts == 0).sum()), int((counts == len(runs.membership)).sum())
    if never_in or never_out:
        raise MissingEvidenceError(
            f"of {counts.size} examples {never_in} are in no model's part and {never_out} in every one of the "
            f"{len(runs.membership)} models; raise probe.members, or move probe.subset_fraction towards 0.5."
        )


def share_variance(count: Ints | Floats, models: Ints | int) -> Floats:
    """[n]: the variance of a share, c = `count` of k = `models`: p(1 − p)/(k − 1) with p = (c + ½)/(k + 1).

    p is drawn half an answer towards one half, so that models that all agree are not taken for certain; on average it
    is no less than the true variance, whatever the true share is. One model says nothing: 1/4, the largest there is.
    """
    models = np.asarray(models)
    share = (count + 0.5) / (models + 1)
    return np.where(models > 1, share * (1 - share) / np.maximum(models - 1, 1), 0.25)


def rates(runs: SubsetRuns) -> tuple[Floats, Floats, Floats]:
    """Share of right answers with the example and without it, and the standard error of their difference, each [n]."""
    check_both(runs)
    shares, variances = [], []
    for part in (runs.membership, ~runs.membership):
        models, right = part.sum(axis=0), (part & runs.correct).sum(axis=0)
        shares.append(right / models)
        variances.append(share_variance(right, models))
    return shares[0], shares[1], np.sqrt(variances[0] + variances[1])
