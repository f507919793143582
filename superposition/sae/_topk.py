"""What the architectures that keep k latents share: their fields, and functions for selecting and reconstructing."""

import math
from abc import ABC
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax import Array

from superposition._internal import validate
from superposition._internal.rank import lead
from superposition.errors import ConfigError
from superposition.sae import _auxk, _parts, _sparse
from superposition.sae._base import SAE
from superposition.sae._parts import Params, State, decoder_norms
from superposition.sae.jumprelu import JumpReLU
from superposition.typing import InputBatch, Inputs, Latents, Outputs, PRNGKey, TargetBatch


@dataclass(frozen=True)
class TopKFamily(SAE, ABC):
    """k latents an example. Unit decoder rows, tied start, b_dec at the geometric median of the target, AuxK.

    With rescale_acts_by_decoder_norm selection looks at pre ||W_dec,i||, decoding divides by ||W_dec,i||
    again (SAELens), and rows are free. k may be traced, up to `slots` (default k). ConfigError for k > d_sae.
    """

    counts_latents: ClassVar[tuple[str, ...]] = ("k", "slots")

    aux_coefficient: float = 1 / 32
    """Weight of AuxK."""
    k_aux: int | None = None
    """Dead latents that AuxK uses. Default d_in / 2."""
    dead_after: int = 10_000_000
    """Samples of silence that make a latent dead."""
    k: Any = 8
    """Latents an example (batch-topk: on average)."""
    slots: int | None = None
    rescale_acts_by_decoder_norm: bool = False
    """Choose by latents times decoder norms."""

    @property
    def unit_norm(self) -> bool:
        """True unless selection is rescaled by the norms, which are then free."""
        return not self.rescale_acts_by_decoder_norm

    def pre_acts(self, params: Params, x: Inputs) -> Latents:
        """Pre-activations, times ||W_dec,i|| where rescaled."""
        pre = self.matmul(x, params["W_enc"]) + lead(self.bias(params), x)
        return self.mask(pre * lead(decoder_norms(params), pre) if self.rescale_acts_by_decoder_norm else pre)

    def decode(self, params: Params, latents: Latents, x: Inputs | None = None) -> Outputs:
        """y_hat, from latents divided by ||W_dec,i|| where rescaled."""
        return self.linear_decode(params, unscaled(self, params, latents), x)

    def idle_settings(self, examples: int) -> dict[str, Any]:
        """No AuxK where no latent can be silent for dead_after samples."""
        return {"aux_coefficient": 0.0} if examples < self.dead_after else {}

    def fold_decoder_norm(self, params: Params) -> tuple[SAE, Params]:
        """Only where rescaled: latents stay as they are, and the result needs no rescaling."""
        if not self.rescale_acts_by_decoder_norm:
            mend = "call finish(params) first" if self.saelens_training else "leave it as it is"
            raise ConfigError(f"{type(self).__name__} without rescaling chooses by unscaled latents; {mend}")
        folded = _parts.with_unit_decoder(params, self.in_pre_act_units)
        return replace(self, rescale_acts_by_decoder_norm=False), folded


def check(sae: TopKFamily) -> None:
    """Raise ConfigError for AuxK's settings, slots or a k out of range, and for a traced k without slots."""
    _auxk.check(sae)
    if sae.slots is not None:
        validate.integer("slots", sae.slots, 1)
    if validate.is_concrete(sae.k):
        validate.in_range("k", sae.k, 0.0, float("inf"), open_low=True)
        if sae.k > sae.d_sae:
            raise ConfigError(f"k must be at most d_sae={sae.d_sae}, the number of latents; got {sae.k}")
    elif sae.slots is None:
        raise ConfigError("a traced k needs slots, the largest k of the program")


def slots_per_example(sae: TopKFamily) -> int:
    """The static bound on the latents of one example."""
    return int(sae.k if sae.slots is None else sae.slots)


def effective_k(sae: TopKFamily) -> int:
    """How many latents an example keeps: k, or the next integer, within its slots."""
    return min(math.ceil(sae.k), slots_per_example(sae))


def unscaled(sae: TopKFamily, params: Params, pre: Array) -> Array:
    """What decoding gets (..., d_sae): pre-activations, divided by ||W_dec,i|| where selection is rescaled."""
    return pre / lead(decoder_norms(params), pre) if sae.rescale_acts_by_decoder_norm else pre


