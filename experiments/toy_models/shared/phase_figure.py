"""The figure of a phase diagram: theory, the exact minimum and training side by side, and the claims about them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments.lab.claim import Claim, Result, Source, at_least, at_most, less_than, more_than
from experiments.toy_models.shared.phase_grid import Diagram, Grid, by_the_rule, exact, trained
from superposition import geometry, plot, theory


def run(figure: str, diagram: Diagram, grid: Grid) -> Result:
    """Train, minimise on the training grid and on the fine one, compare."""
    fit, seeds = trained(diagram, grid)
    at = exact(diagram, grid, grid.cells)
    fine = at if grid.exact_cells == grid.cells else exact(diagram, grid, grid.exact_cells)
    arrays = {f"trained_{k}": v for k, v in fit.items()}
    arrays |= {f"minimum_{k}": v for k, v in at.items()} | {f"exact_{k}": v for k, v in fine.items()}
    return Result(grid, claims(figure, diagram, grid, at, fit, fine, seeds), arrays)


def classify(norm: np.ndarray, interference: np.ndarray) -> np.ndarray:
    """0 not represented (norm < 1/2), 1 dedicated (interference < 1/2), 2 in superposition."""
    return np.where(norm < 0.5, 0, np.where(interference < 0.5, 1, 2))


def far_from_boundary(diagram: Diagram, grid: Grid, decades: float) -> np.ndarray:
    """Cells at least `decades` (in log10 of r and p) from every change of the theory's best candidate."""
    fine = 401
    r, p = grid.axes(fine)
    winner = theory.phase_losses(diagram.phases, r[None, :], p[:, None]).argmin(0)
    edge = np.zeros_like(winner, bool)
    edge[:, 1:] |= winner[:, 1:] != winner[:, :-1]
    edge[1:] |= winner[1:] != winner[:-1]
    points = np.argwhere(edge) * (2 / (fine - 1))
    rows = np.arange(grid.cells) * (2 / (grid.cells - 1))
    cells = np.stack(np.meshgrid(rows, rows, indexing="ij"), -1).reshape(-1, 1, 2)
    nearest = np.sqrt(((cells - points[None]) ** 2).sum(-1)).min(1)
    return nearest.reshape(grid.cells, grid.cells) > decades


def claims(
    figure: str,
    diagram: Diagram,
    grid: Grid,
    at: dict[str, np.ndarray],
    fit: dict[str, np.ndarray],
    fine: dict[str, np.ndarray],
    seeds: tuple[np.ndarray, ...],
) -> list[Claim]:
    """The paper's claims against the exact minimum on the training grid (`at`), training, and the fine grid."""
    r, p = grid.axes(grid.cells)
    losses = theory.phase_losses(diagram.phases, r[None, :], p[:, None])
    class_of = classify(
        np.array([np.linalg.norm(phase.W[:, -1]) for phase in diagram.phases]),
        np.array([geometry.interference(phase.W)[-1] for phase in diagram.phases]),
    )
    theoretical = class_of[losses.argmin(0)]
    far = far_from_boundary(diagram, grid, 0.1)
    rule = classify(fit["rule_norm"], fit["rule_interference"])
    best = classify(fit["norm"], fit["interference"])
    minimum = classify(at["norm"], at["interference"])
    agree = float((rule == theoretical)[far].mean())
    low, high = _resampled(seeds, theoretical, far)
    agree_best = float((best == theoretical)[far].mean())
    agree_exact = float((best == minimum).mean())
    shortfall = fit["loss"] / at["loss"] - 1
    good = float((shortfall < 0.01).mean())
    fine_r, fine_p = grid.axes(grid.exact_cells)
    candidates = theory.phase_losses(diagram.phases, fine_r[None, :], fine_p[:, None]).min(0)
    gain = 1 - fine["loss"] / candidates
    where = np.unravel_index(gain.argmax(), gain.shape)
    return [
        Claim(
            figure,
            "training falls into the theory's phases by the paper's rule: drop the worst of 10, average the rest (95 % of "
            "cells over 0.1 decade from a boundary)",
            "the empirical diagram looks like the theoretical one",
            f"{100 * agree:.1f} % of {int(far.sum())} cells (95 % interval over the {grid.seeds} starts, which all cells share, "
            f"{100 * low:.0f} to {100 * high:.0f} %): near r = 1 up to half of the seeds end in a local minimum "
            f"({100 * float(fit['within_1_percent_of_best'].mean()):.0f} % of all models are within 1 % of their cell's best)",
            at_least(agree, 0.95, interval=(low, high)),
            source=Source.PAPER,
        ),
        Claim(
            figure,
            "training falls into the theory's phases when the best of 10 seeds is kept (the same cells)",
            "the empirical diagram looks like the theoretical one",
            f"{100 * agree_best:.1f} % of {int(far.sum())} cells",
            at_least(agree_best, 0.95),
            source=Source.RESTATED,
            restates="training falls into the theory's phases by the paper's rule",
        ),
        Claim(
            figure,
            "best-of-seeds training reaches the exact minimum (within 1 % in at least 99 % of cells) and never passes it",
            "not asked",
            f"{100 * good:.2f} % of {shortfall.size} cells; median shortfall {np.median(shortfall):.1e}, "
            f"from {shortfall.min():.1e} to {shortfall.max():.1e}",
            (at_least(good, 0.99), more_than(shortfall.min(), -1e-5)),
        ),
        Claim(
            figure,
            "best-of-seeds training falls into the exact minimum's phase",
            "not asked",
            f"{100 * agree_exact:.1f} % of {best.size} cells",
            at_least(agree_exact, 0.97),
        ),
        Claim(
            figure,
            f"the best of the paper's {len(diagram.phases)} candidates is the least loss there is",
            "drawn as the theoretical prediction",
            f"weights and biases optimised beat it by up to {100 * gain[where]:.1f} % (at r = {fine_r[where[1]]:.2f}, "
            f"1-S = {fine_p[where[0]]:.2f}), by over 1 % in {100 * (gain > 0.01).mean():.0f} % of cells",
            less_than(gain.max(), 1e-3),
            source=Source.READING,
        ),
        _boundary_claim(figure, diagram, grid, fine),
    ]


