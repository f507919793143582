"""What computing without superposition can reach: the baseline of Elhage et al. 2022, "Computation in superposition"."""

from typing import Any

import numpy as np

from superposition._internal import validate
from superposition.errors import ConfigError


def dedicated_loss(importance: Any, density: Any, n_hidden: int) -> Any:
    r"""Loss of |x| computed by two neurons for each of the n_hidden // 2 most important features, the others constant.

    $$L = \sum_{i \text{ left out}} I_i \operatorname{Var}|x_i|, \quad \operatorname{Var}|x_i| = p/3 - p^2/4$$

    An output of its own two neurons, |x| = ReLU(x) + ReLU(-x), is exact; the best constant is the mean p / 2.
    importance (n,), density a number or an array (...): returns the shape of density. The same on [0, 1] and [-1, 1].
    Raises ConfigError.
    """
    validate.integer("n_hidden", n_hidden, 0)
    if np.ndim(importance) != 1:
        raise ConfigError(f"importance must be (n,), a list of numbers; got shape {np.shape(importance)}")
    validate.between("importance", importance)
    validate.between("density", density, 1.0)
    p = np.asarray(density, float)
    left_out = np.sort(np.asarray(importance, float))[::-1][n_hidden // 2 :].sum()
    return left_out * (p / 3 - p**2 / 4)