def masked_latents(sae: TopKFamily, params: Params, x: Array, pre: Array, active: Array) -> Array:
    """Latents (batch, d_sae), ready to decode: pre where `active`, 0 elsewhere, with their gradient."""
    raw = jax.lax.stop_gradient(unscaled(sae, params, pre))
    known = _sparse.known(raw, x, params["W_enc"], params["b_enc"], _input_bias(sae, params))
    return jnp.where(active, known, 0.0)


def reconstruct_slots(sae: TopKFamily, params: Params, x: Array, slots: _sparse.Slots) -> tuple[Array, Array]:
    """y_hat (batch, d_out) and who fired (d_sae,), from slots whose values are what pre_acts gives (0 in padding)."""
    raw = slots.values
    if sae.rescale_acts_by_decoder_norm:
        raw = raw / decoder_norms(params)[slots.columns]
    b_dec = _input_bias(sae, params)
    raw = _sparse.encode(slots._replace(values=raw), x, params["W_enc"], params["b_enc"], b_dec)
    latents = slots._replace(values=jnp.where(slots.values != 0, raw, 0.0))
    y_hat = _sparse.decode(latents, params["W_dec"], x) + params["b_dec"][None]
    if sae.skip:
        y_hat = y_hat + sae.matmul(x, params["W_skip"].T)
    return y_hat, _sparse.fired(slots, sae.d_sae)


def _input_bias(sae: TopKFamily, params: Params) -> Array:
    return params["b_dec"] if sae.apply_b_dec_to_input else jnp.zeros(sae.d_in)


@dataclass(frozen=True)
class BatchTopKFamily(TopKFamily, ABC):
    """Selection over a whole batch in training, a threshold afterwards: f = pre 1[pre > threshold].

    threshold is a running mean over batches (rate threshold_rate, begun at the first) of the least value kept.
    """

    extra_state: ClassVar[dict[str, float]] = {"threshold": -1.0}  # below 0 before the first step

    k: Any = 8.0
    threshold_rate: float = 0.01
    """Rate of the running threshold."""

    def init_params(self, key: PRNGKey, x: InputBatch | None = None, y: TargetBatch | None = None) -> Params:
        """Unit decoder rows, b_dec at the geometric median of the target; threshold 0 until the first step."""
        return _parts.median_start(self, key, x, y) | {"threshold": jnp.float32(0)}

    def bound(self, params: Params, state: State) -> Params:
        """The threshold is the running mean, not a trained number."""
        del params
        return {"threshold": jax.nn.relu(state["threshold"])}

    def activate(self, params: Params, pre: Latents) -> Latents:
        """Pre where positive and above the threshold."""
        return jnp.where(pre > params["threshold"], jax.nn.relu(pre), 0.0)

    def finish(self, params: Params) -> tuple[SAE, Params]:
        """The JumpReLU SAE this one is used as: one threshold for all, decoder norms folded in."""
        sae, folded = self.fold_decoder_norm(params) if self.rescale_acts_by_decoder_norm else (self, params)
        shared = {field.name: getattr(sae, field.name) for field in fields(SAE)}
        return JumpReLU(**shared), {**folded, "threshold": jnp.full(self.d_sae, params["threshold"])}

    def fold_scale(self, params: Params, scale_in: float, scale_out: float) -> tuple[SAE, Params]:
        """As of any SAE; where rescaled, latents and the threshold are divided by scale_out."""
        folded = _parts.scaled_maps(params, scale_in, scale_out)
        if self.rescale_acts_by_decoder_norm:
            folded["threshold"] = params["threshold"] / scale_out
        return self, folded


def check_batch(sae: BatchTopKFamily) -> None:
    """Raise ConfigError as `check` does, and for a threshold_rate out of (0, 1]."""
    check(sae)
    validate.in_range("threshold_rate", sae.threshold_rate, 0.0, 1.0, open_low=True)


def follow(sae: BatchTopKFamily, state: State, least: Array) -> State:
    """The running mean of the least value kept; a batch that keeps nothing leaves it alone."""
    old = state["threshold"]
    new = jnp.where(old < 0, least, (1 - sae.threshold_rate) * old + sae.threshold_rate * least)
    return {**state, "threshold": jnp.where(jnp.isfinite(least), new, old)}
