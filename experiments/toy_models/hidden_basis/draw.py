"""W of a linear hidden layer above that of neurons, a column a density."""

from matplotlib.figure import Figure

from experiments.lab.claim import Result
from experiments.toy_models.hidden_basis.config import M, N
from superposition.plot.style import DPI, styled


def draw(result: Result) -> Figure:
    """W of the best seeds: the linear layer above, neurons below, a column a density."""
    W, densities = result.arrays["W"], result.config.densities
    with styled():
        figure = Figure(figsize=(10.6, 4.4), dpi=DPI, facecolor="white", layout="constrained")
        axes = figure.subplots(2, len(densities), squeeze=False)
        for i, name in enumerate(("Linear hidden layer\nunit", "ReLU hidden layer\nneuron")):
            for k, p in enumerate(densities):
                image = axes[i, k].imshow(W[i, k], cmap="RdBu", vmin=-1.5, vmax=1.5, aspect="auto")
                axes[i, k].set(xticks=range(0, N, 3), yticks=range(M))
                mean = result.arrays["alignment"][i, k].mean()
                axes[i, k].set_title(f"$1-S = {p:g}$, along one unit: {mean:.2f}", fontsize=9, loc="left")
            axes[i, 0].set_ylabel(name, fontsize=9)
        for panel in axes[1]:
            panel.set_xlabel("feature, most important first", fontsize=9)
        figure.suptitle(
            "Without and with a ReLU in the hidden layer", x=0.01, ha="left", fontsize=11, weight="bold"
        )
        figure.colorbar(image, ax=axes, label="weight $W_{ki}$", shrink=0.7)
    return figure


def alt(result: Result) -> str:
    """Alt text from the numbers."""
    mean = result.arrays["alignment"].mean(2)
    parts = [f"{p:g}: {a:.2f}, {b:.2f}" for p, a, b in zip(result.config.densities, *mean, strict=True)]
    return f"Weights of a linear and a ReLU hidden layer; mean share of a feature's largest weight: {'; '.join(parts)}."
