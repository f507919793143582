"""The ReLU-output toy model, in which superposition appears."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from superposition.toy._tied import Tied


@dataclass(frozen=True)
class ReLUOutput(Tied):
    """x' = ReLU(W^T W x + b) (Elhage et al. 2022, "ReLU output model")."""

    activation: ClassVar[Literal["linear", "relu"]] = "relu"
