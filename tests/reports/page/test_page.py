"""The page of a sweep: what it shows of which data, that it asks for nothing, and that no text breaks it."""

import json
import re
import shutil
import subprocess
from html import escape
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from helpers.rows import make_row
from winnow.core.errors import WinnowError
from winnow.reports.page.kept import Kept, Sheet
from winnow.reports.page.page import write_page
from winnow.store import results
from winnow.store.results import SweepCell

SHIFTS = Path(__file__).parents[3] / "results" / "shift" / results.SHIFTS
RUDE = "<script>alert('1')</script>\"&<b>" + 30 * "no-space-to-break-"
SIZES = (0.1, 0.2, 0.4, 1.0)
COSTS = {"multiply_adds": 1000, "worst_class_error": 0.5}


class Seen(HTMLParser):
    """The elements of a page, their texts, and what ids there are."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.texts.append(data)

    def all_of(self, name):
        return [value for key, value in self.attributes if key == name]


def save(folder: Path, rows, **fields) -> Path:
    for number, row in enumerate(rows):
        results.save_row(folder / str(number), row)
    return folder


def some_rows(fractions=SIZES, **fields):
    means = {"random": 0.3, "el2n hardest": 0.4}
    return [
        make_row(rule, r, mean * (1 - r / 2) + seed / 50, seed, **(COSTS | fields),
                 probe_multiply_adds=None if rule == "random" else 500)
        for rule, mean in means.items()
        for r in fractions
        for seed in range(3)
    ]  # fmt: skip


def kept_of(rows, name: str) -> Kept:
    lines = [{"class": 0, "name": name, "n_test": 10, "test_error": 0.5, "key": row.key} for row in rows]
    sheet = Sheet(dataset="blobs", metric="el2n", source="data:image/png;base64,AAAA")
    return Kept(class_errors=pd.DataFrame(lines), sheets=[sheet])


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """With every section but those of alpha and shift, and rude texts wherever users give one."""
    folder = tmp_path_factory.mktemp("page")
    rows = some_rows(dataset=RUDE)
    save(folder, rows)
    cells = [SweepCell(str(number), ["metric=el2n", f"seed={number}"]) for number in range(len(rows) + 3)]
    results.save_sweep(folder, cells, f"python scripts/run.py -m dataset.root='{RUDE}'")
    for number in (len(rows), len(rows) + 1):
        results.save_failure(folder / str(number), f"Traceback\n  at work </pre>\nValueError: {RUDE}")
    return write_page(folder, kept_of(rows, RUDE)).read_text()


def test_it_has_its_sections_in_order(page):
    assert re.findall(r'<section id="(\w+)"', page) == [
        "curves", "grid", "classes", "images", "cost", "failures", "time", "provenance"
    ]  # fmt: skip
    assert page.startswith("<!doctype html>")
    seen = Seen(page)
    assert set(re.findall(r'<a href="#(\w+)"', page)) <= set(seen.all_of("id"))
    assert "24 of 27 cells have finished, 1 not finished and 2 failed" in page
    assert len(page) < 500_000


def test_texts_of_users_are_texts(page):
    seen = Seen(page)
    assert seen.tags.count("script") == 1
    assert "b" not in seen.tags
    assert RUDE not in page
    assert page.count(escape(RUDE)[:60].replace("&quot;", "&#34;").replace("&#x27;", "&#39;")) >= 6
    assert any(RUDE in text for text in seen.texts)
    assert "at work </pre>" not in page


def test_it_asks_nothing_of_the_network(page):
    assert not re.findall(r"(?:src|href)\s*=\s*[\"']?\s*(?:https?:)?//|url\(\s*[\"']?(?!#)", page)
    seen = Seen(page)
    assert {value.split(":")[0] for value in seen.all_of("src")} == {"data"}
    assert all(value.startswith("#") for value in seen.all_of("href"))
    assert "http:" not in page.replace("http-equiv", "")
    assert "default-src 'none'" in page


def test_ids_are_one_element_each_and_what_refers_to_them_finds_them(page):
    seen = Seen(page)
    ids = seen.all_of("id")
    assert len(ids) == len(set(ids))
    referred = {value[1:] for value in seen.all_of("href")} | set(re.findall(r"url\(#([\w-]+)\)", page))
    assert len(referred) > 20
    assert referred <= set(ids)


def test_markers_tell_their_numbers(page):
    assert re.search(r"<title>el2n hardest, 100 kept \(r = 0.1\): 40.0 ± 1.2 %</title>", page)
    assert page.count("%</title>") == 8 + 8 + 7  # of means, worst classes, and costs without scoring to keep all


def test_colours_are_those_of_the_page(page):
    drawn = "".join(re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL))
    assert "var(--blue)" in drawn
    assert "currentColor" in drawn
    assert not re.findall(r"#[0-9a-f]{6}\b", drawn)


def test_failures_that_are_alike_are_told_once_with_the_overrides_that_differ(page):
    failures = page.partition('<section id="failures">')[2].partition("</section>")[0]
    assert failures.count('<p class="message">') == 1
    assert "<code>24: seed=24</code>" in failures
    assert "<code>25: seed=25</code>" in failures


def test_what_is_not_there_is_left_out_and_the_store_asked_for(tmp_path):
    (tmp_path / results.SHIFTS).write_text("this,is\nno,table\n")
    text = write_page(save(tmp_path, [make_row(), make_row(r=0.5)])).read_text()
    assert re.findall(r'<section id="(\w+)"', text) == ["curves", "grid", "time", "provenance"]
    assert "--artifacts STORE" in text
    assert "Shift: " in text
    assert "is not a table of shift reports" in text
    assert "20.0 ± ?" in text
    assert "± ?: random: there is one replicate (draw new probes" in text


def test_the_table_has_the_paired_difference_and_sorts_by_numbers(tmp_path):
    text = write_page(save(tmp_path, some_rows((0.1, 0.2)))).read_text()
    lines = text.partition("Every rule and size")[2]
    line = next(line for line in lines.splitlines() if line.startswith('<tr><td class="words">el2n hardest'))
    cells = re.findall(r"<td(?: class=\"[\w ]*\")?(?: data-v=\"([^\"]*)\")?>([^<]*)</td>", line)
    assert [text for _, text in cells[:4]] == ["el2n hardest", "0.1", "100", "40.0 ± 1.2"]
    assert cells[-1] == ("3.5e+06", "3.5 M")  # 1,000 seen × 1,000 and 5,000 × 500
    assert float(cells[4][0]) == pytest.approx(0.095)
    assert float(cells[3][0]) == pytest.approx(0.4)


def test_alphas_and_shifts_are_drawn_where_they_are(tmp_path):
    rows = some_rows((0.1,))
    for alpha, seed in ((a, s) for a in (0.25, 0.5) for s in range(3)):
        calibrated = {"selector": "calibrated", "protocol": "exact", "alpha": alpha}
        rows.append(make_row(f"el2n exact {alpha}", 0.1, 0.3 + seed / 50, seed, **calibrated))
    save(tmp_path, rows)
    shutil.copy(SHIFTS, tmp_path)
    curve = pd.DataFrame({"alpha": [0.0, 0.5], "bias2": [0.0, 1.0], "variance": [2.0, 0.5]})
    about = {"rule": "el2n exact auto", "r": 0.1, "alpha": 0.5, "criterion": "gradient", "choices": {"gradient": 0.5}}
    text = write_page(tmp_path, Kept(choices=[(curve, about)])).read_text()
    parts = dict(re.findall(r'<section id="(\w+)">(.*?)</section>', text, flags=re.DOTALL))
    assert parts["alpha"].count("<svg") == 2
    assert "chosen: 0.5" in parts["alpha"]
    assert parts["shift"].count("<svg") == 1
    assert "Left out" not in text


def test_without_a_finished_cell_there_is_no_page(tmp_path):
    results.save_sweep(tmp_path, [SweepCell("0", [])])
    with pytest.raises(WinnowError, match=r"no finished cell in .* \(0 failed, 1 not finished\)"):
        write_page(tmp_path)
    assert not (tmp_path / results.PAGE).exists()


LOOKS = """
const told = [];
for (const frame of document.querySelectorAll("iframe")) {
  const page = frame.contentDocument, root = page.documentElement;
  const {innerWidth, performance} = frame.contentWindow;
  told.push([root.scrollWidth, innerWidth, performance.getEntriesByType("resource").length]);
  const table = page.querySelectorAll("table.sortable")[0], head = table.tHead.rows[0].cells[3].querySelector("button");
  const shown = () => [...table.tBodies[0].rows].map((row) => Number(row.cells[3].dataset.v));
  head.click(); told.push(shown());
  head.click(); told.push(shown());
}
document.body.textContent = "told" + JSON.stringify(told) + "end";
"""


@pytest.mark.skipif(shutil.which("chromium") is None, reason="there is no chromium")
def test_in_a_browser_it_fits_wide_and_narrow_sorts_and_loads_nothing(page, tmp_path):
    frames = [
        f'<iframe srcdoc="{escape(page)}" style="width: {width}px; height: 800px"></iframe>' for width in (1280, 400)
    ]
    (tmp_path / "frames.html").write_text(f"<body>{''.join(frames)}<script>onload = () => {{{LOOKS}}}</script></body>")
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--window-size=1400,900", "--dump-dom"]
    done = subprocess.run(
        [*command, f"file://{tmp_path}/frames.html"], capture_output=True, text=True, check=True, timeout=60
    )
    told = re.search(r"told(\[.*\])end", done.stdout)
    assert told is not None, done.stdout[-500:]
    wide, up, down, narrow, *_ = json.loads(told[1])
    for (needed, there, loaded), width in ((wide, 1280), (narrow, 400)):
        assert there == width
        assert needed <= there
        assert loaded == 0
    assert up == sorted(up)
    assert down == sorted(down, reverse=True)
    assert len(np.unique(up)) > 3
