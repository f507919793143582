"""Measuring an SAE in one pass over batches, for Python and the command line alike."""

from collections.abc import Iterable

import jax.numpy as jnp
import numpy as np

from superposition import metrics
from superposition.activations import Batch, Stream
from superposition.evaluation.metrics import Measured, computed
from superposition.evaluation.result import Evaluation
from superposition.sae import SAE, Params
from superposition.training.measuring import (
    EXAMPLES,
    batch_size,
    held_out,
    shortcomings,
    sums_over,
    target_l0,
)

__all__ = ["EXAMPLES", "batch_size", "evaluate", "held_out", "shortcomings", "target_l0"]


def evaluate(
    sae: SAE,
    params: Params,
    data: Stream | Iterable[Batch],
    dictionary: np.ndarray | None = None,
    *,
    examples: int = EXAMPLES,
) -> Evaluation:
    """Reconstruction metrics of an SAE, and recovery of the true directions (n_features, d_in) where they are known.

    data: a stream, of which `examples` examples are measured that training never saw and whose dictionary is the
    truth; or batches, with their true features (batch, n_features) where a dictionary is given. Each latent is judged
    against the true feature nearest to its decoder row. `superposition sae train` and `sae eval` print these numbers.
    Raises ConfigError for no batches or widths that differ.

    >>> import jax
    >>> from superposition.sae import TopK
    >>> sae = TopK(d_in=2, d_sae=4, k=1)
    >>> x = np.eye(2, dtype=np.float32)
    >>> evaluate(sae, sae.init_params(jax.random.key(0)), [Batch(x, x)])["l0"] <= 1
    True
    """
    if isinstance(data, Stream):
        if dictionary is None and sae.d_out is None:
            dictionary = data.dictionary
        data = held_out(data, examples, sae.d_sae)
    nearest = None if dictionary is None else jnp.asarray(metrics.nearest(params["W_dec"], dictionary))
    measured = Measured(sae, params, sums_over(sae, params, data, nearest), dictionary)
    return Evaluation(computed(measured), measured.reconstruction.densities)
