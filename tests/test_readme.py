"""What README shows works as it stands."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_the_python_experiment_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len([line for line in block.splitlines() if line.strip()]) <= 25
    exec(compile(block, "README.md", "exec"), {})  # the reader's own copy and paste
    printed = capsys.readouterr().out
    assert re.findall(r"r=(\S+)", printed) == ["0.1", "0.3", "1.0"]


def test_every_path_that_it_names_exists() -> None:
    linked = re.findall(r"\]\(([^)#:]+)\)", README)
    mapped = re.findall(
        r"^ *(?:[│├└─ ]*)([\w./]+\.(?:py|md|yaml|toml|txt|ipynb)|Makefile)\b", README, flags=re.MULTILINE
    )
    assert linked
    assert mapped
    example = {"mine.py", "mine.yaml"}
    known = {
        path.name for folder in ("conf", "scripts", "src", "tests", "notebooks") for path in (ROOT / folder).rglob("*")
    }
    assert [name for name in linked if not (ROOT / name).exists()] == []
    assert [name for name in mapped if Path(name).name not in known | example] == []
