"""Acts on a language model through an SAE: pure edits at a hook point, and what they cost."""

from superposition.interventions.at import At, Replace
from superposition.interventions.evaluation import Ablations, Spliced, ablations, evaluate
from superposition.interventions.splice import Splice, splice

__all__ = ["Ablations", "At", "Replace", "Splice", "Spliced", "ablations", "evaluate", "splice"]
