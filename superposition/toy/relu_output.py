"""The ReLU-output toy model, in which superposition appears."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from superposition.toy._tied import Tied


@dataclass(frozen=True)
class ReLUOutput(Tied):
    """x' = ReLU(W^T W x + b) (Elhage et al. 2022, "ReLU output model").

    >>> import jax.numpy as jnp
    >>> from superposition import ReLUOutput, ToyParams
    >>> params = ToyParams(jnp.array([[1.0, -1.0]]), jnp.zeros(2))  # an antipodal pair in one dimension
    >>> ReLUOutput(n_features=2, n_hidden=1).apply(params, jnp.array([1.0, 0.0])).tolist()
    [1.0, 0.0]
    """

    activation: ClassVar[Literal["linear", "relu"]] = "relu"
