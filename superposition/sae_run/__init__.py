"""Training SAEs: the run as a recipe, grids of them in one program, the L0 controller."""

from superposition.sae_run.controller import Controller
from superposition.sae_run.evaluation import Evaluation, evaluate, held_out, shortcomings, target_l0
from superposition.sae_run.fitting import Trained, finished, fit
from superposition.sae_run.program import SAERun, sweepable

__all__ = [
    "Controller",
    "Evaluation",
    "SAERun",
    "Trained",
    "evaluate",
    "finished",
    "fit",
    "held_out",
    "shortcomings",
    "sweepable",
    "target_l0",
]
