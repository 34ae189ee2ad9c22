"""Selection from a table of scores that no memory holds: by passes of DuckDB over its Parquet files."""

import json
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from winnow.core.errors import DatasetError, OptionError, check_choice
from winnow.core.rounding import round_half_up
from winnow.core.seeds import derive
from winnow.pipeline.parquet import about, check_place, fraction_of
from winnow.selectors.base import Selector
from winnow.selectors.budget import kept_count
from winnow.selectors.calibrated import Calibrated
from winnow.selectors.compression import Count, Fraction
from winnow.selectors.random import Random
from winnow.selectors.threshold import Threshold
from winnow.selectors.window import Window
from winnow.store import score_files
from winnow.store.writing import replaced_at_once, writing

if TYPE_CHECKING:
    import duckdb

BUCKETS = 2**16
FETCHED = 2**20
"""Numbers that are looked at one by one to find the exact place of a cut."""

MIXED = "out of core: ties and random draws by SplitMix64 of the index, not those of a selection in memory"

# SplitMix64 (Steele, Lea & Flood 2014) of the index: for a seed, a permutation of 64-bit numbers, so none are alike.
MACROS = """
CREATE MACRO times(x, factor) AS ((x::UHUGEINT * factor::UHUGEINT) & 18446744073709551615::UHUGEINT)::UBIGINT;
CREATE MACRO start(i, seed) AS
    ((i::UHUGEINT * 11400714819323198485::UHUGEINT + seed::UHUGEINT) & 18446744073709551615::UHUGEINT)::UBIGINT;
CREATE MACRO mix1(z) AS times(xor(z, z >> 30), 13787848793156543929);
CREATE MACRO mix2(z) AS times(xor(z, z >> 27), 10723151780598845931);
CREATE MACRO key(i, seed) AS
    (xor(mix2(mix1(start(i, seed))), mix2(mix1(start(i, seed))) >> 31)::HUGEINT - 9223372036854775808::HUGEINT)::BIGINT;
"""


class Cut(NamedTuple):
    """Where a column has its rank-th smallest value: the value, how many are smaller, and how many are equal to it."""

    value: float | int
    below: int
    equal: int


