"""Draws networks as layers of circles joined by lines: the larger network behind a toy model, and an SAE's two layers."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection, LineCollection
from matplotlib.colors import Colormap, LinearSegmentedColormap

from superposition.errors import ConfigError
from superposition.plot.style import BLUE, DPI, FRAME, INK, MUTED, RED, WEIGHTS, Figure, fitted, grid, styled

SIZE = (11.2, 6.3)  # inches, the shape of a projector
THRONG = 200  # weights of silent latents that are drawn; more would be a grey surface
MOST = 64  # circles in a layer that can still be told apart
ON = LinearSegmentedColormap.from_list("on", ["white", "#1b3a8c"])
BODY, HEADING, NOTE = 13.0, 16.0, 11.0
SILENT, FAINT = 1e-3, 0.02
KEY = "Lines are weights, and rings values: red above zero, blue below. Circles are darker, the larger their value."


def network(trained: Any, x: Any, *, title: str | None = None) -> Figure:
    """Draw a toy model as the projection of a larger network with a neuron for every feature (Elhage et al. 2022).

    On the left is the larger network, in which neuron i is feature x_i and nothing else; in the middle the network that
    can be observed, h = W x; on the right what is read out of it, x' = ReLU(W^T W x + b). Lines are the weights of
    active features, red positive and blue negative; a circle is darker the larger its value, and a ring is red or blue
    by its sign.

    Args:
        trained: a trained toy model with tied weights W.
        x: one input (n_features,).
        title: the default counts what is active.

    Raises:
        ConfigError: a model without tied weights, or more neurons than a picture can hold.

    >>> import superposition as sp
    >>> toy = sp.fit(sp.ToyRun(sp.ReLUOutput(5, 2), sp.SparseUniform(density=0.1), steps=20, batch_size=64))
    >>> figure = network(toy, [1.0, 0, 0, 0.5, 0])
    """
    W = _tied(trained)
    m, n = W.shape
    x = grid(x, "x", (n,))
    _few("n_features", n)
    h, y = W @ x, np.asarray(trained.apply(x), float)
    active, responding = np.flatnonzero(x), int((np.abs(h) > 0.05 * max(np.abs(h).max(), SILENT)).sum())
    if title is None:
        were = "1 neuron is" if len(active) == 1 else f"{len(active)} neurons are"
        title = f"{were} active in the larger network, {responding} of {m} in the one that is observed"
    with styled():
        figure, axes = _canvas(title)
        places = [_layer(n, 0.0), _layer(m, 0.5), _layer(n, 1.0)]
        for i in range(n):
            on = x[i] != 0
            _lines(axes, places[0][i : i + 1], places[1], W[:, i], on)
            back = np.abs(W[:, i]) * (y[i] > SILENT)
            _lines(axes, places[1], places[2][i : i + 1], np.where(back > 0, W[:, i], 0), back.any())
        for place, values in zip(places, (x, h, y), strict=True):
            _circles(axes, place, values)
        for feature in active:
            _beside(axes, places[0][feature], f"feature {feature}", left=True)
        for feature in np.flatnonzero(y > 0.02):
            words = f"{feature}: {y[feature]:.2f} (was {x[feature]:.2f})"
            _beside(axes, places[2][feature], words, left=False)
        heads = (f"larger network\n{n} neurons, one a feature", f"observed network\n{m} neurons",
                 "read out of it\n$x' = \\mathrm{ReLU}(W^T W x + b)$")  # fmt: skip
        _heads(axes, heads)
        _between(axes, ("projection $W$", "$W^T$"))
    return figure


def architecture(trained: Any, x: Any, *, title: str | None = None) -> Figure:
    """Draw an SAE as two layers: x -> encoder -> latents -> decoder -> reconstruction, with one input going through.

    The sizes, the active latents and the error are those of this input; lines are the decoder's and encoder's weights
    of the latents that are active.

    Args:
        trained: a trained SAE of at most 64 latents.
        x: one input (d_in,).
        title: the default counts latents.

    Raises:
        ConfigError: a toy model, or more latents than a picture can hold.

    >>> import superposition as sp
    >>> toy = sp.fit(sp.ToyRun(sp.ReLUOutput(5, 2), sp.SparseUniform(density=0.1), steps=20, batch_size=64))
    >>> sae = sp.fit(sp.SAERun(sp.TopK(d_sae=8, k=1), toy.activations(), steps=20, batch_size=64))
    >>> figure = architecture(sae, [1.0, 0.5])
    """
    if not getattr(trained, "is_sae", False):
        raise ConfigError("architecture draws SAEs; give network a toy model")
    W_enc, W_dec = (np.asarray(trained.params[name], float) for name in ("W_enc", "W_dec"))
    d_in, d_sae = W_enc.shape
    _few("d_sae", d_sae)
    x = grid(x, "x", (d_in,))
    latents, x_hat = (np.asarray(part, float) for part in trained.reconstruct(x))
    active = np.flatnonzero(latents)
    if title is None:
        title = f"{d_in} activations become {d_sae} latents, of which {len(active)} fire" + (
            "s" * (len(active) == 1)
        )
    with styled():
        figure, axes = _canvas(title)
        places = [_layer(d_in, 0.0), _layer(d_sae, 0.5), _layer(len(x_hat), 1.0)]
        for j in range(d_sae):
            on = latents[j] != 0
            if not on and d_in * d_sae > THRONG:
                continue
            _lines(axes, places[0], places[1][j : j + 1], W_enc[:, j], on)
            _lines(axes, places[1][j : j + 1], places[2], W_dec[j], on)
        for place, values in zip(places, (x, latents, x_hat), strict=True):
            _circles(axes, place, values)
        for latent in active:
            _beside(axes, places[1][latent], f"latent {latent}: {latents[latent]:.2f}", left=False)
        for place, values, left in ((places[0], x, True), (places[2], x_hat, False)):
            for at, value in zip(place, values, strict=True):
                _beside(axes, at, f"{value:.2f}", left=left)
        error = float(((x - x_hat) ** 2).sum())
        _heads(axes, (f"activations $x$\n{d_in} numbers", f"latents $f(x)$\n{d_sae}, few of them not 0",
                      f"reconstruction $\\hat{{x}}$\nsquared error {error:.2g}"))  # fmt: skip
        _between(axes, ("encoder $W_{enc}$", "decoder $W_{dec}$"))
    return figure


def _tied(trained: Any) -> np.ndarray:
    params = getattr(trained, "params", None)
    named: Any = params._asdict() if params is not None and hasattr(params, "_asdict") else params
    if not isinstance(named, dict) or "W" not in named:
        raise ConfigError("network draws one trained toy model with tied weights W, as fit and best give")
    return grid(named["W"], "W", (None, None))


def _few(name: str, count: int) -> None:
    if count > MOST:
        raise ConfigError(f"{name}={count} circles cannot be told apart; give a model with {name} <= {MOST}")


def _canvas(title: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=SIZE, dpi=DPI, facecolor="white")
    axes = figure.add_axes((0.13, 0.045, 0.72, 0.765))
    axes.set(xlim=(-0.04, 1.04), ylim=(-0.04, 1.04))
    axes.axis("off")
    line = fitted(title, HEADING, 72 * (SIZE[0] - 0.8), "bold")
    figure.text(0.035, 0.015, KEY, fontsize=NOTE, color=MUTED)
    figure.text(0.035, 0.945, line, fontsize=HEADING, weight="bold", va="center", parse_math=False)
    return figure, axes


def _layer(count: int, x: float) -> np.ndarray:
    """Places (count, 2) of circles from top to bottom; few of them stand closer together, about the middle."""
    reach = min(1.0, 0.16 * max(count - 1, 1))
    return np.stack(
        [np.full(count, x), 0.5 + reach * (0.5 - np.linspace(0, 1, count) if count > 1 else np.zeros(1))], 1
    )


def _circles(axes: Axes, places: np.ndarray, values: np.ndarray) -> None:
    most = max(float(np.abs(values).max()), SILENT)
    gap = 1.08 if len(places) == 1 else abs(places[0, 1] - places[1, 1])
    points = min(30.0, 0.78 * gap / 1.08 * 0.78 * SIZE[1] * 72)
    shades: Colormap = ON
    rings = [INK if abs(v) < FAINT * most else (RED if v > 0 else BLUE) for v in values]
    circles = EllipseCollection(
        points, points, 0, units="points", offsets=places, offset_transform=axes.transData,
        facecolors=shades(np.abs(values) / most), edgecolors=rings, linewidths=1.4, zorder=4, gid="neurons",
    )  # fmt: skip
    circles.set_clip_on(False)
    axes.add_collection(circles, autolim=False)


def _lines(axes: Axes, starts: np.ndarray, ends: np.ndarray, weights: np.ndarray, strong: bool) -> None:
    pairs = [[a, b] for a in starts for b in ends]
    shown = np.abs(weights) > (
        0.02 if strong else 0.15
    )  # faint lines of small weights would be a grey surface
    width = np.clip(2.6 * np.abs(weights), 0.4, 4.0) if strong else np.full(len(weights), 0.35)
    colours: Any = WEIGHTS(0.5 + 0.5 * np.clip(weights, -1, 1)) if strong else [FRAME] * len(weights)
    keep = [k for k in range(len(pairs)) if shown[k]]
    lines = LineCollection(
        [pairs[k] for k in keep], linewidths=[width[k] for k in keep], colors=[colours[k] for k in keep],
        zorder=3 if strong else 1, gid="active" if strong else "silent",
    )  # fmt: skip
    axes.add_collection(lines, autolim=False)


def _beside(axes: Axes, place: Any, words: str, left: bool) -> None:
    behind = {"facecolor": "white", "edgecolor": "none", "pad": 1.0, "alpha": 0.85}
    axes.annotate(words, place, (-20 if left else 20, 0), textcoords="offset points", fontsize=NOTE, va="center",
                  ha="right" if left else "left", annotation_clip=False, zorder=6, bbox=behind)  # fmt: skip


def _heads(axes: Axes, heads: Sequence[str]) -> None:
    for x, words in zip((0.0, 0.5, 1.0), heads, strict=True):
        axes.text(x, 1.08, words, fontsize=BODY, ha="center", va="bottom", linespacing=1.3)


def _between(axes: Axes, words: Sequence[str]) -> None:
    for x, word in zip((0.25, 0.75), words, strict=True):
        axes.text(x, 1.0, word, fontsize=BODY, ha="center", va="bottom", color=MUTED)
