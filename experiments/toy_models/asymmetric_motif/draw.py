"""The asymmetric superposition motif: its circuit, what the inhibition does, and how often it is found."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle, FancyArrowPatch
from matplotlib.ticker import MaxNLocator

from experiments.lab.claim import Result
from superposition.plot.style import DPI, FRAME, INK, MUTED, Figure, grid, place, styled, write

EXCITES, INHIBITS, CHANCE = "#2f6db5", "#c0392b", "#9a9a9a"
LINE = "#e58a1f"


class Circuit(NamedTuple):
    """The weights of one motif, neurons (shared, inhibitor) and features (strong, weak).

    read[neuron, feature] and write[feature, neuron], both (2, 2); features and neurons as the model numbers them.
    """

    read: np.ndarray
    write: np.ndarray
    features: tuple[int, int]
    neurons: tuple[int, int]


class Response(NamedTuple):
    """The output of the weakly read feature, x_weak = 0, over x_strong (x,): whole, and without the inhibition."""

    x: np.ndarray
    whole: np.ndarray
    without: np.ndarray


class Frequency(NamedTuple):
    """Share of seeds with a motif, by density: (density,), its interval (density, 2), and by chance (density,)."""

    density: Sequence[float]
    share: np.ndarray
    interval: np.ndarray
    chance: np.ndarray


def draw(result: Result) -> Figure:
    """The cleanest motif as a circuit, the effect of its inhibition, and the frequency by density."""
    arrays, found = result.arrays, result.numbers["motif"]
    circuit = Circuit(arrays["read"], arrays["write"], (found["strong"], found["weak"]),
                      (found["neuron"], found["inhibitor"]))  # fmt: skip
    frequency = Frequency(result.config.densities, arrays["share"], arrays["interval"], arrays["chance"])
    return motif(circuit, Response(*arrays["curve"]), frequency)


def alt(result: Result) -> str:
    """Alt text from the numbers."""
    read, write = result.arrays["read"], result.arrays["write"]
    shares = ", ".join(
        f"{100 * s:.0f} % at density {p:g}"
        for p, s in zip(result.config.densities, result.arrays["share"], strict=True)
    )
    return (
        f"A neuron reads two features with {read[0, 0]:.2f} and {read[0, 1]:.2f} and writes them with {write[0, 0]:.2f} "
        f"and {write[1, 0]:.2f}; an inhibitor writes {write[1, 1]:.2f}. Seeds with such a motif: {shares}."
    )


def motif(circuit: Circuit, response: Response, frequency: Frequency) -> Figure:
    """Three panels. Elhage et al. 2022, "The asymmetric superposition motif". Raises ConfigError for bad shapes."""
    with styled():
        figure = Figure(figsize=(14.2, 4.0), dpi=DPI, facecolor="white")
        heads = ("The motif, as trained", "What the inhibition does", "How often it is found")
        for x, head in zip((0.25, 5.55, 10.15), heads, strict=True):
            write(figure, x, 0.25, head, 11, weight="bold", va="center", color="#222222")
        _circuit(place(figure, 0.15, 0.45, 4.6, 3.25), circuit)
        _response(place(figure, 5.85, 0.55, 3.5, 2.8), response, circuit)
        _frequency(place(figure, 10.75, 0.55, 3.25, 2.8), frequency)
    return figure


def _circuit(axes: Axes, found: Circuit) -> None:
    """Inputs, two neurons and outputs, joined by their weights: width by size, colour and ending by sign."""
    read, wrote = grid(found.read, "read", (2, 2)), grid(found.write, "write", (2, 2))
    axes.set(xlim=(-0.4, 4.4), ylim=(-0.85, 2.35), aspect="equal")
    height = (1.75, -0.25)
    links = [(0.0, f, k, float(read[k, f])) for f in (0, 1) for k in (0, 1)]
    links += [(2.0, k, f, float(wrote[f, k])) for f in (0, 1) for k in (0, 1)]
    for start, a, b, value in links:
        if abs(value) < 0.05:
            continue
        colour = EXCITES if value > 0 else INHIBITS
        tail, head = np.array([start, height[a]]), np.array([start + 2, height[b]])
        along = (head - tail) / np.linalg.norm(head - tail)
        ends = tuple(tail + 0.27 * along), tuple(head - 0.3 * along)
        shape = "-|>" if value > 0 else "|-|,widthA=0,widthB=6"
        line = FancyArrowPatch(*ends, arrowstyle=shape, mutation_scale=10 if value > 0 else 1, color=colour,
                               linewidth=0.8 + min(abs(value), 4.0), shrinkA=0, shrinkB=0, zorder=1)  # fmt: skip
        axes.add_patch(line)
        # Labels stand off the middle, where lines cross: nearer the inputs, and nearer the outputs.
        x, y = tail + (0.36 if start == 0 else 0.64) * (head - tail)
        axes.text(x, y, f"{value:.2f}".replace("-", "−"), fontsize=10.5, color=colour, ha="center", va="center",
                  zorder=3, bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.0})  # fmt: skip
    for row in (0, 1):
        i = found.features[row]
        for x, name in ((0, f"$x_{{{i}}}$"), (2, f"$h_{{{found.neurons[row]}}}$"), (4, f"$y_{{{i}}}$")):
            fill = "#f4efe2" if x == 2 else "white"
            axes.add_patch(
                Circle((x, height[row]), 0.26, facecolor=fill, edgecolor=INK, linewidth=1, zorder=4)
            )
            axes.text(x, height[row], name, fontsize=11.5, ha="center", va="center", zorder=5)
    words: dict[str, Any] = {"fontsize": 9.5, "ha": "center", "va": "center", "color": MUTED}
    axes.text(2, height[0] + 0.42, "shared by both features", **words)
    axes.text(2, height[1] - 0.42, "inhibitor", **words)
    axes.text(0, height[0] + 0.42, "inputs", **words)
    axes.text(4, height[0] + 0.42, "outputs", **words)


def _response(axes: Axes, response: Response, circuit: Circuit) -> None:
    strong, weak = circuit.features
    x = grid(response.x, "x", (None,))
    _framed(
        axes,
        f"input $x_{{{strong}}}$ (> 0 turns on $h_{{{circuit.neurons[0]}}}$), all others 0",
        f"output $y_{{{weak}}}$",
    )
    axes.plot(x, grid(response.without, "without", x.shape), color=INHIBITS, linewidth=2.4, linestyle=(0, (5, 2)),
              label="inhibiting weight cut")  # fmt: skip
    axes.plot(x, grid(response.whole, "whole", x.shape), color=EXCITES, linewidth=2.4, label="whole model")
    axes.axhline(0, color=MUTED, linewidth=0.9, linestyle=":", label=f"target $|x_{{{weak}}}|$ = 0")
    axes.legend(frameon=False, fontsize=9.5, loc="upper left")


def _frequency(axes: Axes, frequency: Frequency) -> None:
    count = len(frequency.density)
    share, chance = (
        grid(a, n, (count,)) for a, n in ((frequency.share, "share"), (frequency.chance, "chance"))
    )
    interval = grid(frequency.interval, "interval", (count, 2))
    _framed(axes, "density 1 − S", "share of seeds with a motif")
    at = np.arange(count)
    axes.bar(at - 0.2, share, 0.38, color=LINE, label="trained")
    axes.bar(at + 0.2, chance, 0.38, color=CHANCE, label="same weights, shuffled")
    reach = np.abs(interval.T - share)
    axes.errorbar(at - 0.2, share, reach, fmt="none", ecolor=INK, elinewidth=1.2, capsize=3)
    axes.set(ylim=(0, 1.28), xlim=(-0.6, count - 0.4))
    axes.set_xticks(at, [f"{p:g}" for p in frequency.density], fontsize=9.5)
    axes.set_yticks([0, 0.5, 1], ["0", "50 %", "100 %"], fontsize=9.5)
    axes.legend(frameon=False, fontsize=9.5, loc="upper left", ncols=2, handlelength=1.2, columnspacing=1.0)


def _framed(axes: Axes, x: str, y: str) -> None:
    axes.spines[["left", "bottom"]].set(visible=True, color=FRAME)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.tick_params(length=3, color=FRAME, labelsize=9.5)
    axes.set_xlabel(x, fontsize=10)
    axes.set_ylabel(y, fontsize=10)
