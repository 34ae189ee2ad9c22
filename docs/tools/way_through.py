"""Draw docs/images/way_through.svg, the picture of the one way through: python docs/tools/way_through.py [FILE]"""

import sys
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

PLACE = Path(__file__).parents[1] / "images" / "way_through.svg"
STAGES = [  # what there is, where the code is, what it leaves in the store or the run folder
    ("data set", "datasets/", "images of a folder,\ndecoded once"),
    ("probes", "probes/", "trajectories,\npasses over the data"),
    ("scores", "metrics/", "one number an example:\nhigher = harder"),
    ("subset", "selectors/", "indices, weights,\nis_signal"),
    ("model", "training/", "weights,\nerror of each class"),
    ("row", "pipeline/", "row.json:\none cell"),
    ("grid", "scaling/", "grid.csv:\nlaws, crossovers"),
    ("figure", "figures/", "PNG, its numbers,\nits provenance"),
]
STEPS = ["train K\nmodels", "metric", "selector,\nr and alpha", "weighted\ntraining", "test set", "many cells", "draw"]
INK, QUIET, FILL, SHARED = "#263238", "#607d8b", "#eceff1", "#ffe0b2"
WIDTH, HEIGHT, GAP, LIFT = 1.5, 0.62, 0.95, 2.3


def draw() -> Figure:
    figure = Figure(figsize=(10, 4.3), layout="constrained")
    axes = figure.subplots()
    centres = [(column * (WIDTH + GAP), -row * LIFT) for row in (0, 1) for column in range(4)]
    for (name, room, leaves), centre in zip(STAGES, centres, strict=True):
        _box(axes, centre, name, room, leaves, shared=name in {"data set", "probes", "scores"})
    for step, start, end in zip(STEPS, centres[:-1], centres[1:], strict=True):
        _arrow(axes, start, end, step)
    axes.set(xlim=(-1.0, centres[3][0] + 1.0), ylim=(-LIFT - 0.95, 0.6))
    axes.axis("off")
    return figure


def _box(axes: Axes, centre: tuple[float, float], name: str, room: str, leaves: str, *, shared: bool) -> None:
    x, y = centre
    corner = (x - WIDTH / 2, y - HEIGHT / 2)
    colour = SHARED if shared else FILL
    axes.add_patch(FancyBboxPatch(corner, WIDTH, HEIGHT, boxstyle="round,pad=0.03", fc=colour, ec=INK, lw=1.2))
    axes.text(x, y + 0.1, name, ha="center", va="center", fontsize=12, weight="bold", color=INK)
    axes.text(x, y - 0.17, room, ha="center", va="center", fontsize=9, family="monospace", color=INK)
    axes.text(x, y - HEIGHT / 2 - 0.14, leaves, ha="center", va="top", fontsize=8.5, color=QUIET)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], step: str) -> None:
    style = {"arrowstyle": "-|>", "color": INK, "lw": 1.2, "mutation_scale": 12}
    if start[1] == end[1]:
        begin, stop = (start[0] + WIDTH / 2 + 0.06, start[1]), (end[0] - WIDTH / 2 - 0.06, end[1])
        axes.annotate("", xy=stop, xytext=begin, arrowprops=style)
        axes.text((begin[0] + stop[0]) / 2, start[1] + 0.08, step, ha="center", va="bottom", fontsize=8.5, color=INK)
        return
    down, turn = start[1] - HEIGHT / 2 - 0.75, end[1] + HEIGHT / 2 + 0.07
    middle = (down + turn) / 2 - 0.12
    axes.plot([start[0], start[0], end[0]], [down, middle, middle], color=INK, lw=1.2, solid_joinstyle="miter")
    axes.annotate("", xy=(end[0], turn), xytext=(end[0], middle), arrowprops=style | {"shrinkA": 0})
    words = step.replace("\n", " ")
    axes.text((start[0] + end[0]) / 2, middle + 0.06, words, ha="center", va="bottom", fontsize=8.5, color=INK)


if __name__ == "__main__":
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else PLACE
    out.parent.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context({"svg.hashsalt": "winnow", "font.family": "DejaVu Sans"}):
        draw().savefig(out, dpi=120, metadata={"Date": None} if out.suffix == ".svg" else None)
