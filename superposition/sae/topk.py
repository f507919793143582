"""The TopK SAE (Gao et al. 2024, "Scaling and evaluating sparse autoencoders", sections 2.3 and A)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from superposition.sae import _select, _sparse, _topk
from superposition.sae._auxk import auxk
from superposition.sae._parts import Info, Params, State, median_start, normalized_error, tally
from superposition.typing import InputBatch, Latents, PRNGKey, Scalar, TargetBatch


@dataclass(frozen=True)
class TopK(_topk.TopKFamily):
    """f = relu(top_k((x - b_dec) W_enc + b_enc)); L = ||y - y_hat||^2 / ||y - mean y||^2 + L_auxk.

    The k largest of each example, where positive; among equals the first. Of W_enc (d_in, d_sae), b_enc (d_sae,),
    W_dec (d_sae, d_in) with unit rows, b_dec (d_in,). Raises ConfigError for k > d_sae.

    >>> import jax, jax.numpy as jnp
    >>> sae = TopK(d_in=3, d_sae=6, k=2)
    >>> params = sae.init_params(jax.random.key(0))
    >>> int((sae.encode(params, jnp.ones(3)) != 0).sum())
    2
    """

    saelens: ClassVar[str | None] = "topk"
    saelens_fields: ClassVar[Mapping[str, tuple[Any, Any]]] = {
        "k": (int, 100),
        "rescale_acts_by_decoder_norm": (bool, False),
    }

    def check(self) -> None:
        """Raise ConfigError for settings out of range."""
        _topk.check(self)

    def init_params(self, key: PRNGKey, x: InputBatch | None = None, y: TargetBatch | None = None) -> Params:
        """Unit decoder rows; b_dec at the geometric median of the target (x for an SAE)."""
        return median_start(self, key, x, y)

    def activate(self, params: Params, pre: Latents) -> Latents:
        """The k largest, where positive."""
        slots = _topk.slots_per_example(self)
        values, columns = jax.lax.top_k(pre, slots)
        values = jnp.where(jnp.arange(slots) < self.k, jax.nn.relu(values), 0.0)
        return jnp.put_along_axis(jnp.zeros_like(pre), columns, values, -1, inplace=False)

    def loss(
        self, params: Params, state: State, x: InputBatch, y: TargetBatch, key: PRNGKey
    ) -> tuple[Scalar, tuple[State, Info]]:
        """Normalised squared error and AuxK, over active latents alone where that is faster."""
        del key
        pre, width = jax.lax.stop_gradient(self.pre_acts(params, x)), _topk.slots_per_example(self)
        if _sparse.prefers_dense(x.shape[0], self.d_sae, width):
            active = pre >= _select.kth_largest(pre, self.k, width)  # an exact tie keeps both
            latents = _topk.masked_latents(self, params, x, pre, active)
            y_hat = self.linear_decode(params, latents, x)
            count = tally(active)
            fired, l0 = count > 0, count.sum() / x.shape[0]
        else:
            values, columns = jax.lax.top_k(pre, width)
            active_values = jnp.where(jnp.arange(width) < self.k, jax.nn.relu(values), 0.0).T
            slots = _sparse.Slots(active_values, None, columns.T, jnp.int32(width))
            y_hat, fired = _topk.reconstruct_slots(self, params, x, slots)
            l0 = (active_values > 0).sum() / x.shape[0]
        error = y - y_hat
        terms = {"mse_normalized": normalized_error(error, y)} | auxk(self, params, state, x, error)
        info = Info(terms, l0, fired, error)
        return sum(terms.values(), jnp.float32(0)), (self.count(state, fired, x.shape[0]), info)

    def to_saelens(self) -> dict[str, Any]:
        """The settings: k as the integer that it acts as, and whether selection is rescaled."""
        rescaled = self.rescale_acts_by_decoder_norm
        return {"k": _topk.effective_k(self), "rescale_acts_by_decoder_norm": rescaled}
