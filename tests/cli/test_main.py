"""The `winnow` command: it names its commands, imports nothing that it does not need, and calls one."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from winnow.cli import calling, commands, main


def test_help_has_a_line_for_each_command_and_imports_nothing_of_them() -> None:
    asked = "import sys; sys.argv = ['winnow', '--help']; from winnow.cli.main import main; main(); "
    asked += "print(sorted({name.partition('.')[0] for name in sys.modules} & {'torch', 'hydra', 'pandas', 'numpy'}))"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines if line.startswith("  ")] == list(main.COMMANDS)
    assert lines[-1] == "[]"


def test_without_a_command_it_tells_its_help(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr(sys, "argv", ["winnow"])
    main.main()
    assert capsys.readouterr().out.startswith("usage: winnow COMMAND")


def test_an_unknown_command_names_those_there_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(sys, "argv", ["winnow", "rnu"])
    with pytest.raises(SystemExit) as stop:
        main.main()
    assert stop.value.code == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert all(name in told for name in ("rnu", *main.COMMANDS))


@pytest.mark.parametrize("name", main.COMMANDS)
def test_every_command_is_called_with_what_follows_its_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, _ = main.COMMANDS[name]
    seen: list[list[str]] = []
    monkeypatch.setattr(f"winnow.cli.{module}.{name.replace('-', '_')}", lambda: seen.append(list(sys.argv)))
    monkeypatch.setattr(sys, "argv", ["/some/bin/winnow", name, "-m", "a=1,2"])
    main.main()
    assert seen == [[f"winnow {name}", "-m", "a=1,2"]]


def test_how_a_command_was_called_and_is_called_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: list[list[str]] = []
    monkeypatch.setattr(commands, "run", lambda: seen.append(list(sys.argv)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["winnow run", "-m"])
    assert calling.called() == ["winnow", "run"]
    assert calling.begins("score") == "winnow score"
    calling.call_again(calling.program(), "a=1")
    assert seen == [["winnow run", "a=1"]]

    script = tmp_path / "scripts" / "run.py"
    script.parent.mkdir()
    script.write_text("import sys\nfrom pathlib import Path\nPath('said').write_text(' '.join(sys.argv))\n")
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "argv", ["scripts/run.py", "-m"])
    assert calling.called() == ["python", "scripts/run.py"]
    assert calling.begins("score") == "python scripts/score.py"
    calling.call_again(calling.program(), "a=1")
    assert (tmp_path / "said").read_text() == f"{script} a=1"


def test_importing_it_all_runs_no_command(capsys: pytest.CaptureFixture[str]) -> None:
    """As the server does from which the pool's processes are forked."""
    importlib.import_module("winnow.__main__")
    assert capsys.readouterr() == ("", "")
