"""The picture of `sharkey`, and its alt text."""

from matplotlib.figure import Figure

from experiments.autoencoders.sharkey.config import BAR
from experiments.lab.claim import Result
from superposition import plot


def draw(result: Result) -> Figure:
    """Three maps over penalty and width: MMCS, dead latents, MMCS with the next larger dictionary."""
    a, n = result.arrays, result.numbers["n_features"]
    share = 100 * a["dead"] / a["widths"][:, None]
    rows = [f"{w}" + (f"  (= {n} features)" if w == n else "") for w in a["widths"]]
    columns = [f"{p:.2g}" for p in a["penalties"]]
    return plot.maps(
        [
            plot.Map("Features found: MMCS with the true dictionary", a["mmcs"], "{:.2f}", BAR),
            plot.Map(
                "Without the truth: MMCS of each dictionary with the next larger",
                a["mmcs_with_larger"],
                "{:.2f}",
            ),
            plot.Map("Dead latents, % of the dictionary", share, "{:.0f}", top=100.0),
        ],
        rows,
        columns,
        ylabel="Latents",
        xlabel="L1 penalty",
    )


def alt(result: Result) -> str:
    """Alt text from the numbers."""
    a = result.arrays
    rows = [f"width {w}, largest MMCS {row.max():.2f}" for w, row in zip(a["widths"], a["mmcs"], strict=True)]
    return (
        "Maps over L1 penalty and dictionary width of recovery, agreement and dead latents: "
        + "; ".join(rows)
        + "."
    )
