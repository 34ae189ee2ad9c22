"""What the site has beside the pages of docs/: the results, and a page of docstrings for each room of the code.

Pages link to files of the repository by their paths, as a code host wants it (../results/README.md). Here results are
pages too, and a link to anything else outside docs/ becomes the plain name of the file.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"
LINK = re.compile(r"\[([^\]]*)\]\(([^)\s]+)\)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    pages = [{room: f"api/{room}.md"} for room in _rooms()]
    config.nav = [*(config.nav or []), {"API": [{"winnow": "api/winnow.md"}, *pages]}]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for path in sorted((ROOT / "results").rglob("*")):
        if path.suffix in {".md", ".png", ".csv", ".json"}:
            name = path.relative_to(ROOT).as_posix()
            files.append(File.generated(config, name, abs_src_path=str(path)))
    files.append(File.generated(config, "api/winnow.md", content=_public_names()))
    for room, modules in _rooms().items():
        files.append(File.generated(config, f"api/{room}.md", content=_page(room, modules)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    shown = re.sub(r"<!-- not run:.*?-->\n?", "", markdown)
    return LINK.sub(lambda link: _followed(link, page.file.src_uri, files), shown)


def _followed(link: re.Match[str], here: str, files: Files) -> str:
    """A link as the site has it. here: the page's path on the site, where docs/ is the root."""
    text, target = link.groups()
    path, mark, anchor = target.partition("#")
    if "://" in target or not path:
        return link.group()
    page = here if here.startswith("results/") else f"docs/{here}"
    name = posixpath.normpath(posixpath.join(posixpath.dirname(page), path))
    there = name.removeprefix("docs/")
    if files.get_file_from_path(there):
        return f"[{text}]({posixpath.relpath(there, posixpath.dirname(here) or '.')}{mark}{anchor})"
    if not (ROOT / name).exists():
        return link.group()  # which strict mode refuses
    return text if text.strip("`") in {name, posixpath.basename(name)} else f"{text} (`{name}`)"


def _rooms() -> dict[str, list[str]]:
    """The packages of winnow, and the modules of each that have something to say, by dotted path."""
    rooms: dict[str, list[str]] = {}
    for path in sorted((SOURCE / "winnow").rglob("*.py")):
        inside = path.relative_to(SOURCE).with_suffix("").parts
        if len(inside) > 2 and inside[-1] not in ("__init__", "__main__"):
            rooms.setdefault(inside[1], []).append(".".join(inside))
    return rooms


def _page(room: str, modules: list[str]) -> str:
    return "\n\n".join([f"# winnow.{room}", *(f"::: {module}" for module in modules)]) + "\n"


def _public_names() -> str:
    """The names that `import winnow` gives, from the stub that lists them."""
    stub = (SOURCE / "winnow" / "__init__.pyi").read_text()
    lines = ["# winnow", "", "Names that other programs rely on. Each is imported when it is first used.", ""]
    for module, name in re.findall(r"^from (\.\S*) import (\w+) as", stub, flags=re.MULTILINE):
        room = module.strip(".").partition(".")[0] or name
        full = f"winnow{module}.{name}" if module != "." else f"winnow.{name}"
        target = f"{room}.md#{full}" if module != "." else f"{room}.md"
        lines.append(f"- `winnow.{name}`: [`{full}`]({target})")
    return "\n".join(lines) + "\n"
