"""The phase diagram of one extra feature under other activations: n=2, m=1, x' = f(W^T W x + b).

Elhage et al. 2022, K. Sachan's comment (Redwood Research), which gives no figure. Exact minima over weights
and biases, nothing trained: the expected loss is integrated for every activation and descended from random
starts, as in phase_diagram. Importance 0.1 to 1 is computed, the rest mirrored (exchanging the features).
Classes are the paper's: represented from norm 1/2 on, in superposition from interference 1/2 on.

Command:  python -m experiments phase_by_activation
Time:     one minute on two cores
Expect:   no superposition with tanh and the identity; the rest of the diagram differs from one activation to the next
"""

from dataclasses import replace

import numpy as np

from experiments.lab.claim import Result
from experiments.toy_models.phase_by_activation.claims import claims
from experiments.toy_models.phase_by_activation.config import Config
from experiments.toy_models.phase_by_activation.draw import alt, draw
from experiments.toy_models.shared import phase_grid
from experiments.toy_models.shared.phase_grid import DIAGRAM
from superposition import geometry

__all__ = ["Config", "alt", "draw", "run"]


class _Half(phase_grid.Grid):
    """The half of the grid with r < 1."""

    def axes(self, cells: int) -> tuple[np.ndarray, np.ndarray]:
        r, p = np.geomspace(0.1, 10, 2 * cells), np.geomspace(1, 0.01, cells)
        return r[:cells], p


def run(config: Config) -> Result:
    """Minimise for every activation, mirror, classify."""
    half = _Half(restarts=config.restarts, coarsening=config.coarsening, rounds=config.rounds)
    cells = config.cells
    r, p = half.axes(cells)
    found: dict[str, list[np.ndarray]] = {"W": [], "b": [], "loss": []}
    last = 0
    for activation in config.activations:
        best, improved = phase_grid.minimum(replace(DIAGRAM, activation=activation), half, cells)
        last = max(last, improved[-1])
        W, b = best.W.reshape(cells, cells, 2), best.b.reshape(cells, cells, 2)
        loss = best.loss.reshape(cells, cells)
        # Exchanging the features turns importances (1, r) into r (1, 1 / r).
        found["W"].append(np.concatenate([W, W[:, ::-1, ::-1]], 1))
        found["b"].append(np.concatenate([b, b[:, ::-1, ::-1]], 1))
        found["loss"].append(np.concatenate([loss, (loss / r)[:, ::-1]], 1))
    arrays = {k: np.stack(v) for k, v in found.items()}
    arrays |= {"relative_importance": np.concatenate([r, 1 / r[::-1]]), "density": p}
    W = arrays["W"][..., None, :]
    arrays |= {"norm": geometry.norms(W)[..., 1], "interference": geometry.interference(W)[..., 1]}
    return Result(config, claims(config, arrays, last), arrays, numbers={"improved_by_last_neighbours": last})
