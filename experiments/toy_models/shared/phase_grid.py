"""Phase diagrams cell by cell: the exact minimum over weights and biases, and models trained on samples.

Columns of a grid are the relative importance r of the extra (last) feature, rows the density p = 1 - S.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from experiments.lab.settings import Count, Positive
from superposition import AdamW, ReLUOutput, ToyParams, ToyRun, geometry, theory
from superposition._internal import validate
from superposition.training import sweep


@dataclass(frozen=True)
class Grid:
    """Size of the diagrams, seeds a cell, and training; defaults are the full-quality ones."""

    cells: Count = 50
    exact_cells: Count = 100
    seeds: Count = 10
    steps: Count = 2_000
    batch_size: Count = 128
    learning_rate: Positive = 2e-2
    restarts: Count = 24
    rounds: Count = 4
    coarsening: Count = 4

    def __post_init__(self) -> None:
        validate.integer("cells", self.cells, 2)
        validate.integer("exact_cells", self.exact_cells, 2)

    def axes(self, cells: int) -> tuple[np.ndarray, np.ndarray]:
        """R from 0.1 to 10 and p from 1 to 0.01, evenly in logarithm."""
        return np.geomspace(0.1, 10, cells), np.geomspace(1, 0.01, cells)


@dataclass(frozen=True)
class Diagram:
    """A model of a phase diagram: its size, the paper's candidates, where their best changes, its activation."""

    n_features: int
    n_hidden: int
    phases: Sequence[theory.Phase]
    boundary: Callable[[Any], np.ndarray]
    activation: str = "relu"

    def importance(self, r: np.ndarray) -> np.ndarray:
        """(1, ..., 1, r) for every r, (r, n_features)."""
        return np.concatenate([np.ones((len(r), self.n_features - 1)), r[:, None]], 1)


def exact(diagram: Diagram, grid: Grid, cells: int) -> dict[str, np.ndarray]:
    """The exact minimum on a cells x cells grid: loss, norm and interference of the extra feature, (p, r)."""
    best, improved = minimum(diagram, grid, cells)
    return {
        "loss": best.loss.reshape(cells, cells),
        "norm": geometry.norms(best.W)[:, -1].reshape(cells, cells),
        "interference": geometry.interference(best.W)[:, -1].reshape(cells, cells),
        "improved_by_neighbours": np.array(improved),
    }


def minimum(diagram: Diagram, grid: Grid, cells: int) -> tuple[theory.Minimum, list[int]]:
    """The exact minimum of every cell, rows of densities; how many cells each round of neighbours improved.

    Random restarts on a grid `coarsening` times coarser; then every cell polishes the minima of the coarse cells
    about it, and after that those of its four neighbours, until none improves.
    """
    key = jax.random.key(0)
    coarse = max(2, -(-cells // grid.coarsening))
    r, p = grid.axes(coarse)
    best = _minimum(diagram, r, p, key=key, restarts=grid.restarts, polish=2)
    r, p = grid.axes(cells)
    nearest = np.arange(cells) * (coarse - 1) / (cells - 1)
    corners = [np.floor(nearest).astype(int), np.ceil(nearest).astype(int)]
    about = [_flat(_rows(best, coarse, i, j), cells) for i in corners for j in corners]
    best = _minimum(diagram, r, p, key=key, restarts=0, starts=_stack(about), newton_steps=16)
    improved = []
    for _ in range(grid.rounds):
        steps = np.clip(np.arange(cells)[None] + np.array([[0], [1], [-1]]), 0, cells - 1)
        moves = [(steps[0], steps[1]), (steps[0], steps[2]), (steps[1], steps[0]), (steps[2], steps[0])]
        about = [_flat(_rows(best, cells, i, j), cells) for i, j in moves]
        again = _minimum(diagram, r, p, key=key, restarts=0, starts=_stack(about), newton_steps=4)
        better = again.loss < best.loss * (1 - 1e-6)
        best = theory.Minimum(
            *(
                np.where(better.reshape(-1, *(1,) * (new.ndim - 1)), new, old)
                for new, old in zip(again, best, strict=True)
            )
        )
        improved.append(int(better.sum()))
        if not improved[-1]:
            break
    return best, improved


def _minimum(diagram: Diagram, r: np.ndarray, p: np.ndarray, **options: Any) -> theory.Minimum:
    importance, density = np.tile(diagram.importance(r), (len(p), 1)), np.repeat(p, len(r))
    return theory.exact_minimum(diagram.activation, importance, density, diagram.n_hidden, **options)


def _rows(found: theory.Minimum, cells: int, i: np.ndarray, j: np.ndarray) -> ToyParams:
    """Parameters of cells (i, j) of a found grid, as a grid."""
    return ToyParams(*(a.reshape(cells, cells, *a.shape[1:])[i][:, j] for a in (found.W, found.b)))


def _flat(params: ToyParams, cells: int) -> ToyParams:
    return ToyParams(*(a.reshape(cells * cells, *a.shape[2:]) for a in params))


def _stack(starts: list[ToyParams]) -> ToyParams:
    """Several starts a cell: (cell, start, ...)."""
    parts: Any = zip(*starts, strict=True)
    return ToyParams(*(np.stack(part, 1) for part in parts))  # type: ignore[arg-type]


def trained(diagram: Diagram, grid: Grid) -> tuple[dict[str, np.ndarray], tuple[np.ndarray, ...]]:
    """Models trained on samples, `seeds` a cell: by the paper's rule, and the best of them, (p, r).

    Beside them loss, norm and interference of every seed, (p, r, seed), of which all cells share the starts.

    The paper trains 10 models a cell, drops the one with the highest loss and averages the others. W and
    -W are the same model, so norms and interference are averaged, not W.
    """
    r, p = grid.axes(grid.cells)
    run = ToyRun(
        ReLUOutput(diagram.n_features, diagram.n_hidden),
        optimizer=AdamW(grid.learning_rate, weight_decay=0.0, schedule="cosine"),
        steps=grid.steps,
        batch_size=grid.batch_size,
    )
    axes: dict[str, Any] = {"density": p, "importance": diagram.importance(r), "seed": range(grid.seeds)}
    data = sweep(run, axes)
    W, loss = data["W"].values, data["loss"].values
    norm, interference = geometry.norms(W)[..., -1], geometry.interference(W)[..., -1]
    best = loss.argmin(-1)[..., None]
    rule_norm, rule_interference = by_the_rule(loss, norm, interference)
    return {
        "loss": np.take_along_axis(loss, best, -1)[..., 0],
        "norm": np.take_along_axis(norm, best, -1)[..., 0],
        "interference": np.take_along_axis(interference, best, -1)[..., 0],
        "rule_norm": rule_norm,
        "rule_interference": rule_interference,
        "within_1_percent_of_best": (loss < 1.01 * loss.min(-1, keepdims=True)).mean(-1),
    }, (loss, norm, interference)


def by_the_rule(
    loss: np.ndarray, norm: np.ndarray, interference: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Norm and interference averaged over the last axis, seeds, without the one of the highest loss."""
    kept = np.argsort(loss, -1)[..., : max(1, loss.shape[-1] - 1)]
    return tuple(np.take_along_axis(values, kept, -1).mean(-1) for values in (norm, interference))  # type: ignore[return-value]


DIAGRAM = Diagram(2, 1, theory.PHASES_2_1, theory.boundary_2_1)
"""The paper's smaller diagram: one extra feature beside one other, in one dimension."""
