"""The picture of `sae_recovers_features`, and its alt text."""

from matplotlib.figure import Figure

from experiments.autoencoders.sae_recovers_features.config import BASELINES, FOUND, REPRESENTED
from experiments.lab.claim import Result
from superposition import plot


def draw(result: Result) -> Figure:
    """Largest cosine of every feature, a row a method, the seed that finds fewest."""
    names = [*result.config.architectures, *BASELINES]
    shown = {name: result.arrays[f"best_{name}"].min(0) for name in names}
    return plot.found(shown, result.arrays["norms"], represented=REPRESENTED, bar=FOUND)


def alt(result: Result) -> str:
    """Alt text from the numbers."""
    kept = result.arrays["norms"] > REPRESENTED
    names = [*result.config.architectures, *BASELINES]
    counts = [f"{name} {int((result.arrays[f'best_{name}'].min(0) > FOUND)[kept].sum())}" for name in names]
    return (
        f"Largest cosine with each of {int(kept.sum())} represented features; found by "
        + ", ".join(counts)
        + "."
    )
