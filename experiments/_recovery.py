"""What the experiments on planted features measure of an SAE."""

from collections.abc import Sequence

import numpy as np

from superposition import metrics
from superposition.activations import Batch
from superposition.sae import SAE, Params


def measure(sae: SAE, params: Params, batches: Sequence[Batch], truth: np.ndarray) -> dict[str, float]:
    """L0, explained variance, F1 (against the nearest feature) and MCC over `batches`."""
    W = np.asarray(params["W_dec"], float)
    nearest = metrics.nearest(W, truth)
    total: metrics.Sums | None = None
    for batch in batches:
        latents, y_hat = (np.asarray(a) for a in sae.reconstruct(params, batch.x))
        sums = metrics.accumulate(np.asarray(batch.x), y_hat, latents, np.asarray(batch.features), nearest)
        total = sums if total is None else metrics.add(total, sums)
    assert total is not None
    seen = metrics.reconstruction_from(total)
    f1 = metrics.classify_from(total).f1
    return {
        "l0": seen.l0,
        "explained_variance": seen.explained_variance,
        "f1": f1,
        "mcc": metrics.mcc(W, truth),
    }
