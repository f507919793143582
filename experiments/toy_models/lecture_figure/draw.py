"""The picture of `lecture_figure`, and its alt text."""

from matplotlib.figure import Figure

from experiments.lab.claim import Result
from experiments.toy_models.shared import side_by_side
from superposition import plot

GROUPS = (
    (
        "Linear Model",
        0,
        0,
        "**Linear models** learn the top m features. 1−S = 0.001 is shown, others are similar.",
    ),
    (
        "ReLU Output Model",
        1,
        1,
        "In the **dense** regime, ReLU output models also learn the top m features.",
    ),
    (
        "",
        2,
        4,
        "As **sparsity increases**, superposition lets models represent more features. The most important are "
        "touched last; the first to share a dimension do so in antipodal pairs.",
    ),
    (
        "",
        5,
        7,
        "In the **high sparsity** regime all features are in superposition and more keep being packed, with "
        "positive interference and negative biases.",
    ),
)


def draw(result: Result) -> Figure:
    """W^T W, b and norms, column by column, in the paper's manner."""
    return plot.columns(
        result.arrays["W"],
        result.arrays["b"],
        ["(or any)", *result.config.densities],
        importance_label="0.7^i",
        groups=GROUPS,
    )


def alt(result: Result) -> str:
    """Alt text from the numbers."""
    return side_by_side.describe(result)