def select_out_of_core(
    scores: str | Path,
    to: str | Path,
    *,
    selector: Selector,
    r: float | Count | Fraction,
    alpha: float = 0.0,
    seed: int,
    column: str = "score",
    index: str = "index",
    higher_is: str = "harder",
    memory: str = "4GB",
    threads: int | None = None,
) -> dict[str, Any]:
    """As `select_from_parquet`, for more examples than memory holds; what it leaves in `to` under "provenance".

    Rules: random, threshold, window, and calibrated with the hardest for its signal, in every protocol; no balance, no
    drop_suspect. Budgets, the split by alpha and weights are the selector's own, and cuts are exact: the m-th score is
    found by counts in ever finer buckets, a pass each, and nothing but what is kept is sorted, on disk if need be.

    Deviation: ties and random draws are decided by SplitMix64 of (seed, index), where a selection in memory takes n
    numbers of numpy's generator. So a rule that keeps by score alone keeps the same set where no scores tie at its
    cut, and otherwise as many of those that tie; random draws are others of the same distribution. The provenance says
    so.

    memory, threads: the most that DuckDB may take (threads None: all cores); the interpreter's 150 MB come on top.

    Raises OptionError where duckdb is not installed, or for another rule; and what select_from_parquet raises.
    """
    started = time.perf_counter()
    check_choice("higher_is", higher_is, ("harder", "easier"))
    check_place(Path(scores), Path(to))
    _check_rule(selector)
    n = score_files.count_rows(scores)
    fraction = fraction_of(r, n)
    selector.check(np.broadcast_to(np.int8(0), n), r=fraction, alpha=alpha)
    read = column if selector.reads_scores else None
    wanted = [name for name in (index, read) if name is not None]
    score_files.check_columns(scores, score_files.columns_of(scores), wanted, f"it needs {', '.join(wanted)}")
    with (
        writing(to),
        replaced_at_once(Path(to)) as temporary,
        tempfile.TemporaryDirectory(dir=temporary.parent) as room,
    ):
        con = _connected(memory, threads, room)
        sign = "-" if higher_is == "easier" else ""
        harder = "0::DOUBLE" if read is None else f"({sign}{_quoted(column)})::DOUBLE"
        files = ", ".join(f"'{_escaped(str(shard))}'" for shard in score_files.shards(scores))
        source = f"SELECT {_quoted(index)}::BIGINT AS i, {harder} AS score FROM read_parquet([{files}])"
        con.execute(f"CREATE VIEW examples AS {source}")
        _check_lines(con, scores, n)
        kept = kept_count(n, fraction)
        signals = int(selector._signal_counts(np.array([n]), np.array([kept]), alpha)[0])
        weights = selector._weights(np.array([n]), np.array([kept]), np.array([signals]))
        signal = _signal(con, selector, n, signals, f"key(i, {derive(seed, 'out of core ties')})")
        rest = f"NOT ({signal})"
        explored = _first(
            con, f"key(i, {derive(seed, 'out of core explore')})", None, rest, n - signals, kept - signals
        )
        facts = about(scores, selector, fraction, alpha, seed, column=read, index=index, higher_is=higher_is)
        facts |= {"n": n, "n_kept": kept, "draws": MIXED, "duckdb": con.execute("SELECT version()").fetchall()[0][0]}
        facts["seconds"] = round(time.perf_counter() - started, 3)
        attrs = _escaped(json.dumps({"n": n, "provenance": facts}))
        con.execute(
            f"COPY (SELECT i AS index, CASE WHEN is_signal THEN {_literal(float(weights[0][0]))} "
            f"ELSE {_literal(float(weights[1][0]))} END AS weight, is_signal "
            f"FROM (SELECT *, ({signal}) AS is_signal FROM examples) WHERE is_signal OR ({explored}) ORDER BY i) "
            f"TO '{_escaped(str(temporary))}' (FORMAT parquet, KV_METADATA {{PANDAS_ATTRS: '{attrs}'}})"
        )
        con.close()
    return facts


def _check_rule(selector: Selector) -> None:
    known = isinstance(selector, Random | Threshold | Window | Calibrated)
    if not known or getattr(selector, "signal", None) is not None or selector.balance or selector.drop_suspect:
        raise OptionError(
            f"selector={selector.name} with these options does not go out of core; choose random, threshold, window or "
            "calibrated without signal, balance and drop_suspect, or engine=memory."
        )


def _connected(memory: str, threads: int | None, room: str) -> "duckdb.DuckDBPyConnection":
    try:
        import duckdb
    except ImportError as error:
        raise OptionError(
            'engine=duckdb needs duckdb, which is not installed: pip install "winnow[duckdb]".'
        ) from error
    limits: dict[str, Any] = {"memory_limit": memory, "temp_directory": room, "preserve_insertion_order": False}
    try:
        con = duckdb.connect(config=limits | ({} if threads is None else {"threads": threads}))
    except duckdb.Error as error:
        raise OptionError(f"memory={memory} or threads={threads} is none that DuckDB knows ({error}).") from error
    con.execute(MACROS)
    return con


def _check_lines(con: "duckdb.DuckDBPyConnection", path: str | Path, n: int) -> None:
    """Raise DatasetError unless the index names each of 0..n-1 once, with a finite score: a bit an example."""
    outside = f"(i IS NULL OR i < 0 OR i >= {n})"
    ((foreign, broken),) = con.execute(
        f"SELECT count(*) FILTER ({outside}), count(*) FILTER (score IS NULL OR NOT isfinite(score)) FROM examples"
    ).fetchall()
    bits = f"SELECT bit_count(bitstring_agg(i, 0, {n - 1})) FROM examples WHERE NOT {outside}"
    seen = con.execute(bits).fetchall()[0][0] or 0
    problems = {
        f"names {n - foreign - seen} examples twice": n - foreign - seen,
        f"names {foreign} examples outside 0..{n - 1}": foreign,
        f"has {broken} scores that are not finite numbers": broken,
    }
    if any(problems.values()):
        found = " and ".join(problem for problem, count in problems.items() if count)
        named = n - foreign - seen or foreign
        advice = f"give each of the {n} lines an index of its own, from 0" if named else score_files.FINITE
        raise DatasetError(f"{path} {found}; {advice}.")


