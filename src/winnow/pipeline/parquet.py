"""Selection without a data set: from a table of scores, one file or many, to the table of what is kept."""

import time
from pathlib import Path
from typing import Any

import numpy as np

from winnow.core.errors import MissingEvidenceError, OptionError, check_choice
from winnow.core.types import Subset
from winnow.selectors.base import Selector
from winnow.selectors.budget import kept_count
from winnow.selectors.compression import Count, Fraction
from winnow.store import score_files
from winnow.store.keys import describe
from winnow.store.provenance import provenance
from winnow.store.records import write_subset_table


def select_from_parquet(
    scores: str | Path,
    to: str | Path,
    *,
    selector: Selector,
    r: float | Count | Fraction,
    alpha: float = 0.0,
    seed: int,
    column: str = "score",
    index: str | None = "index",
    label: str | None = None,
    higher_is: str = "harder",
) -> Subset:
    """The subset that `selector` keeps of n scored examples, read from Parquet and written to Parquet.

    scores: a file, or a folder of shards (*.parquet), with the columns `column`, the score; `index`, which names each
    of 0..n-1 once, in any order (None: the lines are counted, shards in natural order of their names); and, if the rule
    balances classes, `label`, whole numbers. A rule that reads no scores needs no column of them. higher_is="easier"
    turns their sign. r: the fraction kept, or a compression.

    to: a new .parquet file: index, weight, is_signal, and label where there is one, by rising index. Its
    `pandas.read_parquet(to).attrs` hold n, and under "provenance" how it was made: arguments, versions, seconds.

    The subset is the one that `selector.select` keeps of the same scores in memory, for it is what is called. Columns
    are read in parts; 10⁸ examples take less than 4 GB (docs/speed.md).

    Raises MissingEvidenceError for a selector that reads more than scores; OptionError where `to` is there, is none, or
    lies among the shards, and for balance without labels; DatasetError where the table does not fit; what the selector
    raises; StoreError.
    """
    started = time.perf_counter()
    check_choice("higher_is", higher_is, ("harder", "easier"))
    check_place(Path(scores), Path(to))
    if selector.needs:
        raise MissingEvidenceError(
            f"selector={selector.name} reads {' and '.join(sorted(selector.needs))} beside scores, which a table of "
            "scores has not; choose a rule that goes by scores alone, or select from a data set (select.py)."
        )
    if selector.balance is not None and label is None:
        raise OptionError(f"selector.balance={selector.balance} is over classes; name their column: label=... .")
    n = score_files.count_rows(scores)
    fraction = fraction_of(r, n)
    read = column if selector.reads_scores else None
    values, labels = score_files.read_score_table(scores, n, column=read, index=index, label=label)
    if values is not None and higher_is == "easier":
        np.negative(values, out=values)
    asked = np.broadcast_to(np.int8(0), n) if labels is None else labels
    subset = selector.select(values, asked, r=fraction, alpha=alpha, seed=seed)
    facts = about(scores, selector, fraction, alpha, seed, column=read, index=index, label=label, higher_is=higher_is)
    facts |= {"n": n, "n_kept": subset.m, "subset": subset.content_hash}
    facts["seconds"] = round(time.perf_counter() - started, 3)
    write_subset_table(to, subset, {} if labels is None else {"label": labels}, provenance=facts)
    return subset


def fraction_of(r: float | Count | Fraction, n: int) -> float:
    """The fraction of n that is asked for; BudgetError where it keeps none, before minutes of reading."""
    fraction = r if isinstance(r, float | int) else r.fraction(n)
    kept_count(n, fraction)
    return fraction


def about(
    scores: str | Path,
    selector: Selector,
    r: float,
    alpha: float,
    seed: int,
    *,
    column: str | None,
    **columns: str | None,
) -> dict[str, Any]:
    """What a subset was made from, and with what code."""
    alpha = selector.effective_alpha(alpha)
    made: dict[str, Any] = {"scores": str(scores), "column": column, **columns, "rule": selector.rule(column, alpha)}
    return made | {"selector": describe(selector), "r": r, "alpha": alpha, "seed": seed, **provenance()}


def check_place(scores: Path, to: Path) -> None:
    if to.suffix != ".parquet":
        raise OptionError(f"to={to} must end in .parquet.")
    if to.exists():
        raise OptionError(f"to={to} is there already; name a new file.")
    if scores.is_dir() and to.resolve().parent == scores.resolve():
        raise OptionError(f"to={to} would be one of the shards of {scores}; name a file outside that folder.")
