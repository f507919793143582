"""What several architectures compute in the same way: starts, sums over a batch, errors, and folded scales."""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax import Array

from superposition._internal import validate
from superposition._internal.rank import lead
from superposition.typing import PRNGKey

if TYPE_CHECKING:
    from superposition.sae._base import SAE

# The parameters of an SAE: arrays by name (W_enc, b_enc, W_dec, b_dec and what the architecture adds).
Params: TypeAlias = dict[str, Array]
# What an SAE carries from step to step beside its parameters: arrays by name, such as counts of silent examples.
State: TypeAlias = dict[str, Array]

LEAST_NORM = 1e-8  # a decoder row shorter than this is not divided by its norm (SAELens)


class Info(NamedTuple):
    """What a loss reports about a batch: named terms (they sum to the loss), who fired, and y - y_hat.

    >>> terms = {"mse": jnp.float32(0.5), "l1": jnp.float32(0.25)}
    >>> info = Info(terms, l0=jnp.float32(1.0), fired=jnp.ones(8, bool), error=jnp.zeros((4, 3)))
    >>> float(sum(info.terms.values()))
    0.75
    """

    terms: dict[str, Array]
    l0: Array  # mean number of latents active in an example
    fired: Array  # (d_sae,) bool
    error: Array  # (batch, d_out)


def start(
    key: PRNGKey, d_in: int, d_sae: int, d_out: int, *, decoder_norm: float = 0.1, tied: bool = True
) -> Params:
    """Decoder rows in random directions of one norm; W_enc = W_dec^T, or its own rows of that norm.

    Raises ConfigError where this machine has not the memory.
    """
    validate.integer("d_in, the width of the data,", d_in, 1)
    if validate.is_concrete(key):  # a trace takes no memory
        bytes_taken = 4 * (d_sae + 1) * (d_in + d_out)
        validate.memory(f"an SAE of d_in={d_in} and d_sae={d_sae}", bytes_taken, "smaller ones")
    decoder_key, encoder_key = jax.random.split(key)
    W_dec = decoder_norm * unit_rows(jax.random.normal(decoder_key, (d_sae, d_out)))
    W_enc = W_dec if tied else decoder_norm * unit_rows(jax.random.normal(encoder_key, (d_sae, d_in)))
    return {
        "W_enc": W_enc.T,
        "b_enc": jnp.zeros(d_sae),
        "W_dec": W_dec,
        "b_dec": jnp.zeros(d_out),
        "W_skip": jnp.zeros((d_out, d_in)),
    }


def median_start(sae: "SAE", key: PRNGKey, x: Array | None, y: Array | None) -> Params:
    """Unit decoder rows, tied for an SAE; b_dec at the geometric median of the target (x for an SAE)."""
    tied = sae.d_out is None
    params = start(key, sae.d_in, sae.d_sae, sae.target_width, decoder_norm=1.0, tied=tied)
    target = x if tied else y
    if target is not None:
        params["b_dec"] = geometric_median(target)
    return without_unused(sae, params)


def without_unused(sae: "SAE", params: Params) -> Params:
    """The parameters without W_skip where the SAE has no skip connection."""
    return params if sae.skip else {k: v for k, v in params.items() if k != "W_skip"}


def unit_rows(W: Array) -> Array:
    """Rows scaled to norm 1; a zero row stays zero."""
    norm = jnp.linalg.norm(W, axis=-1, keepdims=True)
    return W / jnp.where(norm > 0, norm, 1.0)


def batch_sum(a: Array) -> Array:
    """Sum over the first axis, in two stages: XLA's CPU code for one long column sum is 7 times slower."""
    group = math.gcd(a.shape[0], 16)
    return a.reshape(-1, group, *a.shape[1:]).sum(1).sum(0)


def tally(active: Array) -> Array:
    """How often each latent is active in a batch, (batch, d_sae) bool -> (d_sae,) float32."""
    group = math.gcd(active.shape[0], 64)
    parts = active.astype(jnp.int8).reshape(-1, group, *active.shape[1:]).sum(1, dtype=jnp.int8)
    return parts.astype(jnp.float32).sum(0)


def squared_error(error: Array) -> Array:
    """Mean over the batch of ||y - y_hat||^2."""
    return jnp.sum(error**2) / error.shape[0]


def geometric_median(x: Array, iterations: int = 100) -> Array:
    """The point with the least sum of distances to the rows of x (n, d), by Weiszfeld's iteration."""

    def step(_: Array, m: Array) -> Array:
        weight = 1 / jnp.maximum(jnp.linalg.norm(x - m[None], axis=-1, keepdims=True), 1e-6)
        return jnp.sum(weight * x, 0) / weight.sum()

    return jax.lax.fori_loop(0, iterations, step, x.mean(0))


def decoder_norms(params: Params) -> Array:
    """||W_dec,i||, (d_sae,), at least 1e-8 so that a zero row can be divided by."""
    return jnp.maximum(jnp.linalg.norm(params["W_dec"], axis=-1), LEAST_NORM)


def normalized_error(error: Array, y: Array) -> Array:
    """||y - y_hat||^2 / ||y - mean y||^2 over a batch."""
    spread = jnp.sum((y - y.mean(0, keepdims=True)) ** 2)
    return jnp.sum(error**2) / jnp.where(spread > 0, spread, 1.0)


def with_unit_decoder(params: Params, scaled: Iterable[str]) -> Params:
    """Decoder rows divided by their norms n_i, and the parameters named in `scaled` multiplied by n_i.

    `scaled` are those in the units of pre-activations; the reconstruction stays, latents are multiplied by n_i.
    """
    norms = decoder_norms(params)
    folded = {name: params[name] * lead(norms, params[name]) for name in scaled if name in params}
    return {**params, "W_dec": params["W_dec"] / norms[:, None], **folded}


def scaled_biases(params: Params, scale_in: float, scale_out: float) -> Params:
    """b_dec / scale_out and W_skip scale_in / scale_out, all other parameters as they are."""
    folded = {**params, "b_dec": params["b_dec"] / scale_out}
    if "W_skip" in params:
        folded["W_skip"] = params["W_skip"] * (scale_in / scale_out)
    return folded


def scaled_maps(params: Params, scale_in: float, scale_out: float) -> Params:
    """W_enc scale_in, W_dec / scale_out, and `scaled_biases`: pre-activations stay as they are."""
    maps = {"W_enc": params["W_enc"] * scale_in, "W_dec": params["W_dec"] / scale_out}
    return scaled_biases(params, scale_in, scale_out) | maps
