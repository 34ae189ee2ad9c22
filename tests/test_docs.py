"""What README and docs/ show works as it stands: each command composes or runs, each block of Python runs."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import yaml
from hydra import compose, initialize_config_dir
from torchvision.transforms import ToTensor

from helpers import pages
from helpers.config import CONF, composing_once, options
from helpers.pages import ROOT, SHELL, Block, Command
from helpers.photos import make_photos
from helpers.scripts import run_script
from winnow.cli.cells import cell_from
from winnow.cli.main import COMMANDS as OF_WINNOW

BLOCKS = pages.all_blocks()
TARGETS = dict(re.findall(r"^([\w-]+):[^#\n=]*?(?:## *(.*))?$", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
CONFIGS = {"run": "config", "score": "stage", "select": "select", "select-file": "select_file", "figures": "figures"}
SMALL = ["dataset=synthetic", "dataset.n=120", "dataset.n_test=40"]
QUICK = ["model.width=4", "probe.members=1", "probe.epochs=1", "probe.evaluate_at=[1]", "recipe.epochs=1"]
"""What a really run command gets beside its own overrides."""


def shown(*languages: str, page: str | None = None) -> list[Block]:
    return [block for block in BLOCKS if block.language in languages and page in (None, block.page)]


COMMANDS = list(
    {
        (command.program, *command.words): command
        for block in shown(*SHELL)
        if not block.unrun
        for command in pages.commands(block)
    }.values()
)
RUN_FOR_REAL = [each for each in COMMANDS if each.page == "docs/extending.md"]


def test_there_is_much_to_look_at() -> None:
    assert len(COMMANDS) > 40
    assert len(shown("python")) > 8
    assert all(block.unrun for block in BLOCKS if block.unrun is not None), "a mark says why"
    scripts = [command.program for block in shown(*SHELL) for command in pages.commands(block)]
    assert [script for script in scripts if script.endswith(".py") and not (ROOT / script).exists()] == []


@pytest.mark.parametrize("command", [each for each in COMMANDS if each not in RUN_FOR_REAL], ids=str)
def test_every_command_is_one_that_there_is(
    command: Command, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a sweep, cells that hold every value between them are composed, down to the typed parts."""
    if command.program == "make":
        assert set(command.words) <= TARGETS.keys()
        return
    name, *words = command.words if command.program == "winnow" else (Path(command.program).stem, *command.words)
    assert command.program != "winnow" or name in OF_WINNOW
    if name == "grid":
        called: list[Any] = []
        monkeypatch.setattr("winnow.reports.sweep.report", lambda folder, fit: called.append(folder))
        monkeypatch.setattr("winnow.cli.importing.import_rows", lambda files, artifacts: called.extend(files) or [])
        assert run_script("grid.py", *words, capsys=capsys).code == 0
        assert called
    elif name == "report":
        asked: list[Any] = []
        monkeypatch.setattr("winnow.cli.report.write", lambda folder, artifacts: asked.append(folder))
        assert run_script("report.py", *words, capsys=capsys).code == 0
        assert asked
    elif name in CONFIGS:
        for overrides in pages.cells_of([word for word in words if not word.startswith("-")]):
            with composing_once(), initialize_config_dir(str(CONF), version_base="1.3"):
                cfg = compose(CONFIGS[name], overrides=overrides, return_hydra_config=True)
            if name not in ("figures", "select-file"):
                assert cell_from(cfg).rule


