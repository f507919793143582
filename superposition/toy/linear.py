"""The linear toy model: PCA in disguise, the baseline that never shows superposition."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from superposition.toy._tied import Tied


@dataclass(frozen=True)
class Linear(Tied):
    """x' = W^T W x + b (Elhage et al. 2022, "Linear model").

    Its best loss keeps the n_hidden most important features and drops the rest (superposition.theory).
    """

    activation: ClassVar[Literal["linear", "relu"]] = "linear"
