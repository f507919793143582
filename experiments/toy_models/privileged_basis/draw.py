"""The picture of `privileged_basis`, and its alt text."""

import numpy as np
from matplotlib.figure import Figure

from experiments.lab.claim import Result
from superposition.geometry.neurons import neurons
from superposition.plot.neurons import neurons as stacks


def draw(result: Result) -> Figure:
    """W and its neurons' stacks of every density's best model, monosemantic neurons first."""
    W = result.arrays["W"]
    found = [neurons(w) for w in W]
    order = [
        sorted(range(len(f.codes)), key=lambda k: (f.codes[k].sum() != 1, *np.flatnonzero(f.codes[k])))
        for f in found
    ]
    return stacks(
        W,
        result.config.densities,
        captions=[f.name for f in found],
        order=np.array(order),
        signed=True,
        matrix=True,
        polysemantic=np.array([f.codes.sum(1) > 1 for f in found]),
    )


def alt(result: Result) -> str:
    """Alt text from the numbers."""
    parts = [
        f"1-S = {p:g}, {name}"
        for p, name in zip(result.config.densities, result.numbers["structure"], strict=True)
    ]
    return (
        "Weights of ten features on five neurons as a matrix and as a stack a neuron, inhibition below the axis, for "
        "the best model of each density: " + "; ".join(parts) + "."
    )
