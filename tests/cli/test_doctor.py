"""What `winnow doctor` says is a fact a line, ends without a network, and holds no secret."""

import socket
import sys
import threading
from pathlib import Path

import pytest
import torch

from winnow.cli import doctor
from winnow.training import wandb_server


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture):
    """Calls it without a network, in an empty folder; what it says, by the name of the fact."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(wandb_server, "answers", lambda: False)

    def call(*overrides: str) -> dict[str, str]:
        monkeypatch.setattr(sys, "argv", ["winnow doctor", *overrides])
        doctor.doctor()
        lines = capsys.readouterr().out.splitlines()
        assert all(": " in line for line in lines)
        return dict(line.split(": ", 1) for line in lines)

    return call


def test_it_tells_versions_devices_and_what_is_not_installed(told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(doctor.EXTRAS, "timm", "no-such-distribution")
    facts = told()
    assert facts["torch"] == torch.__version__.partition("+")[0]
    assert facts["python"].startswith(sys.version.split()[0])
    assert facts["extra timm"] == "not installed"
    assert facts["extra slurm"][0].isdigit()
    assert facts["processor"].endswith("threads" if torch.get_num_threads() > 1 else "thread")
    assert "float32" in facts["bfloat16 on the processor"]
    assert Path(facts["configurations"], "config.yaml").is_file()


def test_the_store_is_the_one_that_is_asked_for(told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert told()["store"] == f"{tmp_path / 'artifacts'} (not there yet)"
    (tmp_path / "there").mkdir()
    facts = told("paths.artifacts=there")
    assert facts["store"] == str(tmp_path / "there")
    assert facts["writable store"] == "yes"
    monkeypatch.setattr(doctor.os, "access", lambda *_: False)
    assert told("paths.artifacts=there/below")["writable store"] == f"no, {tmp_path / 'there'} is read-only"
    (tmp_path / "file").write_text("")
    assert told("paths.artifacts=file")["writable store"] == f"no, {tmp_path / 'file'} is a file"


def test_no_secret_is_told(told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "the-secret")
    monkeypatch.setenv("WANDB_BASE_URL", "https://me:the-secret@wandb.example.org")
    monkeypatch.setenv("WANDB_MODE", "offline")
    facts = told()
    assert facts["wandb key"] == "set"
    assert facts["wandb server"].startswith("wandb.example.org does not answer")
    assert facts["WANDB_MODE"] == "offline"
    assert "the-secret" not in str(facts)


def test_a_mistake_ends_in_one_line(told) -> None:
    with pytest.raises(SystemExit, match=r"error: .*paths\.artefacts"):
        told("paths.artefacts=x")


def test_gpus_that_cannot_be_used_are_a_fact_too(told, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(number: int) -> None:
        raise RuntimeError("the driver\nis too old")

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", fails)
    assert told()["GPUs"] == "cannot be used: the driver is too old"


def test_a_name_that_is_looked_up_for_ever_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = threading.Event()

    def looks_up(*_: object, **__: object) -> None:
        tried.wait()
        raise OSError("no such name")

    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org")
    monkeypatch.setattr(socket, "create_connection", looks_up)
    monkeypatch.setattr(wandb_server, "SECONDS", 0.1)
    assert not wandb_server.answers()
    tried.set()
