"""A picture for each of the four questions of an SAE's features: meaning, universality, splitting, intervention."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

from experiments.lab.claim import Result
from experiments.lab.curves import COLOURS, MARKERS, quiet
from experiments.language_model.four_questions.config import GROUPS
from experiments.language_model.four_questions.found_again import LEVELS, SAME
from experiments.language_model.four_questions.tree_drawing import Tree, feature_tree
from superposition.plot.style import DPI, INK, MUTED, Figure, fitted, grid, styled

TITLE, WORDS, SMALL = 14.0, 11.0, 9.5


class Detection(NamedTuple):
    """Of the best neuron (kinds,) and of the best latents: f1 (widths, seeds, kinds), the rest of the widest SAE."""

    kinds: Sequence[str]
    neuron_f1: np.ndarray
    latent_f1: np.ndarray
    neuron: tuple[np.ndarray, np.ndarray]
    """Sensitivity and specificity, (kinds,)."""
    latent: tuple[np.ndarray, np.ndarray]


class Dose(NamedTuple):
    """Log-probabilities (latents, strengths) of what latents promote and of random other tokens."""

    strengths: Sequence[float]
    promoted: np.ndarray
    others: np.ndarray


def draw(result: Result) -> Figure:
    """The first question; `more` has the others."""
    return _pictures(result)[0]


def more(result: Result) -> list[tuple[Figure, str]]:
    """Questions 2 to 4, a picture each, with their alt texts."""
    return list(zip(_pictures(result)[1:], _alts(result)[1:], strict=True))


def _pictures(result: Result) -> list[Figure]:
    config, a, n = result.config, result.arrays, result.numbers
    sensitivity, specificity = (a[f"latent_{m}"][-1].mean(0) for m in ("recall", "specificity"))
    detection = Detection(n["kinds"], a["neuron_f1"], a["latent_f1"], (a["neuron_recall"], a["neuron_specificity"]),
                          (sensitivity, specificity))  # fmt: skip
    again = {k: (np.asarray(v["shares"])[:, SAME], float(v["chance"][SAME])) for k, v in n["again"].items()}
    drawn = n["tree"]
    tree = Tree(
        config.widths, drawn["labels"], drawn["groups"], drawn["parents"], drawn["rates"], drawn["roots"]
    )
    correlations = {"latent\nup": a["steer_up"], "latent\ndown": a["steer_down"], "neuron\nup": a["steer_neuron"],
                    "random\ndirection": a["steer_random"]}  # fmt: skip
    dose = Dose(config.strengths, *(np.concatenate(a[f"dose_{m}"]) for m in ("promoted", "others")))
    return four_questions(
        detection, again, LEVELS[SAME], tree, list(GROUPS), correlations, dose, _notes(result)
    )


def _notes(result: Result) -> list[str]:
    """What a panel does not draw, a line each."""
    a, widths = result.arrays, result.config.widths
    pure = ", ".join(
        f"{100 * p.mean():.0f} % of {w} latents" for w, p in zip(widths, a["latent_pure"], strict=True)
    )
    born = ", ".join(
        f"{100 * d.mean():.0f} % of {w}" for w, d in zip(widths[1:], a["tree_descended"], strict=False)
    )
    whole = ", ".join(f"{100 * c.mean():.0f} %" for c in a["tree_covered"][:-1])
    return [
        f"On one kind of text alone fire {100 * float(a['neuron_pure']):.0f} % of the neurons, "
        f"{100 * float(a['sparse_pure']):.0f} % where as sparse as latents;\n{pure}",
        "Where another unit correlates with it on the same tokens",
        f"With a parent in the width before: {born} (chance {100 * a['tree_chance'].max():.0f} %).\nWhere several have one "
        f"parent, one of them fires on {whole} of its occasions",
        f"On unrelated text. Own kind of text raised above {100 * a['meant_latent'].mean():.0f} % of the other kinds (neurons "
        f"{100 * a['meant_neuron'].mean():.0f} %, chance 50 %)",
    ]


def alt(result: Result) -> str:
    """Alt text from the numbers."""
    return _alts(result)[0]


def _alts(result: Result) -> list[str]:
    """One a question."""
    a, n = result.arrays, result.numbers
    f1 = "; ".join(
        f"{k} {x:.2f}, {y:.2f}"
        for k, x, y in zip(n["kinds"], a["neuron_f1"], a["latent_f1"][-1].mean(0), strict=True)
    )
    again = "; ".join(f"{k} {np.mean(np.asarray(v['shares'])[:, SAME]):.2f}" for k, v in n["again"].items())
    return [
        f"F1 of the best neuron and the best latent of the widest SAE: {f1}.",
        f"Share found again: {again}.",
        f"A tree of latents over widths {result.config.widths}: {100 * a['tree_descended'][-1].mean():.0f} % of the "
        "widest descend from the narrowest.",
        f"Steering: correlation with the logit weights {a['steer_up'].mean():.2f}, dose-response monotone for "
        f"{100 * a['dose_monotone'].mean():.0f} % of the latents.",
    ]


def four_questions(
    detection: Detection,
    again: Mapping[str, tuple[np.ndarray, float]],
    level: float,
    tree: Tree,
    groups: Sequence[str],
    correlations: Mapping[str, np.ndarray],
    dose: Dose,
    notes: Sequence[str],
) -> list[Figure]:
    """A picture a question.

    again: comparison -> (share of units found again of each pair, the share by chance), at correlation `level`;
    correlations: what was steered -> realised with predicted change of the logits, one a unit; notes: a line under each title.
    """
    with styled():
        first, second = _page(11.5, 7.2), _page(11, 6.4)
        _detect_panel(first.subplots(), detection, tree.widths, notes[0])
        _again(second.subplots(), again, level, notes[1])
        third, fourth = _page(12, 7.6), _page(12, 7.2)
        colours = {i: (COLOURS[0], COLOURS[2], COLOURS[1], COLOURS[3])[i % 4] for i in range(len(groups))}
        axes = third.subplots()
        feature_tree(axes, tree, colours, most=3, size=WORDS)
        _title(axes, "3  Split as the dictionary grows, coalesce as it shrinks?", notes[2])
        axes.legend(handles=[Line2D([], [], color=c, linewidth=3, label=groups[i]) for i, c in colours.items()],
                    loc="upper left", bbox_to_anchor=(0, -0.005), ncols=4, frameon=False, fontsize=SMALL)  # fmt: skip
        left, right = fourth.subplots(1, 2, width_ratios=(0.8, 1))
        _predicted(left, correlations, notes[3])
        _dose(right, dose)
    return [first, second, third, fourth]


def _page(width: float, height: float) -> Figure:
    spaced = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.14, wspace=0.02, hspace=0.03)
    return Figure(figsize=(width, height), dpi=DPI, facecolor="white", layout=spaced)


def _title(axes: Axes, text: str, note: str) -> None:
    lines = note.count("\n")
    axes.set_title(text, fontsize=TITLE, loc="left", color=INK, pad=28 + 13 * lines, fontweight="bold")
    line = axes.annotate(note, (0, 1), (0, 12), xycoords="axes fraction", textcoords="offset points", fontsize=SMALL,
                         color=MUTED)  # fmt: skip
    line.set_in_layout(False)


def _detect_panel(axes: Axes, d: Detection, widths: Sequence[int], note: str) -> None:
    """F1 on a line a kind; sensitivity and specificity of both in columns beside it."""
    n = len(d.kinds)
    f1, neuron = grid(d.latent_f1, "latent_f1", (len(widths), None, n)), grid(d.neuron_f1, "neuron_f1", (n,))
    y = np.arange(n)
    for i, (width, seeds) in enumerate(zip(widths, f1, strict=True)):
        at = y + 0.2 * (i - (len(widths) - 1) / 2)
        axes.hlines(at, seeds.min(0), seeds.max(0), color=COLOURS[i], linewidth=2, zorder=2)
        axes.plot(
            seeds.mean(0),
            at,
            MARKERS[i],
            color=COLOURS[i],
            markersize=6,
            label=f"best of {width} latents (mean, range)",
        )
    axes.plot(
        neuron,
        y,
        "|",
        color="#000000",
        markersize=17,
        markeredgewidth=2.6,
        label="best of 512 neurons",
        zorder=4,
    )
    axes.set(xlim=(0, 1.62), ylim=(n - 0.4, -1.5), xticks=[0, 0.25, 0.5, 0.75, 1], yticks=y)
    axes.set_yticklabels([fitted(k, WORDS, 130) for k in d.kinds])
    axes.tick_params(labelsize=WORDS, length=0)
    axes.vlines([0, 0.25, 0.5, 0.75, 1], -0.6, n - 0.4, color="#e4e4e4", linewidth=0.8, zorder=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("F1 as a detector, on text it was not chosen on", fontsize=WORDS, loc="left")
    columns = (
        (1.12, "neuron\nsens.  spec.", d.neuron),
        (1.41, f"of {widths[-1]} latents\nsens.  spec.", d.latent),
    )
    for x, name, (sensitivity, specificity) in columns:
        axes.text(
            x + 0.07, -0.75, name, fontsize=SMALL, ha="center", va="bottom", color=MUTED, linespacing=1.3
        )
        for row, (a, b) in enumerate(zip(sensitivity, specificity, strict=True)):
            axes.text(x + 0.05, row, f"{a:.2f}", fontsize=WORDS, ha="right", va="center")
            axes.text(x + 0.10, row, f"{b:.2f}", fontsize=WORDS, ha="left", va="center", color=MUTED)
    axes.legend(loc="upper left", bbox_to_anchor=(-0.01, -0.1), ncols=2, frameon=False, fontsize=SMALL,
                columnspacing=1.2, handletextpad=0.4)  # fmt: skip
    _title(axes, "1  Meaningful and monosemantic?", note)


def _again(axes: Axes, again: Mapping[str, tuple[np.ndarray, float]], level: float, note: str) -> None:
    """Share of units found again on a line a comparison, every pair, and chance."""
    y = np.arange(len(again))
    for row, (shares, chance) in enumerate(again.values()):
        shares = np.asarray(shares)
        axes.barh(row, shares.mean(), 0.58, color="#cfe3f1", zorder=1)
        axes.plot(shares, np.full(len(shares), row), "o", color=COLOURS[0], markersize=6.5, zorder=3)
        axes.plot(chance, row, "D", markerfacecolor="white", color=COLOURS[1], markersize=6.5, zorder=4)
        axes.text(
            max(shares.max(), chance) + 0.02, row, f"{100 * shares.mean():.0f} %", va="center", fontsize=WORDS
        )
    axes.set(ylim=(len(again) - 0.4, -0.6), yticks=y, xlim=(-0.01, 1))
    axes.set_yticklabels(list(again))
    quiet(axes, "x")
    axes.tick_params(labelsize=WORDS, length=0)
    axes.set_xlabel(
        f"share of units found again (correlation {level:g} or more on the same tokens)",
        fontsize=WORDS,
        loc="right",
    )
    handles = [Line2D([], [], color=COLOURS[0], marker="o", linestyle="", label="one pair"),
               Line2D([], [], color=COLOURS[1], marker="D", markerfacecolor="white", linestyle="",
                      label="by chance: tokens shuffled")]  # fmt: skip
    axes.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(-0.01, -0.1),
        frameon=False,
        fontsize=SMALL,
        ncols=2,
    )
    _title(axes, "2  Found again?", note)


def _predicted(axes: Axes, correlations: Mapping[str, np.ndarray], note: str) -> None:
    """Correlations of predicted with realised changes, a column a group, a dot a unit."""
    for i, values in enumerate(correlations.values()):
        own = np.sort(np.asarray(values).ravel())
        spread = 0.3 * np.sin(2.4 * np.arange(len(own)))  # apart, the same every time
        axes.plot(
            i + spread, own, MARKERS[i], color=COLOURS[i], markersize=5.5, alpha=0.75, markeredgewidth=0
        )
        axes.hlines(np.median(own), i - 0.4, i + 0.4, color=INK, linewidth=2)
    low = min(float(np.min(values)) for values in correlations.values())
    axes.set(ylim=(min(low, 0) - 0.05, 1.04), xlim=(-0.6, len(correlations) - 0.4))
    axes.set_xticks(range(len(correlations)), list(correlations), fontsize=SMALL)
    quiet(axes)
    axes.tick_params(axis="y", labelsize=WORDS)
    axes.tick_params(axis="x", labelsize=SMALL, length=0)
    axes.set_ylabel("logits: realised with predicted change, correlation", fontsize=WORDS)
    _title(axes, "4  Predictable intervention?", note)


def _dose(axes: Axes, dose: Dose) -> None:
    """Change of the log-probability against strength: every latent, and the medians."""
    zero = list(dose.strengths).index(0)
    changes = [np.asarray(v) - np.asarray(v)[:, zero : zero + 1] for v in (dose.promoted, dose.others)]
    for i, (change, name) in enumerate(
        zip(changes, ("the 10 tokens it promotes", "100 random other tokens"), strict=True)
    ):
        axes.plot(dose.strengths, change.T, color=COLOURS[i], linewidth=0.9, alpha=0.35)
        axes.plot(
            dose.strengths,
            np.median(change, 0),
            color=COLOURS[i],
            linewidth=3,
            marker=MARKERS[i],
            markersize=6.5,
            label=name,
        )
    axes.axhline(0, color=MUTED, linewidth=0.8)
    quiet(axes)
    axes.tick_params(labelsize=WORDS)
    axes.set_xticks(list(dose.strengths), [f"{s:+g}".replace("-", "−") if s else "0" for s in dose.strengths])
    axes.set_xlabel("steered by, in largest activations", fontsize=WORDS)
    axes.set_ylabel("log-probability, change in nats (a line a latent)", fontsize=WORDS)
    axes.legend(loc="upper left", frameon=False, fontsize=SMALL)
