"""Nothing but a class of the right kind is made from a `_target_`, and nothing at all is called before that is sure."""

import sys
from typing import Any

import pytest
from omegaconf import OmegaConf

from winnow.cli.components import component, fits, function
from winnow.core.errors import BudgetError, OptionError
from winnow.datasets.base import DatasetSpec
from winnow.figures.style import Drawing
from winnow.probes.probe import Probe
from winnow.selectors.alpha import Auto, Fixed
from winnow.selectors.base import Selector
from winnow.selectors.calibrated import Calibrated
from winnow.selectors.compression import Fraction
from winnow.selectors.threshold import Threshold

MINE = """
from dataclasses import dataclass
from typing import Literal, Optional, TYPE_CHECKING
from winnow.selectors.base import Selector
from winnow.selectors.threshold import Threshold
from winnow.figures.style import Drawing

if TYPE_CHECKING:
    from nowhere import Unknown

called = []

def bomb(*arguments, **options):
    called.append(options)

@dataclass(frozen=True, kw_only=True)
class Mine(Threshold):
    floor: float = 0.5
    mode: Literal["a", "b"] = "a"
    rest: Optional[int] = None
    rules: tuple[Selector, ...] = ()

@dataclass(frozen=True, kw_only=True)
class Unsure(Threshold):
    what: "Unknown" = None

@dataclass(frozen=True, kw_only=True)
class Needy(Threshold):
    strength: float

class Bomb:
    def __init__(self, **options):
        called.append(options)

def drawn(grid: str, r: float = 0.1) -> Drawing:
    called.append(grid)

def undrawn(grid: str) -> str:
    called.append(grid)
"""
THRESHOLD = "winnow.selectors.threshold.Threshold"


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A module of the user's own."""
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "broken.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("mine", "broken"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    import mine

    yield mine
    assert mine.called == []
    sys.modules.pop("mine", None)


def node(**options):
    return OmegaConf.create(options)


REFUSED = {
    "mine.bomb": "is no class; it must be a subclass of winnow.selectors.base.Selector",
    "mine.Bomb": "is not that; it must be a subclass of winnow.selectors.base.Selector",
    "mine": "is no class",
    "winnow.metrics.el2n.EL2N": "is not that",
    "mine.Nothing": "cannot be imported",
    "nowhere.Rule": r"cannot be imported \(ModuleNotFoundError: No module named 'nowhere'\).*PYTHONPATH",
    "broken.Rule": r"cannot be imported \(ZeroDivisionError: division by zero\)",
    "": "cannot be imported",
    None: "is not given",
    3: "is not given",
}


@pytest.mark.parametrize("target", REFUSED)
def test_what_is_no_component_of_the_group_is_refused_and_not_called(mine, target):
    with pytest.raises(OptionError, match=r"^selector\._target_.*" + REFUSED[target]):
        component(node(_target_=target), "selector", Selector)


@pytest.mark.parametrize("value", [None, 3, "x", OmegaConf.create({"keep": "hardest"})])
def test_a_node_that_names_no_class(value):
    with pytest.raises(OptionError, match=r"selector\._target_ is not given"):
        component(value, "selector", Selector)


def test_an_abstract_class_is_refused():
    with pytest.raises(OptionError, match="DatasetSpec is abstract"):
        component(node(_target_="winnow.datasets.base.DatasetSpec"), "dataset", DatasetSpec)


def test_a_group_of_two_classes_takes_either_and_names_both():
    fixed = component(node(_target_="winnow.selectors.alpha.Fixed", value=0.5), "alpha", Fixed | Auto)
    assert fixed == Fixed(value=0.5)
    with pytest.raises(OptionError, match=r"alpha\.Fixed or winnow\.selectors\.alpha\.Auto"):
        component(node(_target_=THRESHOLD), "alpha", Fixed | Auto)


