"""What README and the pages of docs/ show: blocks of code, commands, links."""

import re
import shlex
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from hydra.core.override_parser.overrides_parser import OverridesParser

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
SHELL = ("sh", "indented", "inline")
FENCE = re.compile(r"```(\w*)(?: title=\"([^\"]*)\")?\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)
MARK = re.compile(r"<!-- not run: *(.*?) *-->\s*\Z", flags=re.DOTALL)


class Block(NamedTuple):
    """language: of the fence, or "indented" or "inline". unrun: why it is not run; None where it is."""

    page: str
    language: str
    title: str
    text: str
    unrun: str | None


class Command(NamedTuple):
    """program: "make", "winnow" or the path of a script. words: what follows it, but what ends in "..."."""

    page: str
    program: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return shlex.join([self.program, *self.words])


def blocks(page: Path) -> list[Block]:
    """The code of a page, in its order within each kind: fenced, indented, and between backticks."""
    text, name = page.read_text(), page.relative_to(ROOT).as_posix()
    found = []
    for fence in FENCE.finditer(text):
        mark = MARK.search(text[: fence.start()])
        found.append(Block(name, fence[1], fence[2] or "", fence[3], mark and mark[1]))
    rest = FENCE.sub("", text)
    indented = re.findall(r"(?<=\n\n)((?:    .*\n)+)", rest)
    found += [Block(name, "indented", "", re.sub(r"^    ", "", each, flags=re.MULTILINE), None) for each in indented]
    inline = re.findall(r"`([^`]+)`", re.sub(r"(?<=\n\n)(?:    .*\n)+", "", rest))
    return found + [Block(name, "inline", "", " ".join(each.split()), None) for each in inline]


def commands(block: Block) -> Iterator[Command]:
    """The commands of a block of a shell's lines that call make, winnow or a script."""
    for line in block.text.replace("\\\n", " ").splitlines():
        if not re.match(r"(\w+=\S* )*(python \S+\.py|(winnow|make) [\w-]+( |$))", line):
            continue
        words = [word for word in shlex.split(line, comments=True) if not word.endswith("...")]
        while re.fullmatch(r"[A-Z_]+=\S*", words[0]):
            words.pop(0)
        program = words.pop(0)
        yield Command(block.page, words.pop(0) if program == "python" else program, tuple(words))


def cells_of(overrides: Sequence[str]) -> list[list[str]]:
    """The overrides of as few cells as show every value of every list among these."""
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    values = [
        [f"{each.get_key_element()}={value}" for value in each.sweep_string_iterator()]
        if each.is_sweep_override()
        else [each.input_line]
        for each in parsed
    ]
    count = max(map(len, values), default=1)
    return [[own[min(place, len(own) - 1)] for own in values] for place in range(count)]


def anchors(page: Path) -> set[str]:
    """What links may point to within a page: its headings, as code hosts and the site name them."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", page.read_text()), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def all_blocks() -> list[Block]:
    return list(chain.from_iterable(map(blocks, PAGES)))
