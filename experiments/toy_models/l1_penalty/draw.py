"""The picture of `l1_penalty`, and its alt text."""

from matplotlib.figure import Figure

from experiments.lab.claim import Result
from superposition import plot


def draw(result: Result) -> Figure:
    """W^T W, b and norms of every penalty's best model."""
    penalties = result.arrays["penalty"]
    titles = [f"λ = {p:.3g}" for p in penalties]
    return plot.columns(
        result.arrays["W"],
        result.arrays["b"],
        titles,
        importance_label=f"{result.config.importance_base:g}^i",
        groups=[
            ("No penalty", 0, 0, "Features in **superposition**, along no axis in particular."),
            (
                "L1 penalty on the hidden layer",
                1,
                len(penalties) - 1,
                "The larger the penalty, the fewer features are **important enough** to be kept, each along an axis of "
                "the hidden layer. More than there are dimensions share axes in antipodal pairs; fewer do not share.",
            ),
        ],
        hidden_rule=True,
    )


def alt(result: Result) -> str:
    """Alt text from the numbers."""
    parts = [
        f"lambda {p:.3g}, {name}"
        for p, name in zip(result.arrays["penalty"], result.numbers["structure"], strict=True)
    ]
    return f"W^T W, b and feature norms under growing L1 penalties on the hidden layer: {'; '.join(parts)}."
