"""evaluate(trained, data): every metric that the model and the data allow."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from superposition import geometry
from superposition.activations import Batch, Stream, as_stream
from superposition.errors import ConfigError
from superposition.evaluation import sae as of_sae
from superposition.evaluation.result import Evaluation
from superposition.training.measuring import EXAMPLES
from superposition.training.trained import Trained


def evaluate(trained: Any, data: Any = None, *, examples: int = EXAMPLES, **options: Any) -> Evaluation:
    """Metrics by name of a trained model on data that training has not seen; the result prints as a table.

    trained, an SAE: data is a stream (of which `examples` examples are measured), an array (examples, d_in), two of
    them for a transcoder, or batches. l0, fvu, explained_variance, cosine, dead_fraction and more; where the stream knows
    the true directions also mmcs, mcc, found and f1. A toy model takes no data: its expected loss, and how many of its
    features have norm over 1/2 and how many of those are in superposition. An SAE attached to a language model takes
    tokens or text, and the options of `interventions.evaluate`: cross-entropy with the reconstruction spliced in.
    Raises ConfigError for data that do not fit.

    >>> import superposition as sp
    >>> toy = sp.fit(sp.ToyRun(sp.ReLUOutput(5, 2), sp.SparseUniform(density=0.1), steps=20, batch_size=64))
    >>> sae = sp.fit(sp.SAERun(sp.TopK(d_sae=8, k=1), toy.activations(), steps=20, batch_size=64))
    >>> round(sp.evaluate(sae, toy.activations(), examples=1000)["l0"], 1) <= 1
    True
    """
    if hasattr(trained, "lm"):
        return _spliced(trained, data, options)
    if options:
        raise ConfigError(
            f"no option {', '.join(options)} for a model that is not attached to a language model"
        )
    if not isinstance(trained, Trained):
        raise ConfigError(f"evaluate takes a Trained, as fit and load give it; got {type(trained).__name__}")
    if not trained.is_sae:
        if data is not None:
            raise ConfigError("a toy model is judged on its own law of features; leave data out")
        return Evaluation(_of_toy(trained))
    if data is None:
        raise ConfigError("give data to measure the SAE on: a stream, or an array (examples, d_in)")
    if isinstance(data, Batch):
        data = [data]
    elif not isinstance(data, Stream) and (hasattr(data, "shape") or isinstance(data, tuple)):
        x, y = data if isinstance(data, tuple) else (data, data)
        as_stream(data)  # refused where it is no data
        data = _batches(np.asarray(x), np.asarray(y))
    return of_sae.evaluate(trained.sae, trained.params, data, examples=examples)


def _batches(x: np.ndarray, y: np.ndarray) -> Iterable[Batch]:
    """All rows, in the order that they have."""
    size = of_sae.batch_size(max(x.shape[1], y.shape[1]))
    return (Batch(x[start : start + size], y[start : start + size]) for start in range(0, len(x), size))  # type: ignore[arg-type]


def _of_toy(trained: Trained) -> dict[str, float]:
    numbers = {"loss": trained.loss}
    W = trained.parameters().get("W")
    if W is not None:
        represented = geometry.norms(np.asarray(W)) > 0.5
        numbers["represented"] = float(represented.sum())
        numbers["superposed"] = float((represented & (geometry.interference(np.asarray(W)) > 0.5)).sum())
    return numbers


def _spliced(attached: Any, data: Any, options: dict[str, Any]) -> Evaluation:
    """An attached SAE's numbers come from running its language model on the reconstruction."""
    from superposition.interventions import evaluate as splice

    result = splice(attached, data, **options)
    if isinstance(result, Evaluation):
        return result
    return Evaluation(result.numbers, result.densities, result.by_source)
