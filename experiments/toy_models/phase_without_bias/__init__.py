"""The phase diagram solved without a bias: n=2, m=1, importance 0.1 to 10, density 1 to 0.01.

Elhage et al. 2022, T. McGrath's comment: the expected loss of relu(W^T W x), and its minima, in closed form.
Nothing is trained: the minimum without bias is a root of a polynomial (`superposition.theory.no_bias`), the
minimum with bias the best of descents on the exact loss, as in phase_diagram. A feature counts as
represented from norm 1/2 on; two that are represented share the dimension as an antipodal pair (weights of
opposite sign) or as one confused feature (weights of one sign).

Command:  python -m experiments phase_without_bias
Time:     half a minute on two cores
Expect:   confused above density 4 (10 - sqrt 14) / 43 = 0.582 at equal importance; a jump all along the border
"""

import numpy as np

from experiments.lab.claim import Result
from experiments.toy_models.phase_without_bias.claims import (
    basins_claim,
    bias_claims,
    blur_claim,
    border_claims,
    confused_claims,
    solved_claim,
    two_minima_claim,
)
from experiments.toy_models.phase_without_bias.config import Config
from experiments.toy_models.phase_without_bias.draw import alt, draw
from experiments.toy_models.shared import phase_grid
from experiments.toy_models.shared.phase_grid import DIAGRAM
from superposition.theory import no_bias

__all__ = ["Config", "alt", "draw", "run"]


def run(config: Config) -> Result:
    """Solve both models on the grid, follow the border, and map basins beside it."""
    grid = phase_grid.Grid(restarts=config.restarts)
    r, p = grid.axes(config.cells)
    solved = no_bias.no_bias_minimum(r[None, :], p[:, None])
    best, _ = phase_grid.minimum(DIAGRAM, grid, config.cells)
    shape = (config.cells, config.cells)
    W, loss = best.W.reshape(*shape, 2), best.loss.reshape(shape)
    angle = _angles(config.angles)
    around = np.stack([no_bias.direction_loss(angle[:, None], r[None, :], density) for density in p], 1)
    dips = (around < np.roll(around, 1, 0)) & (around <= np.roll(around, -1, 0))
    columns = np.geomspace(0.1, 10, config.columns)
    border = no_bias.antipodal_boundary(columns)
    above, below = (no_bias.no_bias_minimum(columns, border * f).W for f in (1 + 1e-9, 1 - 1e-9))
    arrays = {
        "relative_importance": r, "density": p,
        "W": solved.W, "loss": solved.loss, "minima": dips.sum(0),
        "W_with_bias": W, "loss_with_bias": loss,
        "border_r": columns, "border": border, "W_above": above, "W_below": below,
    }  # fmt: skip
    claims = [
        solved_claim(config, solved.loss, around.min(0)),
        *confused_claims(arrays),
        *border_claims(arrays),
        blur_claim(config),
        two_minima_claim(arrays),
        basins_claim(config),
        *bias_claims(arrays),
    ]
    return Result(config, claims, arrays)


def _angles(count: int) -> np.ndarray:
    """Directions in [0, pi), crowded about the axes, where a minimum can lie at a weight of a thousandth."""
    near = np.arctan(np.geomspace(1e-5, 1, count // 4))
    quarter = np.concatenate([[0.0], near, np.pi / 2 - near[-2::-1]])
    return np.concatenate([quarter, quarter + np.pi / 2])
