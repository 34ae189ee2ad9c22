"""What wandb itself sends to a server, as it goes or by `wandb sync` later: the same."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from helpers.wandb_server import WandbServer, wandb_server

CLIENT = """
import sys
from pathlib import Path
from winnow.training.logger_spec import Made
from winnow.training.loggers import WandbLog

log = WandbLog(folder="out", project="pruning", group="demo")
scores, subset, model = (Made(kind, kind[0], Path(f"{kind}.parquet")) for kind in ("scores", "subset", "model"))
columns = {"rule": "el2n hardest", "r": 0.1, "seed": 0, "selection_seed": 0, "dataset": "digits"}
log.stage("select", subset, uses=[scores], config=columns)
opened = log.open("key", kind="cell", config=columns)
log.artifact(opened, model, uses=[subset])
log.close(opened)
"""


def _sent(server: WandbServer) -> tuple[Any, ...]:
    """What a server was told of runs, artifacts and their use, but for the names that are drawn anew."""
    begun = [each for each in server.told("UpsertBucket") if each["displayName"]]
    called = {each["name"]: each["jobType"] for each in begun}
    runs = {(each["displayName"], each["groupName"], each["jobType"], each["project"], *each["tags"]) for each in begun}
    made = {  # of what is used, wandb names no run that made it
        (called.get(each["runName"]), each["artifactCollectionName"], each["digest"])
        for each in server.told("CreateArtifact")
    }
    used = {(called[each["runName"]], each["artifactID"].split()[0]) for each in server.told("UseArtifact")}
    return runs, made, used, {each["artifactID"].split()[0] for each in server.told("CommitArtifact")}


@pytest.mark.slow
def test_runs_and_artifacts_are_the_same_sent_at_once_and_later(tmp_path: Path) -> None:
    sent: list[tuple[Any, ...]] = []
    for mode in ("auto", "offline"):
        folder = tmp_path / mode
        folder.mkdir()
        for kind in ("scores", "subset"):
            (folder / f"{kind}.parquet").write_text(kind)
        with wandb_server() as server:
            environment = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
            environment |= {"HOME": str(tmp_path), "WANDB_BASE_URL": server.url, "WANDB_API_KEY": "a" * 40}
            offline = {"WANDB_MODE": "offline"} if mode == "offline" else {}
            run: dict[str, Any] = {"cwd": folder, "check": True, "capture_output": True}
            subprocess.run([sys.executable, "-c", CLIENT], env=environment | offline, **run)
            assert bool(server.asked) is (mode == "auto")
            if offline:
                runs = sorted(folder.glob("out/wandb/offline-run-*"))
                assert len(runs) == 2
                wandb = Path(sys.executable).with_name("wandb")
                subprocess.run([wandb, "sync", *runs], env=environment, **run)
            sent.append(_sent(server))
    (runs_sent, made, used, committed), later = sent
    assert later == sent[0]
    assert runs_sent == {
        ("el2n hardest r=0.1 seed 0", "demo", job_type, "pruning", "digits", "el2n hardest")
        for job_type in ("select", "train")
    }
    assert used == {("select", "scores-s"), ("train", "subset-s")}
    by = {(job_type, name) for job_type, name, _ in made}
    assert by == {(None, "scores-s"), ("select", "subset-s"), (None, "subset-s"), ("train", "model-m")}
    assert committed == {"scores-s", "subset-s", "model-m"}
    assert len({digest for _, name, digest in made if name == "subset-s"}) == 1, "made and used are one"
