"""Simulated grids of a planted conditional scaling law, and its best allocation by looking at every choice."""

import itertools

import numpy as np

PLANTED = {
    "A random": 3.0,
    "b random": 0.6,
    "A el2n": 20.0,
    "b el2n": 1.0,
    "B": 0.5,
    "c": 1.2,
    "D": 0.4,
    "e": 0.8,
    "E": 0.01,
}
SIZES = tuple(np.geomspace(50, 2000, 6))
WIDTHS = (4, 8, 16, 32)
DEPTHS = (8, 20, 56)


def planted_error(rule, n, width=None, depth=None, planted=PLANTED):
    """The error of the planted law, written out once more."""
    error = planted[f"A {rule}"] * n ** -planted[f"b {rule}"] + planted["E"]
    if width is not None:
        error = error + planted["B"] * width ** -planted["c"]
    if depth is not None:
        error = error + planted["D"] * depth ** -planted["e"]
    return error


def simulated(generator, noise, *, sizes=SIZES, widths=WIDTHS, depths=(None,), rules=("random", "el2n"), seeds=1):
    """Arguments of fit_conditional, normal noise of that standard deviation in the log error of each seed."""
    lines = list(itertools.product(rules, sizes, widths, depths, range(seeds)))
    truth = np.array([planted_error(*line[:4]) for line in lines])
    error = truth * np.exp(noise * generator.standard_normal(truth.size))
    rule, n, width, depth, _ = zip(*lines, strict=True)
    given = {name: size for name, size in (("width", width), ("depth", depth)) if size[0] is not None}
    return {"n": n, "error": error, "rule": rule, **given}


def cost_by_epochs(n, width, depth, rule):
    """Ten passes of a model whose multiply-adds rise with width squared; scoring costs a hundred examples' worth."""
    return (10 * n + (1000 if rule != "random" else 0)) * width**2


def best_choice(budget, widths, rules=("random", "el2n"), least=50, most=2000):
    """(error, n, width, rule) of the planted optimum among whole n, by trying each."""
    found = []
    for width, rule in itertools.product(widths, rules):
        n = np.arange(least, most + 1)
        affordable = n[cost_by_epochs(n, width, None, rule) <= budget]
        if affordable.size:
            found.append((planted_error(rule, affordable[-1], width), int(affordable[-1]), width, rule))
    return min(found)