def shorter(text: str) -> str:
    """The reader's own copy and paste, but for what takes long."""
    text = re.sub(r"\bmembers=\d+", "members=1", re.sub(r"\bepochs=\d+", "epochs=3", text))
    return text.replace("Recipe(epochs=3", "Recipe(epochs=1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of one store for the same experiment on several pages."""
    return tmp_path_factory.mktemp("python")


@pytest.mark.parametrize("page", ["README.md", "docs/python.md"])
def test_the_python_on_a_page_runs_from_top_to_bottom(
    page: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {}
    for block in shown("python", page=page):
        assert len([line for line in block.text.splitlines() if line.strip()]) <= 25
        exec(compile(shorter(block.text), page, "exec"), names)
    assert re.findall(r"r=(\S+)", capsys.readouterr().out) == ["0.1", "0.3", "1.0"]


def test_every_block_of_python_is_run_by_a_test_of_its_page() -> None:
    run = {"README.md", "docs/python.md", "docs/subset_elsewhere.md", "docs/extending.md"}
    assert {block.page for block in shown("python") if not block.unrun} == run


def test_the_subset_is_used_elsewhere_as_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its select.py command in every form, then its PyTorch lines on what that left."""
    make_photos(tmp_path / "DIR")
    monkeypatch.chdir(tmp_path)
    page = "docs/subset_elsewhere.md"
    (command,) = (each for each in COMMANDS if each.page == page)
    rows = re.findall(r"^\| `(export=.*?)`", (ROOT / page).read_text(), flags=re.MULTILINE)
    assert {row.split()[0] for row in rows} == {f"export={path.stem}" for path in options("export")}
    for row in rows:
        selection = [word for word in command.words if not word.startswith("export")]
        ended = run_script("select.py", *selection, *row.split(), *QUICK, capsys=capsys)
        assert ended.code == 0, ended.err
    assert [word for word in command.words if word.startswith("export")] in [row.split() for row in rows]
    model, transform = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 3)), ToTensor()
    names: dict[str, Any] = {"model": model, "transform": transform}
    kept = pd.read_parquet("kept/subset.parquet")
    for block in shown("python", page=page):
        exec(compile(block.text, page, "exec"), names)
        assert len(names["kept"]) == len(kept) == 8
        assert torch.isfinite(names["loss"])
    assert {names["kept"].dataset.samples[i][0] for i in names["kept"].indices} == {f"DIR/{file}" for file in kept.file}
    assert names["weight"].tolist() != [1.0] * len(names["weight"])
    assert len(Path("kept-files/files.txt").read_text().splitlines()) == len(list(Path("kept-links").glob("*/*"))) == 8


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Block]]:
    """The titled blocks of the page about one's own parts, in files of these names, on Python's path."""
    titled = [block for block in shown("python", "yaml", page="docs/extending.md") if block.title]
    for block in titled:
        path = tmp_path / block.title
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield titled
    for block in titled:
        sys.modules.pop(Path(block.title).stem, None)


def test_parts_of_ones_own_are_used_as_shown(written: list[Block], capsys: pytest.CaptureFixture[str]) -> None:
    assert len(written) == 5
    assert len(RUN_FOR_REAL) == 4
    for command in RUN_FOR_REAL:
        sized = (
            [] if "dataset=stripes" in command.words else ["dataset=synthetic", "dataset.n=120", "dataset.n_test=40"]
        )
        quick = [*QUICK, "probe.epochs=2", "probe.evaluate_at=[2]"]
        ended = run_script(Path(command.program).name, *command.words, *sized, *quick, capsys=capsys)
        assert ended.code == 0, f"{command}: {ended.err}"
        assert Path(ended.out.splitlines()[-1]).exists()


def test_every_page_of_docs_is_in_its_navigation() -> None:
    config = (ROOT / "docs" / "tools" / "mkdocs.yml").read_text()
    named = re.findall(r": ([\w/]+\.md)$", config, flags=re.MULTILINE)
    docs, results = (ROOT / "docs").glob("*.md"), (ROOT / "results").rglob("*.md")
    assert sorted(named) == sorted([*(path.name for path in docs), *(str(path.relative_to(ROOT)) for path in results)])
    assert yaml.safe_load(config)["strict"] is True


@pytest.mark.parametrize("group", ["metric", "selector"])
def test_every_metric_and_selector_has_a_line_in_the_table(group: str) -> None:
    text = (ROOT / "docs" / "metrics_and_selectors.md").read_text()
    section = text.partition(f"## {group.capitalize()}s\n")[2].partition("\n## ")[0]
    named = re.findall(r"^\| `(\w+)` \|", section, flags=re.MULTILINE)
    assert sorted(named) == [path.stem for path in options(group)]


@pytest.mark.parametrize("group", ["dataset", "model", "recipe", "probe", "embedding", "callbacks", "logger", "export"])
def test_every_option_of_the_other_groups_is_named_somewhere(group: str) -> None:
    named = {block.text.removeprefix(f"{group}=").partition(" ")[0] for block in shown("inline")}
    assert {path.stem for path in options(group)} <= named | {"none", "contributions"}


def dotted(node: Any, above: str = "") -> set[str]:
    """The dotted names of the values in a yaml file."""
    if not isinstance(node, dict):
        return {above}
    return set().union(*(dotted(value, f"{above}.{name}" if above else str(name)) for name, value in node.items()))


def test_every_option_that_is_named_by_itself_is_one_of_its_group() -> None:
    """Such as `dataset.size=32` in a sentence; those of commands are composed."""
    named = [re.match(r"([a-z]+)\.([a-z_.]+)=", block.text) for block in shown("inline")]
    pairs = {(match[1], match[2]) for match in named if match and (CONF / match[1]).is_dir() and match[1] != "hydra"}
    known = {
        (group, key)
        for group, _ in pairs
        for path in options(group)
        for key in dotted(yaml.safe_load(path.read_text()))
    }
    assert len(pairs) > 20
    assert pairs - known == set()


def test_every_path_that_is_named_exists() -> None:
    """In the tree of rooms, and wherever one begins with a folder of the project."""
    tree = next(block.text for block in shown("indented", page="docs/map.md"))
    mapped = re.findall(r"([\w.]+\.(?:py|md|yaml|toml|txt|ipynb))\b", tree)
    known = {path.name for room in ("conf", "scripts", "src", "tests", "results") for path in (ROOT / room).rglob("*")}
    assert len(mapped) > 10
    assert [name for name in mapped if name not in known | {"mine.py"}] == []
    paths = [
        path.rstrip(".")
        for block in BLOCKS
        for path in re.findall(r"(?<![\w/])(?:conf|scripts|src|tests|docs|results)/[\w./-]+", block.text)
    ]
    assert len(paths) > 20
    assert [path for path in paths if not (ROOT / path).exists() and Path(path).stem != "mine"] == []


@pytest.mark.parametrize(
    "page", [*pages.PAGES, *sorted((ROOT / "results").rglob("*.md")), ROOT / "CHANGELOG.md"], ids=str
)
def test_every_link_leads_somewhere(page: Path) -> None:
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()) if "://" not in link]
    for link in links:
        name, _, anchor = link.partition("#")
        there = (page.parent / name) if name else page
        assert there.exists(), link
        assert not anchor or anchor in pages.anchors(there), link


def test_plain_make_lists_every_target() -> None:
    listed = subprocess.run(["make", "-s"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert phony is not None
    for target in phony[1].split():
        assert TARGETS[target], f"{target} has a comment"
        assert re.search(rf"^make {target} +{re.escape(TARGETS[target])}$", listed, flags=re.MULTILINE), target


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) < 150
