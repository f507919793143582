"""Toy models of superposition. A new model is one file and one line here."""

from superposition.toy._base import ToyModel
from superposition.toy._tied import Tied, require_tied
from superposition.toy.absolute_value import AbsoluteValue
from superposition.toy.linear import Linear
from superposition.toy.relu_hidden import ReLUHidden
from superposition.toy.relu_output import ReLUOutput

# Every toy model by the name that commands and files give it.
TOY_MODELS: dict[str, type[ToyModel]] = {
    "linear": Linear,
    "relu-output": ReLUOutput,
    "relu-hidden": ReLUHidden,
    "absolute-value": AbsoluteValue,
}

__all__ = [
    "TOY_MODELS",
    "AbsoluteValue",
    "Linear",
    "ReLUHidden",
    "ReLUOutput",
    "Tied",
    "ToyModel",
    "require_tied",
]
