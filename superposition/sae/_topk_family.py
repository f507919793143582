"""What TopK, BatchTopK and Matryoshka share: a selection, and a reconstruction from what was selected."""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from jax import Array

from superposition._internal import validate
from superposition.errors import ConfigError
from superposition.sae import _sparse
from superposition.sae._auxk import AuxK
from superposition.sae._base import Params, median_start
from superposition.typing import PRNGKey


@dataclass(frozen=True)
class TopKFamily(AuxK):
    """k latents an example. Unit decoder rows, tied start, b_dec at the geometric median of the target.

    With rescale_acts_by_decoder_norm selection looks at pre ||W_dec,i||, decoding divides by ||W_dec,i||
    again (SAELens), and rows are free. k may be traced, up to `slots` (default k). ConfigError for k > d_sae.
    """

    k: Any = 8
    slots: int | None = None
    rescale_acts_by_decoder_norm: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.slots is not None:
            validate.integer("slots", self.slots, 1)
        if validate.is_concrete(self.k):
            validate.in_range("k", self.k, 0.0, float("inf"), open_low=True)
            if self.k > self.d_sae:
                raise ConfigError(
                    f"k must be at most d_sae={self.d_sae}, the number of latents; got {self.k}"
                )
        elif self.slots is None:
            raise ConfigError("a traced k needs slots, the largest k of the program")

    @property
    def unit_norm(self) -> bool:
        """Whether decoder rows are kept at norm 1."""
        return not self.rescale_acts_by_decoder_norm

    def init_params(self, key: PRNGKey, x: Array | None = None, y: Array | None = None) -> Params:
        """Unit decoder rows; b_dec at the geometric median of the target (x for an SAE)."""
        return median_start(self, key, x, y)

    def pre_acts(self, params: Params, x: Array) -> Array:
        """Pre-activations, times ||W_dec,i|| where rescaled."""
        pre = self.matmul(x, params["W_enc"]) + self.bias(params)
        return self.mask(pre * decoder_norms(params) if self.rescale_acts_by_decoder_norm else pre)

    def decode(self, params: Params, latents: Array, x: Array | None = None) -> Array:
        """y_hat, from latents divided by ||W_dec,i|| where rescaled."""
        if self.rescale_acts_by_decoder_norm:
            latents = latents / decoder_norms(params)
        return super().decode(params, latents, x)

    def masked_latents(self, params: Params, x: Array, raw: Array, active: Array) -> Array:
        """Pre-activations `raw` where `active`, 0 elsewhere, with their gradient."""
        b_dec = params["b_dec"] if self.apply_b_dec_to_input else jnp.zeros(self.d_in)
        return jnp.where(active, _sparse.known(raw, x, params["W_enc"], params["b_enc"], b_dec), 0.0)

    def raw(self, params: Params, pre: Array) -> Array:
        """What decoding gets: pre-activations, divided by ||W_dec,i|| where rescaled."""
        return pre / decoder_norms(params) if self.rescale_acts_by_decoder_norm else pre

    def reconstruct_slots(self, params: Params, x: Array, slots: _sparse.Slots) -> tuple[Array, Array]:
        """The same from slots, whose values are what pre_acts gives (0 in padding)."""
        raw = slots.values
        if self.rescale_acts_by_decoder_norm:
            raw = raw / decoder_norms(params)[slots.columns]
        b_dec = params["b_dec"] if self.apply_b_dec_to_input else jnp.zeros(self.d_in)
        raw = _sparse.encode(slots._replace(values=raw), x, params["W_enc"], params["b_enc"], b_dec)
        latents = slots._replace(values=jnp.where(slots.values > 0, raw, 0.0))
        y_hat = _sparse.decode(latents, params["W_dec"], x) + params["b_dec"]
        if self.skip:
            y_hat = y_hat + self.matmul(x, params["W_skip"].T)
        return y_hat, _sparse.fired(slots, self.d_sae)


def decoder_norms(params: Params) -> Array:
    """||W_dec,i||, (d_sae,), at least 1e-8 so that a zero row can be divided by."""
    return jnp.maximum(jnp.linalg.norm(params["W_dec"], axis=-1), 1e-8)


def normalized_error(error: Array, y: Array) -> Array:
    """||y - y_hat||^2 / ||y - mean y||^2 over a batch."""
    spread = jnp.sum((y - y.mean(0)) ** 2)
    return jnp.sum(error**2) / jnp.where(spread > 0, spread, 1.0)
