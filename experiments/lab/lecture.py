"""The experiments on the lecture's slides, in the order of the slides: what `make reproduce` runs, in minutes.

They are the experiments themselves. One that would take long alone has a `Config.lecture()`, a smaller version whose verdicts
still mean something. All of it goes into figures/lecture, so that no committed picture is replaced by a lesser one.
"""

from pathlib import Path

from experiments.lab import stored
from experiments.lab.claim import Claim

SLIDES = {
    "lecture_figure": "Linear and ReLU models: sparsity brings superposition",
    "phase_diagram": "The phase diagram",
    "sae_recovers_features": "A sparse autoencoder recovers the features",
    "no_single_neuron": "A language model: does a single neuron detect Arabic or Hebrew?",
    "feature_pages": "Feature pages",
    "steering": "Steering",
}
"""Experiment -> what its slide is about."""


def claims(folder: Path) -> list[Claim]:
    """Return the claims that a run left in `folder`, in the order of the slides."""
    left = stored.collect(folder)
    return [claim for name in SLIDES for claim in left[name]]
