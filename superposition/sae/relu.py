"""The ReLU SAE with an L1 penalty weighted by decoder norms (Anthropic, "Circuits Updates - April 2024")."""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array

from superposition import _validate
from superposition.sae._base import SAE, Info, Params, State, squared_error
from superposition.typing import PRNGKey


@dataclass(frozen=True)
class ReLU(SAE):
    """f = relu((x - b_dec) W_enc + b_enc); L = mean ||y - y_hat||^2 + penalty sum_i f_i ||W_dec,i||.

    The norm in the penalty removes the freedom to shrink f and grow W_dec, so no constraint is needed.
    penalty is for data scaled to E||x|| = sqrt(d_in). Raises ConfigError for a negative penalty.
    """

    penalised: ClassVar[bool] = True

    penalty: float = 5.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _validate.in_range("penalty", self.penalty, 0.0, 1e30)

    def activate(self, params: Params, pre: Array) -> Array:
        """relu(pre)."""
        return jax.nn.relu(pre)

    def loss(
        self, params: Params, state: State, x: Array, y: Array, key: PRNGKey
    ) -> tuple[Array, tuple[State, Info]]:
        """Squared error and weighted L1."""
        del key
        latents = self.activate(params, self.pre_acts(params, x))
        error = y - self.decode(params, latents, x)
        norms = jnp.linalg.norm(params["W_dec"], axis=-1)
        l1 = self.penalty * (latents.sum(0) @ norms) / x.shape[0]
        return self.report(state, latents, {"mse": squared_error(error), "l1": l1}, error)