def _signal(con: "duckdb.DuckDBPyConnection", selector: Selector, n: int, count: int, ties: str) -> str:
    """The condition that an example is kept because of its score."""
    by = "score" if isinstance(selector, Threshold) and selector.keep == "easiest" else "-score"
    skipped = min(round_half_up(selector.skip * n), n - count) if isinstance(selector, Window) else 0
    kept = _first(con, by, ties, "true", n, skipped + count)
    return kept if not skipped else f"({kept}) AND NOT ({_first(con, by, ties, 'true', n, skipped)})"


def _first(con: "duckdb.DuckDBPyConnection", by: str, ties: str | None, where: str, total: int, count: int) -> str:
    """The condition that an example is one of the `count` with the smallest `by`, of the `total` where `where` holds.

    Of equal ones those with the smallest `ties` count; None where none are equal.
    """
    if count in (0, total):
        return where if count else "false"
    cut = _cut(con, by, where, count)
    edge, room = _literal(cut.value), count - cut.below
    if room == cut.equal:
        return f"({where}) AND {by} <= {edge}"
    assert ties is not None
    tied = f"({where}) AND {by} = {edge}"
    last = _literal(_cut(con, ties, tied, room).value)
    return f"({where}) AND ({by} < {edge} OR {by} = {edge} AND {ties} <= {last})"


def _cut(con: "duckdb.DuckDBPyConnection", by: str, where: str, rank: int) -> Cut:
    """The rank-th smallest `by` where `where` holds, exactly: a pass counts BUCKETS parts of the range it lies in."""
    ((low, high),) = con.execute(f"SELECT min({by}), max({by}) FROM examples WHERE {where}").fetchall()
    below = 0
    while True:
        first, last = _literal(low), _literal(high)
        inside = f"FROM examples WHERE ({where}) AND {by} >= {first} AND {by} <= {last}"
        # Rounding is monotone, so that parts keep the order; their own least and greatest values bound the next ones.
        share = f"({by}::DOUBLE - {first}::DOUBLE) / greatest({last}::DOUBLE - {first}::DOUBLE, 1e-300)"
        part = f"least(floor({BUCKETS} * {share}), {BUCKETS - 1})"
        parts = con.execute(
            f"SELECT min({by}), max({by}), count(*) {inside} GROUP BY {part} ORDER BY min({by})"
        ).fetchnumpy()
        lows, highs, counts = (np.asarray(column) for column in parts.values())
        reached = below + np.cumsum(counts)
        at = int(np.searchsorted(reached, rank))
        low, high, held = lows[at].item(), highs[at].item(), int(counts[at])
        below = int(reached[at]) - held
        if low == high:
            return Cut(low, below, held)
        if held <= FETCHED:
            inside = f"FROM examples WHERE ({where}) AND {by} >= {_literal(low)} AND {by} <= {_literal(high)}"
            found = con.execute(f"SELECT {by}, count(*) {inside} GROUP BY 1 ORDER BY 1").fetchnumpy()
            values, counts = (np.asarray(column) for column in found.values())
            reached = below + np.cumsum(counts)
            at = int(np.searchsorted(reached, rank))
            return Cut(values[at].item(), int(reached[at] - counts[at]), int(counts[at]))


def _literal(value: float | int) -> str:
    """A number as SQL has it to the last bit: a plain 0.1 would be a decimal there."""
    return f"'{value!r}'::{'DOUBLE' if isinstance(value, float) else 'BIGINT'}"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _escaped(text: str) -> str:
    return text.replace("'", "''")