def test_a_class_of_the_users_own(mine):
    options = {"floor": 1, "mode": "b", "rest": None, "rules": [{"_target_": THRESHOLD, "keep": "easiest"}]}
    made = component(node(_target_="mine.Mine", keep="easiest", **options), "selector", Selector)
    assert type(made).__name__ == "Mine"
    assert (made.keep, made.floor, made.mode, list(made.rules)) == ("easiest", 1, "b", [Threshold(keep="easiest")])
    assert component(node(_target_="mine.Unsure", what=3), "selector", Selector).what == 3
    for options, told in (({"mode": "c"}, "mode=c"), ({"rest": "x"}, "rest=x"), ({"rules": [3]}, "rules=")):
        with pytest.raises(OptionError, match=rf"selector\.{told}.* has the wrong type"):
            component(node(_target_="mine.Mine", **options), "selector", Selector)
    with pytest.raises(OptionError, match=r"selector\.rules\[0\]\._target_=mine\.bomb is no class"):
        component(node(_target_="mine.Mine", rules=[{"_target_": "mine.bomb"}]), "selector", Selector)


BOMB = {"_target_": "mine.bomb"}
STOWAWAYS = {
    "in the place of a component": (Calibrated, {"signal": BOMB}, r"signal\._target_=mine\.bomb is no class"),
    "in the place of a word": (Threshold, {"keep": BOMB}, "keep=.* has the wrong type; it must be str"),
    "in a list of numbers": (Probe, {"evaluate_at": [BOMB]}, "evaluate_at=.* has the wrong type"),
    "under a name that is none": (Threshold, {"more": BOMB}, "more is no option of .*Threshold; it has: balance, drop"),
    "as an argument without a name": (Threshold, {"_args_": [BOMB]}, "_args_ is no option"),
    "in part": (Threshold, {"_partial_": True}, "_partial_ is no option"),
}


@pytest.mark.parametrize("case", STOWAWAYS)
def test_what_an_option_names_is_not_called_either(mine, case):
    kind, options, told = STOWAWAYS[case]
    target = f"{kind.__module__}.{kind.__qualname__}"
    with pytest.raises(OptionError, match=rf"^it\.{told}"):
        component(node(_target_=target, **options), "it", kind)


def test_what_a_class_needs_must_be_given(mine):
    with pytest.raises(OptionError, match=r"selector\.strength is not given; mine\.Needy needs it"):
        component(node(_target_="mine.Needy"), "selector", Selector)


def test_the_error_of_a_component_comes_out_as_it_is():
    with pytest.raises(BudgetError, match=r"must be in \(0, 1\]"):
        component(node(_target_="winnow.selectors.compression.Fraction", r=1.5), "compression", Fraction)


def test_lists_and_interpolations_arrive_as_plain_python(mine):
    config = OmegaConf.create({"floor": 0.25, "selector": {"_target_": "mine.Mine", "floor": "${floor}", "rules": []}})
    made = component(config.selector, "selector", Selector)
    assert (made.floor, type(made.rules)) == (0.25, list)


@pytest.mark.parametrize(
    ("value", "hint", "fit"),
    [
        (1, float, True),
        (True, float, False),
        (True, int, False),
        (1.5, int, False),
        (float("nan"), float, False),
        (None, int | None, True),
        ([1, 2], tuple[int, ...], True),
        ([1, "a"], list[int], False),
        ("12", tuple[int, ...] | None, False),
        ({"a": 1}, dict[str, int], True),
        ("a", Any, True),
    ],
)
def test_types(value, hint, fit):
    assert fits(value, hint) is fit


def test_a_figure_is_a_function_that_says_so(mine):
    drawing = function(node(_target_="mine.drawn", grid="a.csv", r=1), "figure", Drawing)
    assert (drawing.func, drawing.keywords) == (mine.drawn, {"grid": "a.csv", "r": 1})
    for target in ("mine.undrawn", "mine.bomb", "mine.Bomb", "os.system", "winnow.figures.style.Drawing"):
        with pytest.raises(OptionError, match=r"is not that; it must be a function that returns .*style\.Drawing"):
            function(node(_target_=target, grid="a.csv"), "figure", Drawing)
    for options, told in (
        ({"grid": 3}, "grid=3"),
        ({"grid": "a", "x": 1}, "x is no option"),
        ({}, "grid is not given"),
    ):
        with pytest.raises(OptionError, match=rf"figure\.{told}"):
            function(node(_target_="mine.drawn", **options), "figure", Drawing)
