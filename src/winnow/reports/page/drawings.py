"""Figures inside a page: as SVG that takes the page's colours and names its points, or as PNG."""

import base64
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from typing import Any
from xml.etree import ElementTree

import matplotlib
import pandas as pd
from markupsafe import Markup
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure

from winnow.figures.style import Drawing

COLOURS = {
    "#000000": "currentColor", "#ffffff": "var(--paper)", "#e6e6e6": "var(--line)", "#d9d9d9": "var(--line)",
    "#a6a6a6": "var(--faint)", "#8c8c8c": "var(--faint)", "#737373": "var(--faint)", "#4d4d4d": "var(--soft)",
    "#4c4c4c": "var(--soft)", "#0072b2": "var(--blue)", "#d55e00": "var(--vermilion)", "#009e73": "var(--green)",
    "#cc79a7": "var(--purple)", "#e69f00": "var(--orange)", "#56b4e9": "var(--sky)",
}  # fmt: skip
"""Of the house style, and what the page has for them in its light and its dark form."""

_KEPT_OUT = {"Creator": None, "Date": None, "Format": None, "Type": None}
_DOTS = 110  # an inch, of images


@contextmanager
def drawn_as_text() -> Iterator[None]:
    """Within this figures take text as it is, so that names of users are no formulas, and SVG keeps it as text."""
    with matplotlib.rc_context({"text.parse_math": False, "svg.fonttype": "none", "svg.hashsalt": "winnow"}):
        yield


def svg(drawing: Figure, name: str, points: pd.DataFrame | None = None) -> Markup:
    """A figure as an SVG element to stand in a page. name: what its ids begin with, of letters alone.

    points: of a figure whose panels are of error bars labelled by rule, the text that is shown where the pointer rests
    on a point: panel, rule, x, text.
    """
    marked = _mark(drawing, name) if points is not None else {}
    written = io.BytesIO()
    drawing.savefig(written, format="svg", metadata=_KEPT_OUT)
    root = ElementTree.fromstring(written.getvalue())
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        element.attrib = {key.rpartition("}")[2]: value for key, value in element.attrib.items()}
    for style in [each for each in root.iter("defs") if each.find("style") is not None]:
        style.remove(style.find("style"))  # type: ignore[arg-type]  # it would be that of the whole page
    width = float(root.attrib["width"].removesuffix("pt"))
    for unwanted in ("width", "height", "version"):
        root.attrib.pop(unwanted)
    root.attrib |= {"role": "img", "style": f"max-width: {width * 4 / 3:.0f}px"}
    _name_points(root, marked, points)
    _rename(root, name)
    for element in root.iter():
        if "style" in element.attrib:
            element.attrib["style"] = re.sub(
                r"#[0-9a-f]{6}", lambda found: COLOURS.get(found[0], found[0]), element.attrib["style"]
            )
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def picture(figure: Figure) -> str:
    """A figure of images as an address that holds it itself: a PNG, or, the smaller one of photographs, a JPEG."""
    forms: dict[str, dict[str, Any]] = {"png": {"optimize": True}, "jpeg": {"quality": 80, "optimize": True}}
    held = {}
    for form, options in forms.items():
        written = io.BytesIO()
        figure.savefig(written, format=form, dpi=_DOTS, pil_kwargs=options)
        held[form] = written.getvalue()
    form = min(held, key=lambda each: len(held[each]))
    return f"data:image/{form};base64,{base64.b64encode(held[form]).decode()}"


def _mark(drawing: Figure, name: str) -> dict[str, tuple[int, str]]:
    """Give the lines of means ids of their own: id -> (panel, rule)."""
    marked: dict[str, tuple[int, str]] = {}
    for panel, axes in enumerate(drawing.axes):
        for bars in axes.containers:
            if isinstance(bars, ErrorbarContainer) and bars.lines[0] is not None:
                own = f"{name}points{len(marked)}"
                bars.lines[0].set_gid(own)
                marked[own] = (panel, str(bars.get_label()))
    return marked


def _name_points(root: Any, marked: dict[str, tuple[int, str]], points: pd.DataFrame | None) -> None:
    """Put a title into each marker: its markers are in the order of the line's points."""
    if points is None:
        return
    for element in root.iter("g"):
        if element.attrib.get("id") in marked:
            panel, rule = marked[element.attrib["id"]]
            texts = points[(points["panel"] == panel) & (points["rule"] == rule)].sort_values("x")["text"]
            for marker, text in zip(
                element.iter("use"), cycle(texts)
            ):  # halves of a marker are two, one after the other
                ElementTree.SubElement(marker, "title").text = text


def _rename(root: Any, name: str) -> None:
    """Leave the ids that something refers to, and make them this figure's own: a page has several figures."""
    refers = [value for each in root.iter() for value in each.attrib.values() if "#" in value]
    used = {own for value in refers for own in re.findall(r"(?:^|url\()#([\w-]+)", value)}
    for element in root.iter():
        own = element.attrib.pop("id", None)
        if own in used:
            element.attrib["id"] = f"{name}-{own}"
        for key, value in element.attrib.items():
            element.attrib[key] = re.sub(r"(^|url\()#([\w-]+)", rf"\1#{name}-\2", value)


def points_of(drawing: Drawing, x: str, error: str) -> pd.DataFrame:
    """The points of a figure by their texts, for `svg`. x: the column of its table that they rise by.

    Panels are the groups in the order of the table.
    """
    table = drawing.table
    groups = {group: panel for panel, group in enumerate(dict.fromkeys(_groups(table)))}
    lines = []
    for group, line in zip(_groups(table), table.to_dict("records"), strict=True):
        mean, se = 100 * line[f"{error}_mean"], 100 * line[f"{error}_se"]
        known = f" ± {se:.1f}" if se == se else " ± ?"
        text = f"{line['rule']}, {line['n_kept']:,} kept (r = {line['r']:.4g}): {mean:.1f}{known} %"
        lines.append({"panel": groups[group], "rule": line["rule"], "x": line[x], "text": text})
    return pd.DataFrame(lines)


def _groups(table: pd.DataFrame) -> list[tuple[str, ...]]:
    return list(table[["dataset", "model", "recipe"]].itertuples(index=False, name=None))
