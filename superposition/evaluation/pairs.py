"""What is measured of several SAEs together: which latents they share, and which of one split in another."""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np

from superposition import metrics
from superposition.activations import Batch
from superposition.errors import ConfigError
from superposition.sae import SAE, Params

CHANCE_DRAWS = 3


def universality(names: Sequence[str], decoders: Sequence[np.ndarray]) -> list[dict[str, Any]]:
    """For every pair of decoders over one space: `metrics.shared`, and its MMCS by chance (rotated)."""
    rows = []
    for j in range(len(names)):
        for i in range(j):
            a, b = decoders[i], decoders[j]
            if a.shape[1] != b.shape[1]:
                continue
            both = metrics.shared(a, b)

            def by_chance(W: np.ndarray, b: np.ndarray = b) -> float:
                return float(metrics.mmcs(W, b))

            chance = metrics.against_chance(jax.random.key(0), by_chance, a, n_draws=CHANCE_DRAWS)
            rows.append(
                {
                    "a": names[i],
                    "b": names[j],
                    "mmcs_ab": both.mmcs_ab,
                    "mmcs_ba": both.mmcs_ba,
                    "mmcs_by_chance": chance.mean,
                    "a_in_b": float(both.a_in_b[0]),
                    "b_in_a": float(both.b_in_a[0]),
                    "threshold": float(both.thresholds[0]),
                }
            )
    return rows


def splitting(
    narrow: tuple[SAE, Params], wide: tuple[SAE, Params], batches: Iterable[Batch]
) -> dict[str, float]:
    """Feature splitting of a wide SAE over a narrow one on the same examples: fractions split and novel."""
    total: metrics.CoFiring | None = None
    for batch in batches:
        counts = _together(narrow[0], wide[0], narrow[1], wide[1], batch.x)
        total = counts if total is None else metrics.add(total, counts)
    if total is None:
        raise ConfigError("there must be at least one example to measure on; got none")
    W_narrow, W_wide = (np.asarray(p["W_dec"]) for _, p in (narrow, wide))
    result = metrics.split_features(W_narrow, W_wide, total)
    return {"split_fraction": result.split_fraction, "novel_fraction": result.novel_fraction}


def compared(
    saes: Mapping[str, tuple[SAE, Params]], batches: Callable[[int], Iterable[Batch]]
) -> dict[str, list[dict[str, Any]]]:
    """Universality of every pair of SAEs, and splitting from each one to the next where that is wider, both as rows.

    batches: the examples, given the width of what is computed from them. Splitting is measured where decoders are of
    one space.
    """
    pairs = universality([*saes], [np.asarray(params["W_dec"]) for _, params in saes.values()])
    split: list[dict[str, Any]] = []
    for (a, narrow), (b, wide) in itertools.pairwise(saes.items()) if pairs else ():
        if narrow[0].d_sae < wide[0].d_sae:
            split.append({"narrow": a, "wide": b, **splitting(narrow, wide, batches(wide[0].d_sae))})
    return {"universality": pairs, "splitting": split}


@partial(jax.jit, static_argnums=(0, 1))
def _together(a: SAE, b: SAE, of_a: Params, of_b: Params, x: Any) -> metrics.CoFiring:
    return metrics.cofiring(a.encode(of_a, x), b.encode(of_b, x))
