"""The TopK SAE (Gao et al. 2024, "Scaling and evaluating sparse autoencoders", sections 2.3 and A)."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import Array

from superposition.sae import _sparse
from superposition.sae._base import Info, Params, State
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
        values, columns = jax.lax.top_k(pre, self._slots)
        active = (values > 0) & (jnp.arange(self._slots) < self.k)
        if _sparse.prefers_dense(x.shape[0], self.d_sae, self._slots):
            least = jnp.min(jnp.where(active, values, jnp.inf), -1, keepdims=True)
            y_hat, seen = self.reconstruct_masked(params, x, pre >= least)  # an exact tie keeps both
        else:
            kept = jnp.where(active, values, 0.0).T
            slots = _sparse.Slots(kept, None, columns.T, jnp.int32(self._slots))
            y_hat, seen = self.reconstruct_slots(params, x, slots)
        error = y - y_hat
        terms = {"mse": normalized_error(error, y)} | self.auxk(params, state, x, error)
        info = Info(terms, active.sum() / x.shape[0], seen, error)
        return sum(terms.values(), jnp.float32(0)), (self.count(state, seen, x.shape[0]), info)
