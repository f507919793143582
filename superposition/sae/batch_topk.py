"""The BatchTopK SAE (Bussmann et al. 2024, "BatchTopK Sparse Autoencoders")."""

from dataclasses import dataclass, fields
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from superposition._internal import validate
from superposition.sae import _select, _sparse
from superposition.sae._base import SAE, Info, Params, State, tally
from superposition.sae._topk_family import TopKFamily, decoder_norms, normalized_error
from superposition.sae.jumprelu import JumpReLU
from superposition.typing import PRNGKey


@dataclass(frozen=True)
class BatchTopK(TopKFamily):
    """In training the batch * k largest positive pre-activations of the whole batch are kept; loss as TopK.

    f = pre 1[pre > threshold] at inference: threshold is a running mean over batches (rate threshold_rate,
    begun at the first) of the least value kept. k may be fractional.
    """

    k: Any = 8.0
    threshold_rate: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        validate.in_range("threshold_rate", self.threshold_rate, 0.0, 1.0, open_low=True)

    def init_params(self, key: PRNGKey, x: Array | None = None, y: Array | None = None) -> Params:
        """As TopK; threshold 0 until the first step."""
        return super().init_params(key, x, y) | {"threshold": jnp.float32(0)}

    def init_state(self) -> State:
        """Silence, and the running threshold (-1 before the first step)."""
        return super().init_state() | {"threshold": jnp.float32(-1)}

    def constrain(self, params: Params, state: State) -> Params:
        """The threshold is the running mean, not a trained number."""
        return super().constrain(params, state) | {"threshold": jax.nn.relu(state["threshold"])}

    def activate(self, params: Params, pre: Array) -> Array:
        """Pre where positive and above the threshold."""
        return jnp.where(pre > params["threshold"], jax.nn.relu(pre), 0.0)

    def finish(self, params: Params) -> tuple[SAE, Params]:
        """The JumpReLU SAE this one is used as: one threshold for all, decoder norms folded in."""
        rest = dict(params)
        if self.rescale_acts_by_decoder_norm:
            norms = decoder_norms(params)
            rest["W_enc"], rest["b_enc"] = params["W_enc"] * norms, params["b_enc"] * norms
            rest["W_dec"] = params["W_dec"] / norms[:, None]
        shared = {field.name: getattr(self, field.name) for field in fields(SAE)}
        sae = JumpReLU(**shared)
        return sae, rest | {"threshold": jnp.full(self.d_sae, params["threshold"])}

    def loss(
        self, params: Params, state: State, x: Array, y: Array, key: PRNGKey
    ) -> tuple[Array, tuple[State, Info]]:
        """Normalised squared error and AuxK."""
        del key
        pre = jax.lax.stop_gradient(self.pre_acts(params, x))
        few = validate.is_concrete(self.k) and self.width is None
        if not few or _sparse.prefers_dense(x.shape[0], self.d_sae, int(self.k) + 1):
            least = _select.least_kept(pre, self.k)
            active = pre >= least
            raw = jax.lax.stop_gradient(self.raw(params, pre))
            y_hat = SAE.decode(self, params, self.masked_latents(params, x, raw, active), x)
            count = tally(active)
            seen, l0 = count > 0, count.sum() / x.shape[0]
        else:
            rows, columns, kept, least = _select.largest(pre, float(self.k))
            y_hat, seen = self.reconstruct_slots(params, x, _select.slots(pre, rows, columns, kept))
            l0 = kept.sum() / x.shape[0]
        error = y - y_hat
        terms = {"mse": normalized_error(error, y)} | self.auxk(params, state, x, error)
        state = self.count(self.follow(state, least), seen, x.shape[0])
        info = Info(terms, l0, seen, error)
        return sum(terms.values(), jnp.float32(0)), (state, info)

    def follow(self, state: State, least: Array) -> State:
        """The running mean of the least value kept; a batch that keeps nothing leaves it alone."""
        old = state["threshold"]
        new = jnp.where(old < 0, least, (1 - self.threshold_rate) * old + self.threshold_rate * least)
        return {**state, "threshold": jnp.where(jnp.isfinite(least), new, old)}
