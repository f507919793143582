"""superposition: a simulation lab for toy models of superposition and sparse autoencoders.

Names are loaded when first used, so that importing the package (and asking a command for --help) does not
wait for JAX.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from superposition._version import __version__

if TYPE_CHECKING:
    from superposition.cli.toy.sweep_config import SweepConfig
    from superposition.errors import ConfigError, SuperpositionError
    from superposition.expected_loss import reference_loss
    from superposition.features import Anticorrelated, Correlated, Planted, SparseUniform
    from superposition.sae import (
        BatchTopK,
        Bricken,
        Gated,
        JumpReLU,
        MatchingPursuit,
        Matryoshka,
        ReLU,
        TopK,
    )
    from superposition.storage.formats import load as load_sae
    from superposition.storage.formats import save as save_sae
    from superposition.toy import AbsoluteValue, Linear, ReLUHidden, ReLUOutput
    from superposition.training import SAERun, open_sweep
    from superposition.training.fitting import fit
    from superposition.training.optimizer import Adam, AdamW
    from superposition.training.record import record
    from superposition.training.toy import ToyRun
    from superposition.typing import ComputationParams, ToyParams


_HOME = {
    "AbsoluteValue": "toy",
    "Adam": "training.optimizer",
    "AdamW": "training.optimizer",
    "Anticorrelated": "features",
    "BatchTopK": "sae",
    "Bricken": "sae",
    "ComputationParams": "typing",
    "ConfigError": "errors",
    "Correlated": "features",
    "Gated": "sae",
    "JumpReLU": "sae",
    "Linear": "toy",
    "MatchingPursuit": "sae",
    "Matryoshka": "sae",
    "Planted": "features",
    "ReLU": "sae",
    "ReLUHidden": "toy",
    "ReLUOutput": "toy",
    "SAERun": "training",
    "SparseUniform": "features",
    "SuperpositionError": "errors",
    "SweepConfig": "cli.toy.sweep_config",
    "TopK": "sae",
    "ToyParams": "typing",
    "ToyRun": "training.toy",
    "fit": "training",
    "load_sae": "storage.formats:load",
    "open_sweep": "training",
    "record": "training.record",
    "reference_loss": "expected_loss",
    "save_sae": "storage.formats:save",
}
__all__ = [
    "AbsoluteValue",
    "Adam",
    "AdamW",
    "Anticorrelated",
    "BatchTopK",
    "Bricken",
    "ComputationParams",
    "ConfigError",
    "Correlated",
    "Gated",
    "JumpReLU",
    "Linear",
    "MatchingPursuit",
    "Matryoshka",
    "Planted",
    "ReLU",
    "ReLUHidden",
    "ReLUOutput",
    "SAERun",
    "SparseUniform",
    "SuperpositionError",
    "SweepConfig",
    "TopK",
    "ToyParams",
    "ToyRun",
    "__version__",
    "fit",
    "load_sae",
    "open_sweep",
    "record",
    "reference_loss",
    "save_sae",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'superposition' has no attribute {name!r}")
    room, _, other = _HOME[name].partition(":")  # under another name there
    value = getattr(import_module(f"superposition.{room}"), other or name)
    globals()[name] = value
    return value
