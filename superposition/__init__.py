"""superposition: a simulation lab for toy models of superposition and sparse autoencoders.

What to train is a recipe (`ToyRun`, `SAERun`); `fit` and `sweep` train it, `evaluate` measures it, `load` and `save` know
its files. The rooms hold the rest: `superposition.geometry.recognise(W)`, `superposition.metrics.mmcs(...)` ...

Names and rooms are loaded when first used, so that importing the package (and asking a command for --help) does not
wait for JAX.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from superposition._internal.registry import classes
from superposition._version import __version__ as __version__

if TYPE_CHECKING:  # for editors and type checkers; a test holds this against the names below
    from superposition import activations as activations
    from superposition import evaluation as evaluation
    from superposition import expected_loss as expected_loss
    from superposition import features as features
    from superposition import geometry as geometry
    from superposition import interventions as interventions
    from superposition import llm as llm
    from superposition import metrics as metrics
    from superposition import pages as pages
    from superposition import plot as plot
    from superposition import sae as sae
    from superposition import storage as storage
    from superposition import theory as theory
    from superposition import toy as toy
    from superposition import training as training
    from superposition.errors import ConfigError as ConfigError
    from superposition.errors import SuperpositionError as SuperpositionError
    from superposition.evaluation import Evaluation as Evaluation
    from superposition.evaluation import evaluate as evaluate
    from superposition.expected_loss import reference_loss as reference_loss
    from superposition.features import *  # noqa: F403
    from superposition.llm import LanguageModel as LanguageModel
    from superposition.pages.explorer import explore as explore
    from superposition.sae import *  # noqa: F403
    from superposition.toy import *  # noqa: F403
    from superposition.training.api import fit as fit
    from superposition.training.api import sweep as sweep
    from superposition.training.files import load as load
    from superposition.training.files import save as save
    from superposition.training.optimizer import Adam as Adam
    from superposition.training.optimizer import AdamW as AdamW
    from superposition.training.sae import SAERun as SAERun
    from superposition.training.sweeps import Sweep as Sweep
    from superposition.training.toy import ToyRun as ToyRun
    from superposition.training.trained import Trained as Trained
    from superposition.typing import ComputationParams as ComputationParams
    from superposition.typing import ToyParams as ToyParams

# Public names under their module, and the rooms themselves.
_NAMES = {
    "errors": ("ConfigError", "SuperpositionError"),
    "evaluation": ("Evaluation", "evaluate"),
    "expected_loss": ("reference_loss",),
    "features": ("Planted",),
    "llm": ("LanguageModel",),
    "pages.explorer": ("explore",),
    "training.api": ("fit", "sweep"),
    "training.files": ("load", "save"),
    "training.optimizer": ("Adam", "AdamW"),
    "training.sae": ("SAERun",),
    "training.sweeps": ("Sweep",),
    "training.toy": ("ToyRun",),
    "training.trained": ("Trained",),
    "typing": ("ComputationParams", "ToyParams"),
}
_ROOMS = (
    "activations", "evaluation", "expected_loss", "features", "geometry", "interventions", "llm", "metrics", "pages",
    "plot", "sae", "storage", "theory", "toy", "training",
)  # fmt: skip
# Of these rooms also every class that is registered: an architecture, a toy model or a law has no second list here.
_REGISTRIES = {"features": "FEATURES", "sae": "ARCHITECTURES", "toy": "TOY_MODELS"}
_HOME = {name: module for module, names in _NAMES.items() for name in names} | {
    name: room for room, registry in _REGISTRIES.items() for name in classes(room, registry)
}

__all__ = sorted({*_HOME, *_ROOMS, "__version__"})


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return import_module(f"superposition.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'superposition' has no attribute {name!r}")
    value = getattr(import_module(f"superposition.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__]
