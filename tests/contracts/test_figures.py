"""Every yaml of conf/figure names a function whose figure carries its numbers, with options that the function has."""

import inspect
from pathlib import Path

import pytest
from hydra.utils import get_method

from helpers.config import composed
from winnow.cli import entry
from winnow.figures.style import Drawing

FIGURES = sorted((Path(entry.CONF) / "figure").glob("*.yaml"))


@pytest.mark.parametrize("path", FIGURES, ids=lambda path: path.stem)
def test_a_figure_is_drawn_with_its_numbers(path: Path) -> None:
    options = composed(path).copy()
    draw = get_method(options.pop("_target_"))
    assert inspect.signature(draw).return_annotation in (Drawing, "Drawing")
    inspect.signature(draw).bind(**options)
