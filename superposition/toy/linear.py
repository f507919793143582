"""The linear toy model: PCA in disguise, the baseline that never shows superposition."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from superposition.toy._tied import Tied


@dataclass(frozen=True)
class Linear(Tied):
    """x' = W^T W x + b (Elhage et al. 2022, "Linear model").

    Its best loss keeps the n_hidden most important features and drops the rest (superposition.theory).

    >>> import jax
    >>> from superposition import Linear
    >>> params = Linear(n_features=5, n_hidden=2).init_params(jax.random.key(0))
    >>> params.W.shape, params.b.shape
    ((2, 5), (5,))
    """

    activation: ClassVar[Literal["linear", "relu"]] = "linear"
