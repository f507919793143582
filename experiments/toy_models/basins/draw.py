"""Where training ends, over thousands of seeds: shares of the end states, and what the best of several seeds buys."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes

from experiments.lab.claim import Result
from experiments.toy_models.basins.config import Config
from superposition.errors import ConfigError
from superposition.plot.style import INK, MUTED, Figure, fitted, grid, styled
from superposition.theory.best_of import binomial_interval

# Okabe and Ito's palette, and a grey for whatever else there is.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")
OTHER = "#d5d5d5"
LINES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#000000")


class Shares(NamedTuple):
    """Share of every end state at every density: density (d,), share (d, state), one name a state."""

    title: str
    density: np.ndarray
    share: np.ndarray
    names: Sequence[str]


class Frequency(NamedTuple):
    """How often one thing happens at every density, with its interval: density, share, low, high, all (d,)."""

    name: str
    density: np.ndarray
    share: np.ndarray
    low: np.ndarray
    high: np.ndarray


class BestOf(NamedTuple):
    """Loss above the best known of the best of k models: label -> excess (k,), and k (k,)."""

    k: np.ndarray
    excess: Mapping[str, np.ndarray]


def draw(result: Result) -> Figure:
    """End states over density, how often the best is found, the best of k, and other sizes."""
    config: Config = result.config
    a = result.arrays
    panels = []
    for title, rows in result.numbers["shares"].items():
        names = list(dict.fromkeys(name for row in rows for name in row))
        at = a["density"] if title == "n = 5, m = 2" else np.array(config.other_densities)
        panels.append(
            Shares(title, at, np.array([[row.get(name, 0.0) for name in names] for row in rows]), names)
        )
    curves = []
    for name, share in (("pentagon", a["pentagon"]), ("within 1 % of the best known", a["good"])):
        low, high = binomial_interval(np.rint(share * config.seeds).astype(int), config.seeds)
        curves.append(Frequency(name, a["density"], share, low, high))
    chosen = np.unique(np.linspace(1, len(a["density"]) - 1, 5).astype(int))
    of = BestOf(a["k"], {f"{a['density'][d]:.2g}": a["excess"][d] for d in chosen})
    return basins(panels[0], curves, float(a["crossing"]), of, panels[1:])


def alt(result: Result) -> str:
    """Alt text from the numbers."""
    a = result.arrays
    tenth = int(np.abs(np.log(a["density"] / 0.1)).argmin())
    return (
        f"Share of {result.config.seeds} seeds a density by the shape they end in, n = 5, m = 2, from 1-S = 1 to "
        f"{a['density'][-1]:.2g}: at {a['density'][tenth]:.2g}, {100 * a['pentagon'][tenth]:.0f} % are pentagons. The pentagon "
        f"is the best state below 1-S = {float(a['crossing']):.3f}. Least frequent success (within 1 % of the best loss known): "
        f"{100 * a['good'].min():.0f} % of seeds. Also the mean loss of the best of k seeds, and end states of other sizes."
    )


def basins(
    main: Shares, frequencies: Sequence[Frequency], best: float, of: BestOf, others: Sequence[Shares]
) -> Figure:
    """End states over density, the frequencies with their intervals, best of k; a row of bars for other models.

    `best`: the density below which the first frequency's state is the best one; colours are a state's everywhere.
    """
    if not frequencies or not others:
        raise ConfigError("give at least one frequency and one other model; got none.")
    colour = _colours([main, *others])
    with styled():
        figure = Figure(figsize=(13.2, 8.2), facecolor="white")
        outer = figure.add_gridspec(2, 1, left=0.06, right=0.985, top=0.95, bottom=0.12, hspace=0.34,
                                    height_ratios=(1.15, 1))  # fmt: skip
        top = outer[0].subgridspec(1, 3, wspace=0.27)
        row = outer[1].subgridspec(1, len(others), wspace=0.16)
        _areas(figure.add_subplot(top[0]), main, colour)
        _frequencies(figure.add_subplot(top[1]), frequencies, best, main.title)
        _best_of(figure.add_subplot(top[2]), of, main.title)
        for k, shares in enumerate(others):
            _bars(figure.add_subplot(row[k]), shares, colour, first=k == 0)
        shown = [n for n in colour if n != "other"] + ["other"]
        handles = [
            figure.axes[0].fill_between([], [], color=colour[n], linewidth=0, label=fitted(n, 9, 150))
            for n in shown
        ]
        figure.legend(
            handles=handles, loc="lower center", ncols=min(8, len(handles)), frameon=False, columnspacing=1.4
        )
    return figure


def _colours(panels: Sequence[Shares]) -> dict[str, str]:
    """A colour for each of the states that are most frequent over all panels; grey for the rest."""
    total: dict[str, float] = {}
    for shares in panels:
        share = grid(shares.share, "share", (len(shares.density), len(shares.names)))
        for name, value in zip(shares.names, share.mean(0), strict=True):
            total[name] = total.get(name, 0.0) + float(value)
    ranked = sorted((n for n in total if n != "other"), key=lambda n: (-total[n], n))
    return dict(zip(ranked, COLOURS, strict=False)) | {"other": OTHER}


def _merged(shares: Shares, colour: Mapping[str, str]) -> tuple[list[str], np.ndarray]:
    """States with a colour, in the order of the legend, the rest added up."""
    share = np.asarray(shares.share, float)
    names = [n for n in colour if n != "other" and n in shares.names]
    columns = [share[:, list(shares.names).index(n)] for n in names]
    return [*names, "other"], np.stack([*columns, 1 - sum(columns, np.zeros(len(share)))], 1)


def _title(axes: Axes, text: str) -> None:
    axes.set_title(fitted(text, 10.5, 330, "bold"), fontsize=10.5, weight="bold", loc="left", pad=8)


def _by_density(axes: Axes, density: np.ndarray) -> None:
    axes.set(
        xscale="log", xlim=(density.max(), density.min()), xlabel="Density  $1-S$  (sparser to the right)"
    )
    ticks = [t for t in (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001) if density.min() <= t <= density.max()]
    axes.set_xticks(ticks, [f"{t:g}" for t in ticks])
    axes.minorticks_off()
    axes.spines[["top", "right"]].set_visible(False)


def _areas(axes: Axes, shares: Shares, colour: Mapping[str, str]) -> None:
    names, share = _merged(shares, colour)
    density = np.asarray(shares.density, float)
    axes.stackplot(density, share.T, colors=[colour[n] for n in names], linewidth=0.4, edgecolor="white")
    _by_density(axes, density)
    axes.set(ylim=(0, 1), ylabel="Share of seeds")
    _title(axes, f"{shares.title}: where seeds end")


def _frequencies(axes: Axes, frequencies: Sequence[Frequency], best: float, title: str) -> None:
    for k, f in enumerate(frequencies):
        axes.fill_between(f.density, f.low, f.high, color=LINES[k], alpha=0.22, linewidth=0, zorder=2)
        axes.plot(
            f.density,
            f.share,
            "o-",
            color=LINES[k],
            linewidth=1.6,
            markersize=4,
            label=fitted(f.name, 9, 220),
            zorder=3,
        )
    _by_density(axes, np.asarray(frequencies[0].density, float))
    axes.set(ylim=(-0.02, 1.04), ylabel="Share of seeds, 95 % interval")
    words = f"{fitted(frequencies[0].name, 9, 120)} is best below {best:.3f}"
    axes.axvline(best, color=INK, linewidth=1, dashes=(4, 3), zorder=1, label=words)
    axes.legend(frameon=False, loc="lower right")
    _title(axes, f"{title}: how often")


def _best_of(axes: Axes, of: BestOf, title: str) -> None:
    for k, (name, excess) in enumerate(of.excess.items()):
        axes.plot(
            of.k,
            np.maximum(excess, 1e-9),
            color=LINES[k % len(LINES)],
            linewidth=1.7,
            label=fitted(name, 9, 120),
        )
    axes.set(xscale="log", yscale="log", xlim=(of.k[0], of.k[-1]), xlabel="Seeds trained, the best kept")
    axes.set_ylabel("Mean loss above the best known")
    low = max(1e-5, min(float(e.min()) for e in of.excess.values()))
    axes.set_ylim(low * 0.7, 2 * max(float(e.max()) for e in of.excess.values()))
    axes.axhline(0.01, color=MUTED, linewidth=0.8, dashes=(4, 3))
    marks = [1, 2, 5, 10, 20, 50, 100]
    axes.set_xticks([t for t in marks if t <= of.k[-1]], [str(t) for t in marks if t <= of.k[-1]])
    levels = [t for t in (1e-4, 1e-3, 1e-2, 1e-1, 1.0) if low * 0.7 <= t]
    axes.set_yticks(levels, [f"{100 * t:g} %" for t in levels])
    axes.minorticks_off()
    axes.legend(title="$1-S$", frameon=False, loc="upper right")
    axes.spines[["top", "right"]].set_visible(False)
    _title(axes, f"{title}: best of k seeds")


def _bars(axes: Axes, shares: Shares, colour: Mapping[str, str], *, first: bool) -> None:
    names, share = _merged(shares, colour)
    place = np.arange(len(share))
    base = np.zeros(len(share))
    for name, values in zip(names, share.T, strict=True):
        axes.bar(place, values, 0.74, bottom=base, color=colour[name], linewidth=0)
        for x, value, bottom in zip(place, values, base, strict=True):
            if value > 0.06:
                dark = colour[name] in ("#0072B2", "#009E73", "#D55E00")
                axes.text(float(x), bottom + value / 2, f"{100 * value:.0f}", ha="center", va="center", fontsize=8.5,
                          color="white" if dark else "#222222")  # fmt: skip
        base = base + values
    axes.set_xticks(place, [f"{d:g}" for d in shares.density])
    axes.set(ylim=(0, 1), xlabel="Density  $1-S$")
    if first:
        axes.set_ylabel("Share of seeds (numbers: %)")
    axes.spines[["top", "right"]].set_visible(False)
    _title(axes, shares.title)
