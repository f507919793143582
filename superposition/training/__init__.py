"""Training: what to train is a recipe, and one loop trains toy models, SAEs and grids of either."""

from superposition.training.controller import Controller
from superposition.training.fitting import finished
from superposition.training.fitting import fit_grid as fit
from superposition.training.sae import SAERun, sweepable
from superposition.training.store.reading import DIVERGED, DONE, PENDING, open_sweep
from superposition.training.toy import ToyRun
from superposition.training.toy_sweep import sweep_grid as sweep
from superposition.training.trained import Trained

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
