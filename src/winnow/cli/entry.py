"""How a script enters: its task under Hydra, and a user's mistake told in one line."""

import logging
import os
import re
import sys
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from winnow.cli import calling, composing
from winnow.cli.configuration import CONF, options
from winnow.core.errors import Interrupted, StoreError, WinnowError
from winnow.parallel import interruption, workers
from winnow.store.writing import unwritable

STAGE_GROUPS = ("dataset", "model", "recipe", "probe", "metric", "selector", "alpha", "compression")
RUN_FOLDER = "hydra.run.dir=DIR, of a sweep hydra.sweep.dir=DIR"
MISTAKES = (WinnowError, HydraException, OmegaConfBaseException)

at_end: dict[str, Callable[[], None]] = {}
"""What is done once when the command at work ends, by what it is: a sweep may report many times before."""

# conf/hydra/launcher has defaults of ours under the names that the launchers' own options have.
warnings.filterwarnings("ignore", message=r"\s*'hydra/launcher/\w+' is validated against ConfigStore schema")

OmegaConf.register_new_resolver("begins", calling.begins, replace=True)  # of the examples in conf/hydra/help

# It logs each instruction set that it looks for and does not find, in lines that read like errors.
logging.getLogger("faiss.loader").setLevel(logging.WARNING)


def hydra_script(task: Callable[[DictConfig], Any], *, name: str, config_name: str = "config") -> None:
    """Run a command's task under Hydra, which calls the run, and its log, by the command's name.

    A user's mistake ends in one line on standard error and exit code 1. HYDRA_FULL_ERROR=1 shows the traceback instead.
    Whatever launcher runs it, a task that fails leaves its traceback in the folder of its run. A signal ends it too
    (winnow.parallel.interruption), with one line and the code of Interrupted. What Hydra refuses, or a folder of the
    run that it cannot write, is a mistake too.
    """
    if workers.follow_if_called():
        return
    wants_traceback = os.environ.get("HYDRA_FULL_ERROR", "0") == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # else Hydra prints its own report and exits before this can see the error
    logging.raiseExceptions = False  # else a log that cannot be written prints a traceback for every line of it
    begun = False
    sys.path.append(os.getcwd())  # for classes of the user's own; last, so that it hides nothing

    def reported_once(cfg: DictConfig) -> Any:
        nonlocal begun
        begun = True
        if workers.follow_if_called():  # where srun starts an engine's own program, and that starts the task
            return None
        try:
            with interruption.handled():  # here as well: a launcher may call the task in a process of its own
                return task(cfg)
        except Exception as error:
            from winnow.store import results  # pandas with it; by now the task has mostly imported both

            folder = Path(HydraConfig.get().runtime.output_dir)
            if folder != Path.cwd():  # a folder of the run, not where the user stands, as of a figure
                with suppress(StoreError):  # what went wrong first is what to tell
                    results.save_failure(folder, failure_text(error))
            # A single run keeps the error from Hydra, which adds lines of its own; a sweep leaves it to the launcher.
            if not isinstance(error, MISTAKES) or wants_traceback or HydraConfig.get().mode == RunMode.MULTIRUN:
                raise
            _stop(error, config_name)

    reported_once.__module__ = f"{__package__}.{name}"  # whose last part Hydra takes
    try:
        with interruption.handled(), composing.composing_once():
            try:
                hydra.main(version_base="1.3", config_path=CONF, config_name=config_name)(reported_once)()
            finally:
                while at_end:
                    at_end.popitem()[1]()
    except Interrupted as stop:
        print("interrupted: the same command goes on from here.", file=sys.stderr)
        sys.exit(stop.code)
    except MISTAKES as error:
        if wants_traceback:
            raise
        _stop(error, config_name)
    except Exception as error:
        if begun or wants_traceback:
            raise
        unwritten = unwritten_folder(error)
        if unwritten is None and not _is_of_hydra(error):
            raise
        _stop(unwritten or error, config_name)


def _stop(error: Exception, config_name: str) -> NoReturn:
    print(f"error: {one_line(error)}{_known_names(error, config_name)}", file=sys.stderr)
    sys.exit(1)


def _known_names(error: Exception, config_name: str) -> str:
    """Where an override names what is not there, the names that are; Hydra itself only says how to append."""
    misspelt = re.search(r"Could not override '([\w./@]+)'", str(error))
    if misspelt is None:
        return ""
    GlobalHydra.instance().clear()
    choices = [override for override in sys.argv[1:] if override.split("=")[0] in (*STAGE_GROUPS, "embedding")]
    try:
        with initialize_config_dir(CONF, version_base="1.3"):
            node = compose(config_name, overrides=choices)
    except HydraException:  # the choices are lists of a sweep, or misspelt too: then nothing can be said of the names
        return ""
    parent = misspelt.group(1).rpartition(".")[0]
    names = OmegaConf.select(node, parent) if parent else node
    if not OmegaConf.is_dict(names):
        return ""
    there = sorted(str(name) for name in names if name != "_target_") or ["nothing"]
    field = misspelt.group(1).rpartition(".")[2]
    owners = sorted(name for name, path in options(parent).items() if field in set(OmegaConf.load(path)))
    elsewhere = f" {field} belongs to {parent}={' or '.join(owners)}." if parent and owners else ""
    return f" Known in {parent or 'the configuration'}: {', '.join(there)}.{elsewhere}"


def unwritten_folder(error: Exception) -> StoreError | None:
    """What to tell of an error of Hydra, not of a task, where it comes of writing the folder of a run or sweep."""
    cause = error if isinstance(error, OSError) else error.__cause__  # logging wraps it in a ValueError
    if not isinstance(cause, OSError):
        return None
    given = [each.partition("=")[2] for each in sys.argv if each.startswith(("hydra.run.dir=", "hydra.sweep.dir="))]
    return unwritable(cause.filename or (given or ["outputs"])[-1], cause, option=RUN_FOLDER)


def _is_of_hydra(error: Exception) -> bool:
    """Whether Hydra itself raised it: before a task begins, that is about how it was called."""
    return Path(hydra.__file__).parent in Path(traceback.extract_tb(error.__traceback__)[-1].filename).parents


def failure_text(error: BaseException) -> str:
    """An error's traceback, and in a last line of its own, which is what reports show, its type and message."""
    return "".join(traceback.format_exception(error)) + f"{type(error).__name__}: {one_line(error)}"


def one_line(error: BaseException) -> str:
    """An error's message without its line breaks, and without Hydra's advice to append what is not there."""
    text = " ".join(str(error).split())
    if missing := re.match(r"Missing mandatory value: .*full_key: (\S+)", text):
        return f"{missing[1]} is not given; give {missing[1]}=... ."
    return re.split(r" To append to your | Config search path:", text)[0] or type(error).__name__
