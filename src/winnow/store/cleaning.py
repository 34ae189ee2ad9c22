"""What may go from a store: what nothing in the given run and sweep folders needs. What cannot be proved so stays.

A row names its scores, alpha, subset and model; scores, subsets and alphas name the trainings behind them, and passes
the training that they are over. So what a row needs is found by the names in provenance, and beside it:
  - passes over a training that is needed stay, as scores do not name them;
  - images stay whose data a needed artifact names. A limit or label noise gives data a name of their own, so where one
    of those is needed, and is that of no images in the store, all images stay;
  - of shift reports and sweeps of scores, which name scores by content, the scores of that content.

A process that works at this moment has read what no row of its names yet, so while one holds any lock in the store
(winnow.store.use), no artifact goes.
"""

import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from winnow.core.errors import WinnowError
from winnow.store import layout, results
from winnow.store.artifacts import OPTION, Artifact, ArtifactStore
from winnow.store.inventory import Entry, Leftover, entries, leftovers, unfinished
from winnow.store.layout import Found
from winnow.store.records import load_scores
from winnow.store.references import references_of
from winnow.store.use import in_use, unused
from winnow.store.writing import writing

_CHANGED = re.compile(r"-(limit\d|noise\d)")


@dataclass(frozen=True, kw_only=True)
class Cleaning:
    """What stays and what may go. used: what processes do at this moment; where there is anything, unneeded is empty.

    failed: cells in the folders that stopped with an error; what they need is not known, and does not count.
    """

    needed: Sequence[Entry]
    unneeded: Sequence[Entry]
    leftovers: Sequence[Leftover]
    used: Sequence[str]
    failed: int


def needs(store: ArtifactStore, folders: Sequence[str | Path]) -> list[Entry]:
    """The artifacts that the results in run and sweep folders come from (references_of), by stage and key.

    Raises WinnowError where that is not known: a cell has neither finished nor failed, there is no result, one is of
    another store, or a provenance cannot be read.
    """
    return _needed(store, entries(store), folders)


def cleaning(store: ArtifactStore, folders: Sequence[str | Path]) -> Cleaning:
    """What may go where only the results in these folders are to stay. Raises as `needs` does; removes nothing."""
    there = entries(store)
    needed = _needed(store, there, folders)
    kept = {(each.stage, each.key) for each in needed}
    used = in_use(store)
    return Cleaning(
        needed=needed,
        unneeded=[] if used else [each for each in there if (each.stage, each.key) not in kept],
        leftovers=[*leftovers(store), *unfinished(store)],
        used=used,
        failed=sum(len(results.collect(folder).failed) for folder in folders),
    )


def remove(store: ArtifactStore, things: Iterable[Found]) -> list[Found]:
    """Remove these, in the given order; those that a process uses stay and are returned.

    An artifact goes in one step, so none is ever there in part. Raises StoreError where the store cannot be written.
    """
    stayed = []
    for each in things:
        with unused(store, each.stage, each.key) as free, writing(each.path, option=OPTION):
            if not free:
                stayed.append(each)
                continue
            if each.kind == "artifact":
                removed = layout.draft(store.root, each.stage, each.key)
                each.path.rename(removed)
                shutil.rmtree(removed)
            elif each.path.is_dir():
                shutil.rmtree(each.path)
            else:
                each.path.unlink(missing_ok=True)
            if not store.exists(each.stage, each.key):  # who waits for this lock then takes a new one
                layout.lock(store.root, each.stage, each.key).unlink(missing_ok=True)
    return stayed


def downstream_first(unneeded: Iterable[Entry]) -> list[Found]:
    """As `remove` takes them: no artifact goes before what came from it."""
    order = {stage: number for number, stage in enumerate(layout.STAGES)}
    rising = sorted(unneeded, key=lambda each: order[each.stage])
    return [Found("artifact", each.stage, each.key, each.path) for each in reversed(rising)]


def _needed(store: ArtifactStore, there: Sequence[Entry], folders: Sequence[str | Path]) -> list[Entry]:
    named: dict[str, list[Entry]] = {}
    passes: dict[str, list[Entry]] = {}  # by each name in what they are made from, that of their training among them
    for entry in there:
        named.setdefault(entry.key, []).append(entry)
        for name in (entry.names or ()) if entry.stage == "pass" else ():
            passes.setdefault(name, []).append(entry)
    found: dict[tuple[str, str], Entry] = {}
    waiting = []
    for folder in folders:
        references = references_of(folder)
        if references.others or references.scores:
            for content, entry in _scores_by_content(there):
                named.setdefault(content, []).append(entry)
        lacking = [key for key in references.rows if not any(each.stage == "row" for each in named.get(key, ()))]
        lacking += [name for name in (*references.others, *references.scores) if name not in named]
        if lacking:
            raise WinnowError(
                f"{folder} has {len(lacking)} results that are not in the store {store.root}, such as {lacking[0]}; "
                "give the store that they were made in, or run the same command again."
            )
        waiting += [each for names in references for name in names for each in named[name]]
    while waiting:
        entry = waiting.pop()
        if (entry.stage, entry.key) in found:
            continue
        if entry.names is None:
            raise WinnowError(
                f"the provenance of {entry.path} cannot be read, so what it needs is not known; remove it, and run the "
                "same command again."
            )
        found[entry.stage, entry.key] = entry
        # By its own key too: an agreement has that of the scores.
        waiting += [each for name in (entry.key, *entry.names) for each in named.get(name, ())]
        if entry.stage == "probe":
            waiting += passes.get(entry.key, ())
    stay = {*found, *((each.stage, each.key) for each in _images(there, found.values()))}
    return [entry for entry in there if (entry.stage, entry.key) in stay]


def _scores_by_content(there: Sequence[Entry]) -> Iterator[tuple[str, Entry]]:
    for entry in there:
        if entry.stage == "scores" and entry.names is not None:
            yield load_scores(Artifact(entry.path)).content_hash, entry


def _images(there: Sequence[Entry], needed: Iterable[Entry]) -> list[Entry]:
    """The images that the data of needed artifacts are, or may be made of."""
    data = {each.dataset for each in needed if each.dataset is not None}
    images = {each.key: each for each in there if each.stage == "images"}
    prints = {key: _fingerprint(each) for key, each in images.items()}
    unexplained = any(_CHANGED.search(each) for each in data - set(prints.values()))
    return [each for key, each in images.items() if unexplained or prints[key] is None or prints[key] in data]


def _fingerprint(images: Entry) -> str | None:
    """Of the data that these images are; None where they do not say."""
    try:
        return str(Artifact(images.path).json("index")["fingerprint"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
