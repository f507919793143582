"""The picture of `small_lm_sae`, and its alt text."""

from matplotlib.figure import Figure

from experiments.lab.architectures import NAMES
from experiments.lab.claim import Result
from experiments.language_model.small_lm_sae.config import NUMBERS
from superposition import plot


def draw(result: Result) -> Figure:
    """CE recovered, explained variance and dead latents against L0, a line an architecture."""
    values, names = result.arrays["values"], result.config.architectures
    titles = {"ce_recovered": "CE recovered (zero ablation)", "ce_recovered_mean": "CE recovered (mean ablation)",
              "explained_variance": "Explained variance", "kl": "KL, nats a token", "dead_fraction": "Dead latents"}  # fmt: skip
    panels = {
        title: {
            NAMES[n]: plot.Curve(values[i, ..., 0], values[i, ..., NUMBERS.index(number)])
            for i, n in enumerate(names)
        }
        for number, title in titles.items()
    }
    return plot.against_l0(panels, None, limits={})


def alt(result: Result) -> str:
    """Alt text from the numbers."""
    values = result.arrays["values"].mean(2)
    parts = [
        f"{NAMES[n]} {', '.join(f'{r:.3f} at {a:.0f}' for a, r in zip(v[:, 0], v[:, 2], strict=True))}"
        for n, v in zip(result.config.architectures, values, strict=True)
    ]
    return f"Frontiers of SAEs on the small language model; CE recovered at L0: {'; '.join(parts)}."
