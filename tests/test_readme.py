"""What README shows works as it stands."""

import re
from pathlib import Path

import pandas as pd
import pytest
import torch
from torchvision.transforms import ToTensor

from helpers.config import options
from helpers.photos import make_photos
from helpers.scripts import run_script

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


def test_the_python_experiment_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    block = BLOCKS[1]
    assert len([line for line in block.splitlines() if line.strip()]) <= 25
    shorter = re.sub(r"\bmembers=\d+", "members=1", re.sub(r"\bepochs=\d+", "epochs=3", block))
    shorter = shorter.replace("Recipe(epochs=3", "Recipe(epochs=1")
    exec(compile(shorter, "README.md", "exec"), {})  # the reader's own copy and paste, but for what takes long
    printed = capsys.readouterr().out
    assert re.findall(r"r=(\S+)", printed) == ["0.1", "0.3", "1.0"]


def test_the_subset_is_used_elsewhere_as_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its select.py command in every form, then its PyTorch lines on what that left."""
    make_photos(tmp_path / "DIR")
    monkeypatch.chdir(tmp_path)
    section = README.partition("## Use the subset elsewhere")[2].partition("\n## ")[0]
    (command,) = re.findall(r"^    python scripts/(select\.py(?:[^\n\\]|\\\n)*)", section, flags=re.MULTILINE)
    script, *shown = command.replace("\\\n", " ").split()
    quick = ["model.width=4", "probe.members=1", "probe.epochs=1"]
    rows = re.findall(r"^\| `(export=.*?)`", section, flags=re.MULTILINE)
    assert {row.split()[0] for row in rows} == {f"export={path.stem}" for path in options("export")}
    for row in rows:
        selection = [word for word in shown if not word.startswith("export")]
        ended = run_script(script, *selection, *row.split(), *quick, capsys=capsys)
        assert ended.code == 0, ended.err
    assert [word for word in shown if word.startswith("export")] in [row.split() for row in rows]
    model, transform = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 3)), ToTensor()
    names = {"model": model, "transform": transform}
    exec(compile(BLOCKS[0], "README.md", "exec"), names)
    kept = pd.read_parquet("kept/subset.parquet")
    assert len(names["kept"]) == len(kept) == 8
    assert {names["kept"].dataset.samples[i][0] for i in names["kept"].indices} == {f"DIR/{file}" for file in kept.file}
    assert names["weight"].tolist() != [1.0] * len(names["weight"])
    assert torch.isfinite(names["loss"])
    assert len(Path("kept-files/files.txt").read_text().splitlines()) == len(list(Path("kept-links").glob("*/*"))) == 8


def test_every_path_that_it_names_exists() -> None:
    mapped = re.findall(
        r"^ *(?:[│├└─ ]*)([\w./]+\.(?:py|md|yaml|toml|txt|ipynb)|Makefile)\b", README, flags=re.MULTILINE
    )
    assert mapped
    example = {"mine.py", "mine.yaml"}
    known = {
        path.name for folder in ("conf", "scripts", "src", "tests", "notebooks") for path in (ROOT / folder).rglob("*")
    }
    assert [name for name in mapped if Path(name).name not in known | example] == []


@pytest.mark.parametrize("page", ["README.md", "results/README.md"])
def test_every_link_leads_somewhere(page: str) -> None:
    here = ROOT / page
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", here.read_text()) if "://" not in link]
    assert len(links) > 5
    for link in links:
        name, _, anchor = link.partition("#")
        there = (here.parent / name) if name else here
        assert there.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.*)$", there.read_text(), flags=re.MULTILINE)
            known = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in known, link
