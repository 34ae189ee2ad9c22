"""A plan in words, for a terminal."""

from collections.abc import Iterable, Sequence
from itertools import groupby

import pandas as pd

from winnow.pipeline.planning.memory import Available, Need
from winnow.pipeline.planning.plan import Plan, PlannedCell, Work

LINES = 30
"""Cells or stages that are listed one by one; more are counted by rule and r, or by kind."""


def format_plan(plan: Plan, available: Available) -> str:
    """The whole plan, of several lines."""
    left = sum(not cell.finished for cell in plan.cells)
    sections = [f"plan of {_count(len(plan.cells), 'cell')}: {left} to run, {len(plan.cells) - left} finished"]
    for reason, numbers in plan.refused.items():
        named = f"{_count(len(numbers), 'cell')} ({_list(map(str, numbers))})"
        sections.append(f"refused: {named}: {reason}")
    if plan.cells:
        sections += [_cells(plan.cells)]
    if plan.stages:
        sections += ["what cells share:\n" + _stages(plan.stages)]
    sections += [_trainings(plan), _work(plan), _time(plan)]
    if plan.slow:
        sections += [f"WARNING: {plan.slow}"]
    if plan.needs:
        sections += [_memory(plan, available)]
    return "\n\n".join(sections) + "\n\nnothing was trained (plan=true)"


def _cells(cells: Sequence[PlannedCell]) -> str:
    several = [name for name in ("dataset", "model") if len({getattr(cell, name) for cell in cells}) > 1]
    columns = [*several, "rule", "r", "alpha", "kept"]
    table = pd.DataFrame(
        {
            "cell": [cell.number for cell in cells],
            **{name: [getattr(cell, name) for cell in cells] for name in several},
            "rule": [cell.rule for cell in cells],
            "r": [f"{cell.r:g}" for cell in cells],
            "alpha": [cell.alpha for cell in cells],
            "kept": [cell.n_kept for cell in cells],
            "seeds": [_seeds(cell) for cell in cells],
            "finished": [int(cell.finished) for cell in cells],
        }
    )
    if len(cells) > LINES:
        groups = table.groupby(columns, sort=False)
        table = groups.agg(cells=("cell", "size"), finished=("finished", "sum")).reset_index()
        table.insert(len(columns) + 1, "seeds", [_list(group) for _, group in groups["seeds"]])
    else:
        table["finished"] = ["yes" if each else "no" for each in table["finished"]]
    return table.to_string(index=False)


def _seeds(cell: PlannedCell) -> str:
    selection, training = cell.seeds
    return str(selection) if selection == training else f"{selection}/{training}"


def _list(values: Iterable[str]) -> str:
    once = list(dict.fromkeys(values))
    return ",".join(once) if len(once) <= 5 else f"{once[0]}..{once[-1]}"


def _stages(stages: Sequence[Work]) -> str:
    lines = [
        {
            "stage": work.name if len(stages) <= LINES else work.name.partition(":")[0],
            "what": work.title if len(stages) <= LINES else "",
            "model": work.model or "",
            "examples": work.examples,
            "finished": int(work.finished),
        }
        for work in stages
    ]
    table = pd.DataFrame(lines)
    if len(stages) > LINES:
        groups = table.groupby(["stage", "model", "examples"], sort=False)["finished"]
        table = groups.agg(stages="size", finished="sum").reset_index()
    else:
        table["finished"] = ["yes" if each else "no" for each in table["finished"]]
    return table.to_string(index=False)


def _trainings(plan: Plan) -> str:
    left = sum(not work.finished for work in plan.trainings)
    line = f"trainings: {'at most ' if plan.at_most else ''}{left} to run, {len(plan.trainings) - left} finished"
    if precisions := sorted({precision for cell in plan.cells for precision in cell.precisions}):
        line += f", in {' and '.join(precisions)}"
    return line + (" (rules by score may keep what another cell keeps, and train once)" if plan.at_most else "")


def _work(plan: Plan) -> str:
    shared = sum(work.examples for work in plan.stages if not work.finished)
    training = sum(work.examples for work in plan.trainings if not work.finished)
    line = f"examples to process: {shared + training:,}"
    if plan.stages:
        line += f": {training:,} in trainings of cells, {shared:,} in the probes' trainings and passes"
    return line


def _time(plan: Plan) -> str:
    if not plan.left:
        return "time: none, " + ("nothing can be run" if plan.refused else "everything is finished")
    if plan.seconds is None:
        unknown = {_name(work) for work in plan.left if work.examples and plan.speeds.get(work.key) is None}
        return f"time: unknown: no past row on {plan.device} in this store ({', '.join(sorted(unknown))})"
    line = f"time: about {_clock(plan.seconds)} one after another on {plan.device}"
    if plan.slots > 1:
        line += f", {_clock(plan.seconds / plan.slots)} in {plan.slots} slots"
    return "\n".join([line, *_speeds(plan)])


def _speeds(plan: Plan) -> list[str]:
    """A line for each model: what an example takes in the batches of its trainings, and how that is known."""
    lines = []
    by_model = groupby(sorted((work for work in plan.left if work.examples), key=_name), key=_name)
    for name, works in by_model:
        speeds = {speed for work in works if (speed := plan.speeds.get(work.key)) is not None}
        each = sorted({f"{1e3 * speed.seconds:.3g}" for speed in speeds}, key=float)
        lines.append(f"  {name}: {' to '.join(dict.fromkeys((each[0], each[-1])))} ms an example, by past rows")
        if scaled := sorted({speed.model for speed in speeds if speed.scaled}):
            lines[-1] += f" of {', '.join(scaled)}, scaled by multiply-adds"
    return lines


def _name(work: Work) -> str:
    return work.model or "embedding"


def _memory(plan: Plan, available: Available) -> str:
    """On a CPU what would be on the device is on the host."""
    separate = available.device is not None
    lines = ["memory at the peak of one job, without what convolutions and allocators take on top:"]
    for need in plan.needs:
        host = available.own + need.on_host + (0 if separate else need.on_device)
        parts = [f"{name} {_bytes(size)}" for name, size in (*need.device.items(), *need.host.items()) if size]
        device = f"{_bytes(need.on_device)} on the device, " if separate else ""
        lines.append(f"  {need.title}: {device}{_bytes(host)} on the host ({', '.join(parts)}, this process now)")
    lines += _warnings(plan, available, separate)
    return "\n".join(lines)


def _warnings(plan: Plan, available: Available, separate: bool) -> list[str]:
    def check(where: str, need: Need, size: int, jobs: int, free: int) -> list[str]:
        if size * jobs <= free:
            return []
        return [
            f"WARNING: {jobs} x {need.title} need {_bytes(size * jobs)} {where}, but only {_bytes(free)} are free; "
            "lower recipe.batch_size, take a smaller model" + (", or run fewer jobs at once." if jobs > 1 else ".")
        ]

    lines = []
    for need in plan.needs:
        if available.device is not None:
            lines += check(f"on {plan.device}", need, need.on_device, plan.per_device, available.device)
        host = available.own + need.on_host + (0 if separate else need.on_device)
        lines += check("in memory", need, host, plan.slots, available.host)
    return lines or [
        f"  it fits: {_bytes(available.host)} free in memory"
        + (f", {_bytes(available.device)} on {plan.device}" if available.device is not None else "")
    ]


def _bytes(size: float) -> str:
    return f"{size / 2**30:.2f} GiB" if size >= 2**29 else f"{size / 2**20:.1f} MiB"


def _clock(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


def _count(number: int, name: str) -> str:
    return f"{number} {name}{'' if number == 1 else 's'}"
