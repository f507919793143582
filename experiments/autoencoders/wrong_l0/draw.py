"""The picture of `wrong_l0`, and its alt text."""

from matplotlib.figure import Figure

from experiments.autoencoders.wrong_l0.config import MEASURES
from experiments.lab.claim import Result
from superposition import plot

NAMES = ("MCC", "F1", "Explained variance", "Decoder pairwise cosine, c_dec", "Hedging")


def draw(result: Result) -> Figure:
    """Recovery, reconstruction, the decoder statistic and hedging over L0."""
    a = result.arrays
    panels: dict[str, dict[str, plot.Curve]] = {}
    for title, quantity in zip(NAMES, MEASURES[1:], strict=True):
        panels[title] = {
            "BatchTopK": plot.Curve(a["batch_topk_l0"], a[f"batch_topk_{quantity}"]),
            "JumpReLU": plot.Curve(a["jumprelu_l0"], a[f"jumprelu_{quantity}"]),
        }
    panels["Explained variance"]["true dictionary"] = plot.Curve(
        a["truth_l0"], a["truth_explained_variance"], dashed=True
    )
    limits = {
        "MCC": (0.4, 1.02),
        "F1": (0.0, 1.02),
        "Explained variance": (0.0, 1.03),
        "Hedging": (0.0, 0.36),
    }
    return plot.against_l0(panels, result.numbers["true_l0"], limits=limits)


def alt(result: Result) -> str:
    """Alt text from the numbers."""
    a = result.arrays
    parts = [
        f"L0 {x:.1f}, MCC {m:.2f}, explained variance {v:.2f}"
        for x, m, v in zip(
            a["batch_topk_l0"].mean(1),
            a["batch_topk_mcc"].mean(1),
            a["batch_topk_explained_variance"].mean(1),
            strict=True,
        )
    ]
    return f"Curves over L0, true L0 {result.numbers['true_l0']:.1f}. BatchTopK: " + "; ".join(parts) + "."
