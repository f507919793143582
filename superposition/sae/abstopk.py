"""The AbsTopK SAE: TopK by magnitude, latents keep their sign (SAELens's abstopk)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax import Array

from superposition._internal.rank import lead
from superposition.sae import _select, _sparse, _topk
from superposition.sae._auxk import auxk
from superposition.sae._base import MASKED_PRE_ACT
from superposition.sae._parts import Info, Params, State, median_start, normalized_error, tally
from superposition.typing import InputBatch, Latents, PRNGKey, Scalar, TargetBatch


@dataclass(frozen=True)
class AbsTopK(_topk.TopKFamily):
    """f = the k entries of z = (x - b_dec) W_enc + b_enc of largest |z|, signs kept; L as TopK's.

    A latent is one direction for two opposite features: f_i > 0 and f_i < 0. Among equals the first is kept. AuxK is
    TopK's, with relu, so that a dead latent comes back by its positive side. Raises ConfigError for k > d_sae.

    >>> import jax.numpy as jnp
    >>> sae = AbsTopK(d_in=3, d_sae=3, k=2)
    >>> params = {"W_enc": jnp.eye(3), "b_enc": jnp.zeros(3), "W_dec": jnp.eye(3), "b_dec": jnp.zeros(3)}
    >>> sae.encode(params, jnp.array([1.0, -3.0, 2.0])).tolist()
    [0.0, -3.0, 2.0]
    """

    signed: ClassVar[bool] = True
    saelens: ClassVar[str | None] = "abstopk"
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
        """The k of largest magnitude, (..., d_sae) -> (..., d_sae)."""
        values, columns = self._largest(pre)
        return jnp.put_along_axis(jnp.zeros_like(pre), columns, values, -1, inplace=False)

    def loss(
        self, params: Params, state: State, x: InputBatch, y: TargetBatch, key: PRNGKey
    ) -> tuple[Scalar, tuple[State, Info]]:
        """Normalised squared error and AuxK, over active latents alone where that is faster."""
        del key
        pre, width = jax.lax.stop_gradient(self.pre_acts(params, x)), _topk.slots_per_example(self)
        if _sparse.prefers_dense(x.shape[0], self.d_sae, width):
            size = _magnitude(pre)
            active = size >= _select.kth_largest(size, self.k, width)  # an exact tie keeps both
            y_hat = self.linear_decode(params, _topk.masked_latents(self, params, x, pre, active), x)
            count = tally(active)
            fired, l0 = count > 0, count.sum() / x.shape[0]
        else:
            values, columns = self._largest(pre)
            slots = _sparse.Slots(values.T, None, columns.T, jnp.int32(width))
            y_hat, fired = _topk.reconstruct_slots(self, params, x, slots)
            l0 = (values != 0).sum() / x.shape[0]
        error = y - y_hat
        terms = {"mse_normalized": normalized_error(error, y)} | auxk(self, params, state, x, error)
        info = Info(terms, l0, fired, error)
        return sum(terms.values(), jnp.float32(0)), (self.count(state, fired, x.shape[0]), info)

    def to_saelens(self) -> dict[str, Any]:
        """The settings: k as the integer that it acts as, and whether selection is rescaled."""
        rescaled = self.rescale_acts_by_decoder_norm
        return {"k": _topk.effective_k(self), "rescale_acts_by_decoder_norm": rescaled}

    def _largest(self, pre: Array) -> tuple[Array, Array]:
        """Values and columns of the k of largest magnitude, (..., slots); 0 beyond k and at masked latents."""
        slots = _topk.slots_per_example(self)
        size, columns = jax.lax.top_k(_magnitude(pre), slots)
        chosen = lead(jnp.arange(slots) < self.k, size) & (size > 0)
        return jnp.where(chosen, jnp.take_along_axis(pre, columns, -1), 0.0), columns


def _magnitude(pre: Array) -> Array:
    """|pre|; latents outside a masked width stay below all others."""
    return jnp.where(pre > MASKED_PRE_ACT / 10, jnp.abs(pre), MASKED_PRE_ACT)
