"""Measuring SAEs in one pass over batches, in memory that does not grow with the number of examples."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from superposition import metrics
from superposition._arrays import native
from superposition.activations import Batch
from superposition.errors import ConfigError
from superposition.metrics import Sums
from superposition.sae import SAE, Params

CHANCE_DRAWS = 3


class Evaluation(NamedTuple):
    """Numbers by name, and how often each latent fires (d_sae,)."""

    numbers: dict[str, float]
    densities: np.ndarray


def evaluate(
    sae: SAE, params: Params, batches: Iterable[Batch], dictionary: np.ndarray | None = None
) -> Evaluation:
    """Reconstruction metrics over `batches`, and recovery of dictionary (n_features, d_in) where given.

    With a dictionary batches hold their true features, (batch, n_features). Each latent is judged against the
    true feature nearest to its decoder row. Raises ConfigError for no batches or widths that differ.
    """
    nearest = None if dictionary is None else jnp.asarray(metrics.nearest(params["W_dec"], dictionary))
    own = replace(sae, penalty=1.0) if sae.penalised else sae  # type: ignore[call-arg]
    total: Sums | None = None
    params = {name: native(value) for name, value in params.items()}
    for batch in batches:
        batch = Batch(*map(native, batch))
        if batch.x.shape[1] != sae.d_in or batch.y.shape[1] != sae.target_width:
            got = f"{batch.x.shape[1]} to {batch.y.shape[1]}"
            raise ConfigError(f"the SAE maps {sae.d_in} numbers to {sae.target_width}; the data are {got}")
        sums = _sums(own, params, batch if nearest is not None else batch._replace(features=None), nearest)
        total = sums if total is None else metrics.add(total, sums)
    if total is None:
        raise ConfigError("there must be at least one example to measure on; got none")
    result = metrics.reconstruction_from(total)
    numbers = {k: float(v) for k, v in result._asdict().items() if k != "densities"}
    numbers["examples"] = float(total.examples)
    if dictionary is not None:
        numbers |= recovery(params, dictionary) | {"f1": metrics.classify_from(total).f1}
    return Evaluation(numbers, result.densities)


@partial(jax.jit, static_argnums=0)
def _sums(sae: SAE, params: Params, batch: Batch, nearest: Any) -> Sums:
    latents, y_hat = sae.reconstruct(params, batch.x)
    return metrics.accumulate(batch.y, y_hat, latents, batch.features, nearest)


def recovery(params: Params, dictionary: np.ndarray) -> dict[str, float]:
    """The numbers mmcs (features found), mmcs_of_latents (latents that are features), mcc, uniqueness, found (a fraction)."""
    W = np.asarray(params["W_dec"], np.float64)
    return {
        "mmcs": float(metrics.mmcs(W, dictionary)),
        "mmcs_of_latents": float(metrics.mmcs(dictionary, W)),
        "mcc": metrics.mcc(W, dictionary),
        "uniqueness": metrics.uniqueness(W, dictionary),
        "found": float(np.mean(metrics.found(W, dictionary))),
    }


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


@partial(jax.jit, static_argnums=(0, 1))
def _together(a: SAE, b: SAE, of_a: Params, of_b: Params, x: Any) -> metrics.CoFiring:
    return metrics.cofiring(a.encode(of_a, x), b.encode(of_b, x))


def finite(value: Any) -> Any:
    """JSON without NaN and infinity, which JSON has not: None in their place."""
    if isinstance(value, dict):
        return {k: finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def log10_densities(densities: np.ndarray) -> np.ndarray:
    """log10 firing frequency as SAELens keeps it, -10 for the dead."""
    return np.log10(densities + 1e-10).astype(np.float32)


def names_of(paths: Sequence[Path]) -> list[str]:
    """Short names for SAEs: the last part of each path, the whole where that is ambiguous."""
    short = [path.resolve().name for path in paths]
    return [str(p) if short.count(n) > 1 else n for p, n in zip(paths, short, strict=True)]
