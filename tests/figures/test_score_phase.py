import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from helpers.rows import make_row
from winnow.core.errors import FitError
from winnow.figures.score_phase import score_phase


def table(name="synthetic[n={n},hard={hard},mislabelled={noise}]", rs=(0.1,)) -> pd.DataFrame:
    """Hardest is worse than random by ten times the noise in points, exact better by one, with a little spread."""
    rng, rows = np.random.default_rng(0), []
    for n in (300, 1200):
        for hard in (0.1, 0.5):
            for noise in (0.0, 0.2):
                for seed in range(5):
                    base = 0.3 + 0.01 * seed
                    for rule, shift in (("random", 0), ("el2n hardest", noise), ("el2n exact 0.5", -0.01)):
                        error = base + shift + (rule != "random") * rng.normal(0, 0.001)
                        for r in rs:
                            rows.append(
                                make_row(
                                    rule=rule,
                                    dataset=name.format(n=n, hard=hard, noise=noise),
                                    n=n,
                                    n_kept=int(r * n),
                                    r=r,
                                    test_error=error,
                                    probe_seed=None if rule == "random" else seed,
                                    selection_seed=seed,
                                    train_seed=seed,
                                )
                            )
    return pd.DataFrame(rows)


def test_squares_hold_the_paired_differences():
    figure = score_phase(table())
    titles = [axes.get_title(loc="left") for axes in figure.axes if axes.get_title(loc="left")]
    assert titles == [
        "el2n hardest, n = 300", "el2n hardest, n = 1,200", "el2n exact 0.5, n = 300", "el2n exact 0.5, n = 1,200",
    ]  # fmt: skip
    words = [[text.get_text().replace("−", "-") for text in axes.texts] for axes in figure.axes[:4]]
    for texts in words[:2]:  # rows: hard 0.1, 0.5; columns: mislabelled 0, 0.2
        assert [float(text.rstrip("•")) for text in texts] == pytest.approx([0, 20, 0, 20], abs=0.15)
        assert texts[1].endswith("•")
    for text in np.ravel(words[2:]):
        assert float(text.rstrip("•")) == pytest.approx(-1, abs=0.15)
        assert text.endswith("•")
    assert len(figure.table) == 2 * 8
    assert {"low", "high", "p_holm", "n", "hard", "mislabelled"} <= set(figure.table)
    FigureCanvasAgg(figure).draw()


def test_one_ensemble_has_no_dots_and_says_why():
    rows = table()
    figure = score_phase(rows.assign(probe_seed=rows["probe_seed"].where(rows["rule"] == "random", 0)))
    assert not any(text.get_text().endswith("•") for axes in figure.axes for text in axes.texts)
    assert figure.axes[-1].get_ylabel().endswith("(one probe ensemble: no test)")


def test_what_cannot_be_drawn():
    with pytest.raises(FitError, match="synthetic data sets"):
        score_phase(table(name="digits"))
    with pytest.raises(FitError, match="one r"):
        score_phase(table(rs=(0.1, 0.2)))
