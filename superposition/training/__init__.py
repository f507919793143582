"""Training: what to train is a recipe, and one loop trains toy models, SAEs and grids of either.

Names are imported when they are first used: an SAE that is kept in memory needs neither xarray nor Zarr.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from superposition.sae.transforms import finished
    from superposition.training.controller import Controller
    from superposition.training.fitting import fit_grid as fit
    from superposition.training.sae import SAERun
    from superposition.training.sae_axes import sweepable
    from superposition.training.store.reading import DIVERGED, DONE, PENDING, open_sweep
    from superposition.training.toy import ToyRun
    from superposition.training.toy_sweep import sweep_grid as sweep
    from superposition.training.trained import Trained

_HOME = {
    "DIVERGED": "store.reading",
    "DONE": "store.reading",
    "PENDING": "store.reading",
    "Controller": "controller",
    "SAERun": "sae",
    "ToyRun": "toy",
    "Trained": "trained",
    "finished": "fitting",
    "fit": "fitting:fit_grid",
    "open_sweep": "store.reading",
    "sweep": "toy_sweep:sweep_grid",
    "sweepable": "sae_axes",
}
__all__ = [
    "DIVERGED",
    "DONE",
    "PENDING",
    "Controller",
    "SAERun",
    "ToyRun",
    "Trained",
    "finished",
    "fit",
    "open_sweep",
    "sweep",
    "sweepable",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, called = _HOME[name].partition(":")
    value = getattr(import_module(f"{__name__}.{module}"), called or name)
    globals()[name] = value
    return value
