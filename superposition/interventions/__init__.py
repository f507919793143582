"""Act on a language model through an SAE: `attached = lm.attach(sae)`, edits at its hook point, and what they cost."""

from superposition.interventions.at import At, From, Replace
from superposition.interventions.attach import Attached, attach
from superposition.interventions.attribution import Attribution, Logit, ablation_effects, attribute
from superposition.interventions.continuations import Continuation, Steering, continuations
from superposition.interventions.dose import DoseResponse, Estimate, dose_response
from superposition.interventions.edited import Edited
from superposition.interventions.effects import Effect, TokenStats, effect, kl, token_stats
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
from superposition.interventions.published import PUBLISHED, Published, first_available, hub_answers
from superposition.interventions.requirements import Requirements, requirements
from superposition.interventions.source_losses import losses
from superposition.interventions.splice import Splice, splice
from superposition.interventions.steering import Clamp, Draw, Steer, ablate, clamp, steer
from superposition.interventions.transcoders import AttachedTranscoder, attach_transcoder

__all__ = [
    "PUBLISHED",
    "Ablations",
    "At",
    "Attached",
    "AttachedTranscoder",
    "Attribution",
    "Clamp",
    "Continuation",
    "Contrast",
    "DoseResponse",
    "Draw",
    "Edited",
    "Effect",
    "Estimate",
    "Firing",
    "From",
    "Logit",
    "Published",
    "Replace",
    "Requirements",
    "Splice",
    "Spliced",
    "Steer",
    "Steering",
    "TokenStats",
    "ablate",
    "ablation_effects",
    "ablations",
    "activations_of",
    "attach",
    "attach_transcoder",
    "attribute",
    "clamp",
    "continuations",
    "contrast",
    "dose_response",
    "effect",
    "evaluate",
    "firing",
    "first_available",
    "hub_answers",
    "kl",
    "latents_of",
    "losses",
    "max_activations",
    "requirements",
    "splice",
    "steer",
    "token_stats",
]
