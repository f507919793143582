"""The TopK SAE (Gao et al. 2024, "Scaling and evaluating sparse autoencoders", sections 2.3 and A)."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import Array

from superposition.sae import _select, _sparse
from superposition.sae._base import SAE, Info, Params, State, tally
from superposition.sae._topk_family import TopKFamily, normalized_error
from superposition.typing import PRNGKey


@dataclass(frozen=True)
class TopK(TopKFamily):
    """f = relu(top_k((x - b_dec) W_enc + b_enc)); L = ||y - y_hat||^2 / ||y - mean y||^2 + L_aux.

    The k largest of each example, where positive; among equals the first.
    """

    def activate(self, params: Params, pre: Array) -> Array:
        """The k largest, where positive."""
        values, columns = jax.lax.top_k(pre, self._slots)
        values = jnp.where(jnp.arange(self._slots) < self.k, jax.nn.relu(values), 0.0)
        return jnp.put_along_axis(jnp.zeros_like(pre), columns, values, -1, inplace=False)

    @property
    def _slots(self) -> int:
        return int(self.k if self.slots is None else self.slots)

    def loss(
        self, params: Params, state: State, x: Array, y: Array, key: PRNGKey
    ) -> tuple[Array, tuple[State, Info]]:
        """Normalised squared error and AuxK, over active latents alone where that is faster."""
        del key
        pre = jax.lax.stop_gradient(self.pre_acts(params, x))
        if _sparse.prefers_dense(x.shape[0], self.d_sae, self._slots):
            active = pre >= _select.kth_largest(pre, self.k, self._slots)  # an exact tie keeps both
            raw = jax.lax.stop_gradient(self.raw(params, pre))
            y_hat = SAE.decode(self, params, self.masked_latents(params, x, raw, active), x)
            count = tally(active)
            seen, l0 = count > 0, count.sum() / x.shape[0]
        else:
            values, columns = jax.lax.top_k(pre, self._slots)
            kept = jnp.where(jnp.arange(self._slots) < self.k, jax.nn.relu(values), 0.0).T
            slots = _sparse.Slots(kept, None, columns.T, jnp.int32(self._slots))
            y_hat, seen = self.reconstruct_slots(params, x, slots)
            l0 = (kept > 0).sum() / x.shape[0]
        error = y - y_hat
        terms = {"mse": normalized_error(error, y)} | self.auxk(params, state, x, error)
        info = Info(terms, l0, seen, error)
        return sum(terms.values(), jnp.float32(0)), (self.count(state, seen, x.shape[0]), info)
