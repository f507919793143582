"""The ReLU SAE with an L1 penalty weighted by decoder norms (Anthropic, "Circuits Updates - April 2024")."""

from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp

from superposition.sae import _l1
from superposition.sae._parts import Params, start, without_unused
from superposition.typing import InputBatch, PerLatent, PRNGKey, TargetBatch


@dataclass(frozen=True)
class ReLU(_l1.L1Family):
    """f = relu((x - b_dec) W_enc + b_enc); L = mean ||y - y_hat||^2 + penalty sum_i f_i ||W_dec,i||.

    The norm in the penalty removes the freedom to shrink f and grow W_dec, so no constraint is needed.
    penalty is for data scaled to E||x|| = sqrt(d_in). Raises ConfigError for a negative penalty.

    >>> import jax, jax.numpy as jnp
    >>> sae = ReLU(d_in=3, d_sae=6)
    >>> latents, x_hat = sae.reconstruct(sae.init_params(jax.random.key(0)), jnp.ones((4, 3)))
    >>> latents.shape, x_hat.shape
    ((4, 6), (4, 3))
    """

    penalised: ClassVar[bool] = True

    def check(self) -> None:
        """Raise ConfigError for a negative penalty."""
        _l1.check(self)

    @property
    def unit_norm(self) -> bool:
        """False: the penalty has the norms."""
        return False

    def init_params(self, key: PRNGKey, x: InputBatch | None = None, y: TargetBatch | None = None) -> Params:
        """Random decoder directions of norm 0.1, tied encoder (an SAE's), biases 0."""
        del x, y
        tied = self.d_out is None
        return without_unused(self, start(key, self.d_in, self.d_sae, self.target_width, tied=tied))

    def weights(self, params: Params) -> PerLatent:
        """||W_dec,i||, (d_sae,)."""
        return jnp.linalg.norm(params["W_dec"], axis=-1)
