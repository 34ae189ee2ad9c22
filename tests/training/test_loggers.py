import json
import logging
import socket
import subprocess
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import wandb
from wandb.util import get_core_path

from helpers.disk import files_up_to
from helpers.rows import make_row
from helpers.training import tiny_dataset, tiny_fit, tiny_recipe
from winnow.core.errors import OptionError, StoreError
from winnow.scaling import grid
from winnow.scaling.wandb_runs import read_grid
from winnow.training import wandb_log
from winnow.training.callbacks.forgetting import Forgetting
from winnow.training.logger_spec import Made
from winnow.training.loggers import CSVLog, NoLog, Several, TensorBoardLog, WandbLog

OWN_FOLDERS = ("WANDB_CACHE_DIR", "WANDB_DATA_DIR")


@pytest.fixture(scope="module")
def dataset():
    return tiny_dataset()


@pytest.fixture
def unset(monkeypatch, tmp_path):
    """No wandb setting from outside, no home, no answer from earlier, and an empty working directory."""
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_BASE_URL", "WANDB_DIR", "NETRC", *OWN_FOLDERS):
        monkeypatch.setenv(name, "")  # so that what a test sets is undone, too
        monkeypatch.delenv(name)
    for name in ("home", "work"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setattr(wandb_log, "_answers", None)
    return monkeypatch


@pytest.fixture
def closed_port():
    """A local port that refuses connections."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def logged(dataset, spec, name="one", row=None):
    """Train with a log of this name, a recorder attached, and close it."""
    recorder = Forgetting().build(np.arange(dataset.n), dataset.n_classes)
    opened = spec.open(name, kind="cell", config={"recipe": {"lr": 0.5}, "name": name})
    tiny_fit(dataset, tiny_recipe(), logger=opened, callbacks=[recorder])
    spec.artifact(opened, Made("model", f"m{name}"), uses=[Made("subset", f"s{name}")])
    spec.images(opened, "some", pd.DataFrame({"index": [1]}), np.asarray(dataset.train_images[[1]]))
    spec.close(opened, row)


def read(folder, *options):
    """What wandb reads back from the folder of a run: its command, without the Python that takes seconds to start."""
    (file,) = folder.glob("*.wandb")
    command = [get_core_path(), "leet", "inspect", "--json", *options, "--run-file", file, folder]
    done = subprocess.run(command, capture_output=True, check=True)
    return done.stdout.decode()


def runs(folder):
    return sorted(folder.glob("wandb/offline-run-*"))


def test_no_log_opens_nothing():
    assert NoLog().open("one", kind="cell", config={}) is None
    NoLog().close(None, make_row())


def test_csv(dataset, tmp_path):
    logged(dataset, CSVLog(folder=str(tmp_path)), row=make_row(error=0.25, test_loss=0.75))
    files = [path.relative_to(tmp_path) for path in tmp_path.rglob("*.csv")]
    assert files == [Path("logs/cell-one/metrics.csv")]
    table = pd.read_csv(tmp_path / files[0])
    assert table["train_loss"].dropna().size == 2  # one an epoch
    assert table["test_error"].dropna().tolist() == [0.25]
    assert table["test_loss"].dropna().tolist() == [0.75]


def test_the_error_of_the_worst_class_is_logged_where_it_is_known(tmp_path):
    spec = CSVLog(folder=str(tmp_path))
    for name, fields in (("new", {"worst_class_error": 0.5}), ("old", {})):
        spec.close(spec.open(name, kind="cell", config={}), make_row(error=0.25, **fields))
    read = {name: pd.read_csv(tmp_path / f"logs/cell-{name}/metrics.csv") for name in ("new", "old")}
    assert read["new"]["worst_class_error"].tolist() == [0.5]
    assert "worst_class_error" not in read["old"]


def test_a_line_that_was_cut_short_is_left_out_when_a_training_goes_on(tmp_path):
    file = tmp_path / "logs" / "cell-one" / "metrics.csv"
    file.parent.mkdir(parents=True)
    file.write_text("epoch,step,train_loss\n0,3,0.5\n1,7,0.25\n2,1")
    logger = CSVLog(folder=str(tmp_path)).open("one", kind="cell", config={})
    logger.go_on(7)
    assert pd.read_csv(file)["step"].tolist() == [3, 7]


def test_a_log_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "logs").write_text("a file")
    logger = CSVLog(folder=str(tmp_path)).open("one", kind="cell", config={})
    with pytest.raises(StoreError, match=r"logs is a file where a folder is needed.*logger=none"):
        logger.log_metrics({"train_loss": 1.0}, step=3)
    other = CSVLog(folder=str(tmp_path / "other")).open("one", kind="cell", config={})
    other.log_metrics({"train_loss": 1.0}, step=3)
    with pytest.raises(StoreError, match="no room left"), files_up_to(5):
        other.save()


def test_csv_of_several_trainings_stand_side_by_side(tmp_path):
    spec = CSVLog(folder=str(tmp_path))
    for kind in ("cell", "probe"):
        opened = spec.open("one", kind=kind, config={})
        opened.log_metrics({"train_loss": 1.0}, step=3)
        spec.close(opened)
    assert {path.name for path in (tmp_path / "logs").iterdir()} == {"cell-one", "probe-one"}


def test_several_loggers_each_get_all(dataset, tmp_path):
    folders = [tmp_path / name for name in ("one", "two")]
    spec = Several(loggers=tuple(CSVLog(folder=str(folder)) for folder in folders))
    logged(dataset, spec, row=make_row(error=0.25))
    tables = [pd.read_csv(folder / "logs/cell-one/metrics.csv") for folder in folders]
    pd.testing.assert_frame_equal(*tables)
    assert tables[0]["train_loss"].dropna().size == 2
    assert tables[0]["test_error"].dropna().tolist() == [0.25]
    assert not spec.follows_sweeps
    assert Several(loggers=(spec, WandbLog(folder=""))).follows_sweeps


def test_tensorboard(dataset, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logged(dataset, TensorBoardLog(folder=str(tmp_path)), row=make_row(error=0.25))
    events = EventAccumulator(str(tmp_path / "tensorboard" / "cell-one")).Reload()
    assert len(events.Scalars("train_loss")) == 2
    assert [event.value for event in events.Scalars("test_error")] == [0.25]


def test_tensorboard_that_is_not_installed(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(OptionError, match=r"winnow\[tensorboard\]"):
        TensorBoardLog(folder="")


def test_wandb_runs_offline(dataset, unset, tmp_path, capfd):
    folder = tmp_path / "out"
    spec = WandbLog(folder=str(folder), project="pruning", group="sweep", mode="offline")
    rows = {name: make_row(error=error) for name, error in (("one", 0.25), ("two", 0.5))}
    for name, row in rows.items():
        logged(dataset, spec, name, row)
        assert wandb.run is None
    told = capfd.readouterr()

    found = {}
    for folder_of_run in runs(folder):
        found_run = json.loads(read(folder_of_run, "--summary"))
        found[found_run["name"]] = found_run
    records = [json.loads(line) for line in read(folder_of_run).splitlines()]
    started = next(record["run"] for record in records if record["type"] == "run")
    assert (started["run_group"], started["job_type"], started["project"]) == ("sweep", "train", "pruning")
    assert len(runs(folder)) == 2
    assert found.keys() == rows.keys()
    read_back, kept = (table.set_index("key") for table in (read_grid(str(folder)), grid.table(rows.values())))
    pd.testing.assert_frame_equal(read_back.loc[kept.index], kept, check_exact=True)
    artifacts = [record["artifact"] for record in records if record["type"] == "artifact"]
    told_of = {each["name"]: each.get("use_after_commit", False) for each in artifacts if each["type"] != "run_table"}
    assert told_of == {f"model-m{name}": False for name in [started["display_name"]]} | {
        f"subset-s{name}": True for name in [started["display_name"]]
    }
    for name, row in rows.items():
        assert found[name]["state"] == "finished"
        assert found[name]["config"] == {"recipe": {"lr": 0.5}, "name": name}
        summary = found[name]["summary"]
        assert {field: summary.get(field) for field in asdict(row)} == asdict(row)  # wandb leaves out what is None
        assert summary["train_loss"] > 0
        assert summary["forgetting/events"]["_type"] == "histogram"
        assert summary["some"]["nrows"] == 1
        assert sum(summary[f"forgetting/{i}"] for i in [*range(10), "10+"]) == dataset.n

    assert told.out + told.err == ""
    assert list((tmp_path / "work").iterdir()) == []
    assert list((tmp_path / "home").rglob("*")) == []


def test_an_unfinished_run_does_not_swallow_the_next(unset, tmp_path):
    spec = WandbLog(folder=str(tmp_path / "out"), mode="offline")
    left = spec.open("left", kind="cell", config={})
    opened = spec.open("next", kind="cell", config={})
    assert opened.experiment.id != left.experiment.id
    for logger in (opened, left):
        spec.close(logger)
    assert len(runs(tmp_path / "out")) == 2


def test_wandb_without_a_server_stays_offline(unset, tmp_path, caplog, closed_port):
    unset.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{closed_port}")
    unset.setenv("WANDB_API_KEY", "a" * 40)
    spec = WandbLog(folder=str(tmp_path / "out"))
    for name in ("one", "two"):
        spec.close(spec.open(name, kind="probe", config={}))
    assert len(runs(tmp_path / "out")) == 2
    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert ["wandb: no server answers" in record.getMessage() for record in warnings] == [True]


@pytest.mark.parametrize(
    ("variable", "netrc", "mode"),
    [
        ("k" * 40, None, "online"),
        (None, "machine {host} login user password secret", "online"),
        (None, "machine another login user password secret", "offline"),
        (None, "not a netrc file", "offline"),
        (None, None, "offline"),
    ],
)
def test_a_server_that_answers_needs_a_key(unset, tmp_path, variable, netrc, mode):
    with socket.create_server(("127.0.0.1", 0)) as server:
        host = f"127.0.0.1:{server.getsockname()[1]}"
        unset.setenv("WANDB_BASE_URL", f"http://{host}")
        if variable:
            unset.setenv("WANDB_API_KEY", variable)
        if netrc:
            unset.setenv("NETRC", str(tmp_path / "netrc"))
            (tmp_path / "netrc").write_text(netrc.format(host=host))
        assert WandbLog(folder=str(tmp_path))._mode() == mode


def test_the_mode_that_is_asked_for(unset, tmp_path):
    unset.setattr(wandb_log, "_server_answers", lambda: pytest.fail("asked the server"))
    assert [WandbLog(folder="", mode=mode)._mode() for mode in ("online", "offline")] == ["online", "offline"]
    unset.setenv("WANDB_MODE", "disabled")
    assert WandbLog(folder="")._mode() == "disabled"
    spec = WandbLog(folder=str(tmp_path / "out"))
    spec.close(spec.open("one", kind="cell", config={}), make_row())
    assert runs(tmp_path / "out") == []


def test_bad_mode():
    with pytest.raises(OptionError, match=r"logger\.mode=dryrun.*auto, online, offline"):
        WandbLog(folder="", mode="dryrun")


def test_the_wandb_run_of_an_unfinished_training_goes_on_online(unset, tmp_path):
    spec, given = WandbLog(folder=str(tmp_path / "out"), mode="offline"), []
    init = wandb.init

    def offline(*, id, resume, mode, **options):
        given.append((id, resume))
        return init(mode="offline", **options)

    unset.setattr(wandb, "init", offline)
    ids = []
    for mode, failed in (("offline", True), ("online", False), ("online", False)):
        opened = WandbLog(folder=spec.folder, mode=mode).open("one", kind="cell", config={})
        ids.append(opened.experiment.id)
        spec.close(opened, failed=failed)
    assert given == [(None, None), (ids[0], "allow"), (None, None)]
