from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from winnow.core.errors import FitError, OptionError
from winnow.figures.growth import from_table, growth
from winnow.scaling.growth import growth_exponents

SIZES = np.repeat([1000, 2000, 4000, 8000], 3)


def costs(stage: str, exponent: float, noise: float = 0.0, seed: int = 0) -> pd.DataFrame:
    scatter = np.exp(np.random.default_rng(seed).normal(0, noise, (2, SIZES.size)))
    seconds, memory = 1e-3 * SIZES**exponent * scatter[0], 0.5 * SIZES**0.5 * scatter[1]
    return pd.DataFrame({"stage": stage, "n": SIZES, "processor_seconds": seconds, "peak_mb": memory})


def test_an_exact_power_is_found_for_each_stage_and_cost() -> None:
    found = growth_exponents(pd.concat([costs("select", 1.0), costs("probe", 1.3)])).set_index(["stage", "cost"])
    assert found["exponent"].to_dict() == pytest.approx(
        {
            ("select", "processor_seconds"): 1.0,
            ("select", "peak_mb"): 0.5,
            ("probe", "processor_seconds"): 1.3,
            ("probe", "peak_mb"): 0.5,
        }
    )
    assert found.loc[("probe", "processor_seconds"), "a"] == pytest.approx(1e-3)
    assert np.allclose(found["low"], found["high"])


def test_the_interval_holds_as_often_as_it_says() -> None:
    tables = [growth_exponents(costs("select", 1.1, noise=0.2, seed=seed)).iloc[0] for seed in range(120)]
    held = np.mean([each["low"] <= 1.1 <= each["high"] for each in tables])
    assert abs(held - 0.95) < 4 * np.sqrt(0.95 * 0.05 / 120)


def test_too_little_to_fit() -> None:
    with pytest.raises(FitError, match="select: give three positive processor_seconds"):
        growth_exponents(costs("select", 1.0).query("n == 1000"))
    with pytest.raises(FitError, match="peak_mb"):
        growth_exponents(costs("select", 1.0).assign(peak_mb=0.0))


def test_the_figure_draws_multiples_of_the_smallest(tmp_path: Path) -> None:
    table = pd.concat([costs("select", 1.0), costs("probe", 1.5)])
    table.to_csv(tmp_path / "costs.csv", index=False)
    drawing = from_table(tmp_path / "costs.csv")
    assert len(drawing.table) == len(table)
    largest = drawing.table[drawing.table["n"] == 8000].groupby("stage")["times_processor_seconds"].first()
    assert largest.to_dict() == pytest.approx({"select": 8.0, "probe": 8**1.5})
    left = growth(table).axes[0]
    assert [text.get_text() for text in left.get_legend().get_texts()][1:] == [
        "select: 1.00 [1.00, 1.00]",
        "probe: 1.50 [1.50, 1.50]",
    ]
    with pytest.raises(OptionError, match=r"scripts/bench/growth.py"):
        from_table(tmp_path / "none.csv")
