"""How often an SAE's latents fire, and how long its decoder rows are, as histograms that JSON can hold."""

from typing import Any

import numpy as np

from superposition import metrics

BINS = 20


def log10_density(densities: np.ndarray) -> dict[str, Any]:
    """How many latents fire how often, (d_sae,) shares of the examples: edges (log10), counts, and how many are dead.

    >>> log10_density(np.array([0.0, 0.1, 0.1]))["dead"]
    1
    """
    counts, edges, dead = metrics.density_histogram(densities)
    return {"edges": edges.tolist(), "counts": counts.tolist(), "dead": dead}


def decoder_norms(W_dec: np.ndarray) -> dict[str, Any]:
    """Norms of decoder rows (d_sae, d_in): min, median and max, and how many lie in which of 20 equal bins from 0.

    >>> decoder_norms(np.array([[3.0, 4.0], [0.0, 1.0]]))["max"]
    5.0
    """
    norms = np.linalg.norm(W_dec.astype(np.float64), axis=1)
    counts, edges = np.histogram(norms, BINS, (0.0, max(norms.max(), 1e-30)))
    low, middle, high = np.quantile(norms, [0, 0.5, 1])
    return {
        "min": float(low),
        "median": float(middle),
        "max": float(high),
        "edges": edges.tolist(),
        "counts": counts.tolist(),
    }
