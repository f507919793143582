"""Draws units as detectors: how well few or many of them detect a label together, and what one fires on, by strength."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from superposition.errors import ConfigError
from superposition.plot.sae import LINES
from superposition.plot.style import DPI, INK, MUTED, Figure, fitted, grid, styled

BODY, HEADING = 12.0, 14.5
MARKS = ("o", "s", "^", "D", "v")
INTERVALS = 11  # as Bricken et al. (2023) divide a feature's activations


def detection(
    panels: Mapping[str, Mapping[str, Mapping[int, float]]],
    *,
    chance: float | None = None,
    title: str | None = None,
) -> Figure:
    """Draw how well a detector does against the number of units that it reads, a panel a label.

    Args:
        panels: label -> kind of unit -> {units read: average precision, from 0 to 1}.
        chance: what a unit that knows nothing has, drawn as a dashed line.
        title: over all of it: the finding.

    Raises:
        ConfigError: there is no panel, or a curve without points.

    >>> figure = detection({"Hebrew": {"neurons": {1: 0.2, 512: 0.9}, "latents": {1: 0.8, 1024: 0.9}}})
    >>> [line.get_label() for line in figure.axes[0].lines]
    ['neurons', 'latents']
    """
    if not panels or not all(curves and all(curves.values()) for curves in panels.values()):
        raise ConfigError(
            "there is nothing to draw; give a panel or more, each with curves of {units read: value}."
        )
    names = list(dict.fromkeys(name for curves in panels.values() for name in curves))
    with styled():
        figure = Figure(figsize=(11.0, 5.0), dpi=DPI, facecolor="white", layout="constrained")
        stack = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axes, (label, curves) in zip(stack, panels.items(), strict=True):
            for name, curve in curves.items():
                i = names.index(name)
                style: Any = {"color": LINES[i % len(LINES)], "marker": MARKS[i % len(MARKS)], "label": name}
                axes.plot(list(curve), list(curve.values()), linewidth=2, markersize=7, **style)
                first, value = next(iter(curve.items()))
                axes.annotate(f"{value:.2f}", (first, value), (-9, 0), textcoords="offset points", fontsize=11,
                              ha="right", va="center", color=LINES[i % len(LINES)])  # fmt: skip
            if chance is not None:
                axes.axhline(chance, color=MUTED, linewidth=1, dashes=(4, 3))
            axes.set_xscale("log", base=2)
            ticks = sorted({n for curve in curves.values() for n in curve})
            axes.set_xticks(ticks, [f"{n:,}" for n in ticks], fontsize=10)
            axes.minorticks_off()
            axes.set_xlim(left=ticks[0] / 2)
            axes.set(ylim=(-0.02, 1.08))
            axes.set_xlabel("Units read", fontsize=BODY)
            axes.set_title(fitted(label, 13, 330), fontsize=13, loc="left", parse_math=False)
            axes.spines[["top", "right"]].set_visible(False)
            axes.grid(axis="y", color="#eeeeee")
            axes.set_axisbelow(True)
        stack[0].set_ylabel("Average precision", fontsize=BODY)
        stack[-1].legend(frameon=False, fontsize=BODY, loc="lower right")
        _title(figure, title)
    return figure


def fired_on(
    panels: Mapping[str, tuple[Any, Any]], label: str, *, share: float | None = None, title: str | None = None
) -> Figure:
    """Draw, for each unit, what share of the examples it fires on has a label, by how strongly it fires.

    Activations above 0 are divided into 11 equal intervals up to the unit's largest. How many examples each interval
    holds stands above its bar.

    Args:
        panels: unit -> (activations (examples,), labels (examples,) true or not).
        label: what the label is, for the legend.
        share: weigh the labelled so that they are this share of all examples. Default: as they are.
        title: over all of it: the finding.

    Raises:
        ConfigError: there is no panel, or the arrays of one disagree.

    >>> figure = fired_on({"latent 3": ([0.0, 1.0, 2.0], [False, False, True])}, "Hebrew")
    >>> [float(bar.get_height()) for bar in figure.axes[0].patches if bar.get_gid() == "labelled"][-1]
    1.0
    """
    if not panels:
        raise ConfigError("there is nothing to draw; give one unit or more.")
    with styled():
        figure = Figure(figsize=(11.0, 4.8), dpi=DPI, facecolor="white", layout="constrained")
        stack = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axes, (name, (activations, labels)) in zip(stack, panels.items(), strict=True):
            value = grid(activations, f"activations of {name}", (None,))
            true = grid(labels, f"labels of {name}", value.shape) > 0
            part, count = _by_strength(value, true, share)
            place = (np.arange(INTERVALS) + 0.5) / INTERVALS
            some = np.isfinite(part)
            width = 0.9 / INTERVALS
            axes.bar(place[some], part[some], width, color=LINES[1], label=label, gid="labelled")
            axes.bar(place[some], 1 - part[some], width, bottom=part[some], color="#d5d5d5", label="the rest")
            for x, n in zip(place, count, strict=True):
                if n:
                    axes.text(x, 1.015, f"{n:,}", ha="center", va="bottom", fontsize=8.5, color=MUTED)
            axes.set(xlim=(0, 1), ylim=(0, 1.1), xticks=[0, 0.5, 0.94], xticklabels=["0", "half", "largest"])
            axes.set_xlabel("Activation", fontsize=BODY)
            axes.set_title(fitted(name, 13, 330), fontsize=13, loc="left", parse_math=False)
            axes.tick_params(length=0, labelsize=11)
            axes.spines[["top", "right"]].set_visible(False)
        stack[0].set_yticks([0, 0.5, 1], ["0", "50 %", "100 %"])
        stack[0].set_ylabel("Share of the tokens it fires on", fontsize=BODY)
        figure.legend(*stack[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False,
                      fontsize=BODY)  # fmt: skip
        _title(figure, title)
    return figure


def _by_strength(value: np.ndarray, true: np.ndarray, share: float | None) -> tuple[np.ndarray, np.ndarray]:
    """By interval of activation: the labelled share of the examples, NaN for none, and how many there are."""
    weight = np.ones(len(value))
    if share is not None and true.any() and not true.all():
        weight = np.where(true, share / true.sum(), (1 - share) / (~true).sum())
    on = value > 0
    top = float(value.max(initial=0.0)) or 1.0
    interval = np.minimum((value[on] / top * INTERVALS).astype(int), INTERVALS - 1)
    both, all_ = (np.bincount(interval, w, INTERVALS) for w in (weight[on] * true[on], weight[on]))
    with np.errstate(invalid="ignore"):
        return both / all_, np.bincount(interval, minlength=INTERVALS)


def _title(figure: Figure, title: str | None) -> None:
    if title is not None:
        figure.suptitle(
            fitted(title, HEADING, 760), fontsize=HEADING, x=0.01, ha="left", color=INK, parse_math=False
        )
