from dataclasses import fields

import pytest

from winnow.core.errors import OptionError
from winnow.core.types import Evidence
from winnow.selectors.alpha import CRITERIA, Auto, Fixed
from winnow.selectors.calibrated import Calibrated
from winnow.selectors.random import Random
from winnow.selectors.threshold import Threshold


def test_bad_options():
    with pytest.raises(OptionError, match=r"alpha\.value"):
        Fixed(value=1.5)
    with pytest.raises(OptionError, match="gradient, validation"):
        Auto(criterion="test_error")
    for name in ("points", "folds"):
        with pytest.raises(OptionError, match=f"alpha.{name}=1"):
            Auto(**{name: 1})
    with pytest.raises(OptionError, match=r"alpha\.draws=0"):
        Auto(draws=0)
    with pytest.raises(OptionError, match=r"alpha\.held_out=true is of validation"):
        Auto(held_out=True, compare=False)


def test_criteria_read_evidence_and_name_the_rule():
    for criterion in CRITERIA:
        for held_out in (False, True):
            auto = Auto(criterion=criterion, held_out=held_out)
            assert auto.needs <= {field.name for field in fields(Evidence)}
            assert ("fold_features" in auto.needs) == held_out
        assert Auto(criterion=criterion, compare=False).needs == CRITERIA[criterion]
    assert Calibrated().rule("el2n", Auto().label) == "el2n exact auto"
    assert Calibrated().rule("el2n", Auto(criterion="validation").label) == "el2n exact auto by validation"
    held_out = Auto(criterion="validation", held_out=True)
    assert Calibrated().rule("el2n", held_out.label) == "el2n exact auto by held-out validation"
    assert (Auto().size, Auto(criterion="validation").size, Auto(points=7).size) == (101, 11, 7)


def test_who_reads_alpha():
    assert Calibrated().reads_alpha
    assert not Random().reads_alpha
    assert not Threshold().reads_alpha
