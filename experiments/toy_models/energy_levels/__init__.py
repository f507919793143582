"""Learning jumps between energy levels: feature dimensionalities and loss over training, and exact k-gon levels.

Elhage et al. 2022, "Superposition and Learning Dynamics", phenomenon 1: in the uniform setup, a run that ends with
all features in digons; its dimensionalities jump while its loss drops. The paper gives no parameters. Ours: n = 20,
m = 5, density 0.4, at which every end state is made of digons and dedicated features; the notebook's start; Adam,
learning rate 3e-3 kept constant, batches of 64 so that noise carries a run from level to level, 20,000 steps, 12
seeds. The run drawn is the all-digon one with the most jumps; the claims count all of them. A jump: a D_i moves by
over 0.1 within 1 % of training while the loss falls over 5 times as fast as is usual (median) within 10 % of training.

To the right, n = 6, m = 2 at density 0.01, where one feature is active at a time (Chen et al. 2023): SGD, rate 0.35,
batches of 64, 16,000 steps from near zero (std 0.01), 24 seeds, over the exact losses of k-gons with radius and bias
at their best. A plateau: the loss falls by under 5 % while steps grow by 25 %.

Command:  python -m experiments energy_levels
Time:     half a minute on two cores
Expect:   the last feature of an all-digon run enters late, in one jump from one exact level to the next
"""

from experiments.lab.claim import Result
from experiments.toy_models.energy_levels.config import Config
from experiments.toy_models.energy_levels.draw import alt, draw
from experiments.toy_models.energy_levels.measure import polygons, uniform

__all__ = ["Config", "alt", "draw", "run"]


def run(config: Config) -> Result:
    """Record both sets of runs, find jumps, plateaus and visits to levels."""
    first, second = uniform(config), polygons(config)
    arrays = {f"uniform_{k}": v for k, v in first.arrays.items()}
    arrays |= {f"polygon_{k}": v for k, v in second.arrays.items()}
    return Result(config, first.claims + second.claims, arrays, dict(first.numbers) | dict(second.numbers))
