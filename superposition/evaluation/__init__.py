"""What a trained model does to data it has not seen, in numbers: one verb, and one table of metrics."""

from superposition.evaluation.api import evaluate
from superposition.evaluation.metrics import METRICS, Metric
from superposition.evaluation.result import Evaluation

__all__ = ["METRICS", "Evaluation", "Metric", "evaluate"]
