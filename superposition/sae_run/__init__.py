"""Training SAEs: the run as a recipe, grids of them in one program, the L0 controller."""

from superposition.sae_run.controller import Controller
from superposition.sae_run.fitting import Trained, finished, fit
from superposition.sae_run.program import SAERun, sweepable

__all__ = ["Controller", "SAERun", "Trained", "finished", "fit", "sweepable"]
