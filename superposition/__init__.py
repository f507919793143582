"""superposition: a simulation lab for toy models of superposition and sparse autoencoders.

Names are loaded when first used, so that importing the package (and asking a command for --help) does not
wait for JAX.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from superposition._version import __version__

if TYPE_CHECKING:
    from superposition.errors import ConfigError, SuperpositionError
    from superposition.expected_loss import reference_loss
    from superposition.features import Anticorrelated, Correlated, SparseUniform
    from superposition.optimizer import AdamW
    from superposition.sweep import open_sweep
    from superposition.sweep_config import SweepConfig
    from superposition.toy import Linear, ReLUOutput
    from superposition.toy_run import ToyRun
    from superposition.typing import ToyParams


_HOME = {
    "AdamW": "optimizer",
    "Anticorrelated": "features",
    "ConfigError": "errors",
    "Correlated": "features",
    "Linear": "toy",
    "ReLUOutput": "toy",
    "SparseUniform": "features",
    "SuperpositionError": "errors",
    "SweepConfig": "sweep_config",
    "ToyParams": "typing",
    "ToyRun": "toy_run",
    "open_sweep": "sweep",
    "reference_loss": "expected_loss",
}
__all__ = [
    "AdamW",
    "Anticorrelated",
    "ConfigError",
    "Correlated",
    "Linear",
    "ReLUOutput",
    "SparseUniform",
    "SuperpositionError",
    "SweepConfig",
    "ToyParams",
    "ToyRun",
    "__version__",
    "open_sweep",
    "reference_loss",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'superposition' has no attribute {name!r}")
    value = getattr(import_module(f"superposition.{_HOME[name]}"), name)
    globals()[name] = value
    return value
