"""Acts on a language model through an SAE: pure edits at a hook point, and what they cost."""

from superposition.interventions.at import At, From, Replace
from superposition.interventions.attribution import Attribution, Logit, ablation_effects, attribute
from superposition.interventions.dose import DoseResponse, Estimate, dose_response
from superposition.interventions.effect import Effect, Standing, effect, kl, standing
from superposition.interventions.evaluation import Ablations, Spliced, ablations, evaluate
from superposition.interventions.latents import (
    Contrast,
    Firing,
    activations_of,
    contrast,
    firing,
    latents_of,
    max_activations,
)
from superposition.interventions.requirements import Requirements, requirements
from superposition.interventions.splice import Splice, splice
from superposition.interventions.steering import Clamp, Draw, Steer, ablate, clamp, steer

__all__ = [
    "Ablations",
    "At",
    "Attribution",
    "Clamp",
    "Contrast",
    "DoseResponse",
    "Draw",
    "Effect",
    "Estimate",
    "Firing",
    "From",
    "Logit",
    "Replace",
    "Requirements",
    "Splice",
    "Spliced",
    "Standing",
    "Steer",
    "ablate",
    "ablation_effects",
    "ablations",
    "activations_of",
    "attribute",
    "clamp",
    "contrast",
    "dose_response",
    "effect",
    "evaluate",
    "firing",
    "kl",
    "latents_of",
    "max_activations",
    "requirements",
    "splice",
    "standing",
    "steer",
]
