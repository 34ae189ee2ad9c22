"""logger=wandb: a run a training, a stage and a sweep, and the artifacts that lead from one to the next."""

import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from winnow.core.errors import check_choice
from winnow.core.types import Row
from winnow.store.writing import write_atomically, writing
from winnow.training import wandb_server, wandb_sweep
from winnow.training.logger_spec import LoggerSpec, Made, Opened, SweepRecord

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

log = logging.getLogger(__name__)

TITLES = {
    "cell": "{rule} r={r:g} seed {seed}",
    "select": "{rule} r={r:g} seed {selection_seed}",
    "score": "{metric} seed {probe_seed}",
    "probe": "probe {member} of {model} seed {probe_seed}",
}
"""What a run is called by the columns of its config; where it has others, by its key."""
TAGS = ("dataset", "model", "rule")
LONGEST_TAG, LONGEST_GROUP = 64, 128  # that a server takes
JOB_TYPES = {"cell": "train"}
_FOLDERS = {"WANDB_CACHE_DIR": "cache", "WANDB_DATA_DIR": "data"}


@dataclass(frozen=True, kw_only=True)
class WandbLog(LoggerSpec):
    """One wandb run a training and a stage, grouped by sweep, with its columns as config and its row as the summary.

    Job types: probe, score, select, train, and sweep for a sweep as a whole. A cell that was finished before gets a run
    too, tagged "cached", unless its folder has one.

    mode: "auto" follows the variable WANDB_MODE where it is set; else it is online where the server answers within two
    seconds and a key is set, and offline otherwise, with one warning (asking first matters: wandb itself blocks for
    over a minute and a half before it gives up). "online" or "offline" force it. The run is finished when its training
    is, so that many cells can follow in one process. The run of a training that failed or was interrupted goes on where
    the same folder is given again, online; offline there is nothing to go on with, and it becomes another run. Of the
    runs of a process that `wandb agent` started, that of the cell is the one that its sweep asks for.

    Artifacts are named KIND-KEY. upload: the kinds whose files are sent; of the others (probe, model) it is their key
    and the path in the store, enough to see what came from what. Files of scores and subsets are not copied, so
    `wandb sync` finds them while the store has them.

    Raises OptionError for another mode.
    """

    shows_images: ClassVar[bool] = True
    follows_sweeps: ClassVar[bool] = True

    folder: str
    project: str = "winnow"
    entity: str | None = None
    group: str | None = None
    mode: str = "auto"
    upload: tuple[str, ...] = ("scores", "subset")

    def __post_init__(self) -> None:
        check_choice("logger.mode", self.mode, ("auto", "online", "offline"))
        for kind in self.upload:
            check_choice("logger.upload", kind, ("scores", "subset", "model"))

    def open(self, name: str, *, kind: str, config: Mapping[str, Any]) -> Opened:
        from pytorch_lightning.loggers import WandbLogger

        return WandbLogger(experiment=self._run(name, kind=kind, config=config), save_dir=self.folder)

    def close(self, opened: Opened, row: Row | None = None, *, failed: bool = False) -> None:
        run = _run_of(opened)
        if row is not None:
            run.summary.update(asdict(row))
        super().close(opened, row, failed=failed)
        self._finish(run, failed=failed)

    def artifact(self, opened: Opened, made: Made, *, uses: Sequence[Made] = ()) -> None:
        self._artifacts(_run_of(opened), made, uses)

    def images(self, opened: Opened, name: str, table: "pd.DataFrame", images: "NDArray[Any]") -> None:
        import wandb

        shown = wandb.Table(columns=["image", *table.columns])
        for image, line in zip(images, table.itertuples(index=False), strict=True):
            shown.add_data(wandb.Image(image[..., 0] if image.shape[2] == 1 else image), *line)
        _run_of(opened).log({name: shown})

    def stage(self, kind: str, made: Made, *, uses: Sequence[Made] = (), config: Mapping[str, Any]) -> None:
        if self._finished(made.key, kind).exists():
            return
        run = self._run(made.key, kind=kind, config=config)
        self._artifacts(run, made, uses)
        self._finish(run)

    def cached(self, row: Row, *, config: Mapping[str, Any]) -> None:
        if self._finished(row.key, "cell").exists():
            return
        run = self._run(row.key, kind="cell", config=config, tags=("cached",))
        run.summary.update(asdict(row))
        self._finish(run)

    def sweep(self, name: str, record: SweepRecord) -> None:
        import wandb

        before = self._finished("all", "sweep")
        id = before.read_text() if before.exists() else None
        run = self._run("all", kind="sweep", config=record.config, title=name, id=id)
        shown: dict[str, Any] = {name: wandb.Image(str(path)) for name, path in record.figures.items()}
        shown |= {name: wandb.Table(dataframe=_plain(table)) for name, table in record.tables.items()}
        shown["grid"] = wandb.Table(dataframe=_plain(record.grid))
        if record.page is not None:
            shown["report"] = wandb.Html(str(record.page))
        run.log(shown)
        run.summary.update({f"cells/{name}": count for name, count in record.counts.items()})
        kept = wandb.Artifact(f"grid-{run.id}", type="grid")
        for path in record.files:
            kept.add_file(str(path))
        run.log_artifact(kept)
        self._finish(run)

    def _run(
        self,
        name: str,
        *,
        kind: str,
        config: Mapping[str, Any],
        title: str | None = None,
        tags: Sequence[str] = (),
        id: str | None = None,
    ) -> Any:
        agent = wandb_sweep.asked()  # before wandb reads its variables
        import wandb

        asked = agent if kind == "cell" else None
        group = agent.sweep if agent else self.group and self.group[-LONGEST_GROUP:]
        with writing(self.folder):
            os.makedirs(self.folder, exist_ok=True)
        # wandb's service keeps a log of its own in its cache, and files of artifacts until they are sent beside it: by
        # itself in the home folder.
        for variable, inside in _FOLDERS.items():
            os.environ.setdefault(variable, os.path.abspath(os.path.join(self.folder, "wandb", inside)))
        # Left to start the run itself, Lightning makes wandb print a warning and sets WANDB_MODE for the whole process.
        mode, unfinished = self._mode(), self._unfinished(name, kind)
        goes_on = mode == "online" and asked is None and (id is not None or unfinished.exists())
        if goes_on and id is None:
            id = unfinished.read_text()
        run = wandb.init(
            id=asked.run if asked else id,
            resume="allow" if goes_on else None,
            name=title or _title(name, kind, config),
            project=(agent and agent.project) or self.project,
            entity=(agent and agent.entity) or self.entity,
            group=group,
            job_type=JOB_TYPES.get(kind, kind),
            tags=[*(str(config[each])[:LONGEST_TAG] for each in TAGS if config.get(each)), *tags],
            dir=self.folder,
            config=(asked.parameters if asked else {}) | dict(config),
            mode=mode,
            reinit="create_new",
            settings=wandb.Settings(silent=True, console="off", sweep_id=asked.sweep if asked else None),
        )
        run.define_metric("trainer/global_step")
        run.define_metric("*", step_metric="trainer/global_step", step_sync=True)
        write_atomically(unfinished, run.id)
        return run

    def _finish(self, run: Any, *, failed: bool = False) -> None:
        run.finish(exit_code=int(failed))
        if not failed:
            for path in (Path(self.folder) / "wandb").glob("*.unfinished"):
                if path.read_text() == run.id:
                    path.rename(path.with_suffix(".finished"))

    def _unfinished(self, name: str, kind: str) -> Path:
        """The file that holds the id of a run until it is finished."""
        return Path(self.folder) / "wandb" / f"{kind}-{name}.unfinished"

    def _finished(self, name: str, kind: str) -> Path:
        """The file that holds the id of a run once it is finished."""
        return Path(self.folder) / "wandb" / f"{kind}-{name}.finished"

    def _artifacts(self, run: Any, made: Made, uses: Sequence[Made]) -> None:
        for used in uses:
            # What run.use_artifact does, which refuses offline and online waits for the server.
            run._log_artifact(self._artifact(used), is_user_created=True, use_after_commit=True)
        run.log_artifact(self._artifact(made))
        run.summary[f"artifact/{made.kind}"] = f"{made.kind}-{made.key}"

    def _artifact(self, made: Made) -> Any:
        """An artifact of the same content wherever it is named, so that a server takes it for one."""
        import wandb

        described = {"key": made.key, "path": None if made.path is None else str(made.path.absolute())}
        artifact = wandb.Artifact(f"{made.kind}-{made.key}", type=made.kind, metadata=described)
        if made.path is None or made.kind not in self.upload:
            with artifact.new_file("key.json") as file:
                json.dump({"kind": made.kind, "key": made.key}, file)
        elif made.path.is_dir():
            artifact.add_dir(str(made.path))
        else:
            artifact.add_file(str(made.path), policy="immutable")
        return artifact

    def _mode(self) -> Any:
        if self.mode != "auto":
            return self.mode
        # wandb reads its variables once a process, so it is told even of this one.
        return os.environ.get("WANDB_MODE") or ("online" if _server_answers() else "offline")


def _run_of(opened: Opened) -> Any:
    from pytorch_lightning.loggers import WandbLogger

    assert isinstance(opened, WandbLogger)
    return opened.experiment


def _title(name: str, kind: str, config: Mapping[str, Any]) -> str:
    try:
        return TITLES[kind].format(**config)
    except (KeyError, TypeError, ValueError):
        return name


def _plain(table: "pd.DataFrame") -> "pd.DataFrame":
    """With None where a value is missing, which wandb writes as JSON."""
    return table.astype(object).where(table.notna(), None)


_answers: bool | None = None


def _server_answers() -> bool:
    """Whether runs can be sent; asked once a process."""
    global _answers
    if _answers is None:
        _answers = wandb_server.answers() and wandb_server.has_key()
        if not _answers:
            log.warning("wandb: no server answers or no key is set; runs are kept offline (`wandb sync` sends them).")
    return _answers