def _resampled(
    seeds: tuple[np.ndarray, ...], theoretical: np.ndarray, far: np.ndarray, draws: int = 400
) -> tuple[float, float]:
    """95 % interval of the agreement by the paper's rule, the starts drawn again with replacement."""
    rng, kept = np.random.default_rng(0), [values[far] for values in seeds]
    count = kept[0].shape[-1]
    agreement = []
    for _ in range(draws):
        drawn = rng.integers(count, size=count)
        rule = classify(*by_the_rule(*(values[:, drawn] for values in kept)))
        agreement.append((rule == theoretical[far]).mean())
    low, high = np.quantile(agreement, (0.025, 0.975))
    return float(low), float(high)


def _boundary_claim(figure: str, diagram: Diagram, grid: Grid, fine: dict[str, np.ndarray]) -> Claim:
    r, p = grid.axes(grid.exact_cells)
    column = int(np.abs(np.log(r / 0.98)).argmin())  # just left of r = 1, where the theory's boundary peaks
    superposed = classify(fine["norm"], fine["interference"])[:, column] == 2
    highest = p[superposed].max() if superposed.any() else 0.0
    predicted = float(diagram.boundary(r[column]))
    return Claim(
        figure,
        f"at equal importance (r = {r[column]:.2f}) superposition ends at the candidates' boundary",
        f"1-S = {predicted:.3f} (4/7 at r = 1)",
        f"exact minimum: superposition up to 1-S = {highest:.3f}",
        at_most(highest, 1.02 * predicted),
        source=Source.READING,
    )


def draw(diagram: Diagram, result: Any, legend: Sequence[plot.Phase]) -> Figure:
    """The five panels; the exact minimum carries the theory's boundary as a thin line."""
    grid: Grid = result.config
    arrays = result.arrays
    r, p = grid.axes(grid.cells)
    fine = grid.axes(grid.exact_cells)
    winner = theory.phase_losses(diagram.phases, fine[0][None, :], fine[1][:, None]).argmin(0)
    return plot.phase_diagram(
        [
            plot.Theory("Theory (the paper's)", winner, legend, fine),
            plot.Measured("Exact minimum", arrays["exact_norm"], arrays["exact_interference"], winner, fine),
            plot.Measured(
                "Trained, paper's rule", arrays["trained_rule_norm"], arrays["trained_rule_interference"]
            ),
            plot.Measured("Trained, best of seeds", arrays["trained_norm"], arrays["trained_interference"]),
            plot.Shortfall("Where training falls short", arrays["trained_loss"] / arrays["minimum_loss"] - 1),
        ],
        r,
        p,
    )


def describe(diagram: Diagram, result: Any) -> str:
    """Alt text made from the numbers."""
    share = [
        float((classify(result.arrays["exact_norm"], result.arrays["exact_interference"]) == k).mean())
        for k in range(3)
    ]
    return (
        f"Phase diagrams of an extra feature, n={diagram.n_features}, m={diagram.n_hidden}: relative importance 0.1 to 10 "
        f"across, density 1 (top) to 0.01 down. At the exact minimum it is not represented in {100 * share[0]:.0f} % of "
        f"cells (grey, top left), has its own dimension in {100 * share[1]:.0f} % (blue, top right) and is in superposition "
        f"in {100 * share[2]:.0f} % (red, below). Theory and training look alike; the last panel maps where training falls short."
    )
