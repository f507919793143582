"""Toy models of superposition. A new model is one file and one line here."""

from superposition.toy._base import ToyModel
from superposition.toy.linear import Linear
from superposition.toy.relu_output import ReLUOutput

TOY_MODELS: dict[str, type[ToyModel]] = {
    "linear": Linear,
    "relu-output": ReLUOutput,
}

__all__ = ["TOY_MODELS", "Linear", "ReLUOutput", "ToyModel"]
