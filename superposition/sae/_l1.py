"""What the architectures with an L1 penalty share: relu latents, and a loss over active latents alone."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array

from superposition._internal import validate
from superposition.sae import _select, _sparse
from superposition.sae._base import SAE
from superposition.sae._parts import Info, Params, State, batch_sum, squared_error, tally
from superposition.typing import InputBatch, Inputs, Latents, Outputs, PerLatent, PRNGKey, Scalar, TargetBatch

LARGE = 2**20  # pre-activations of a batch under which choosing is not worth it
SMALL = 2**14  # weights of SAEs that share their steps, where both branches of a choice would run
SPARSE_BELOW = 48  # of so many latents one active: then sparse products win (benchmarks/sae.py)


@dataclass(frozen=True)
class L1Family(SAE, ABC):
    """f = relu((x - b_dec) W_enc + b_enc); L = mean ||y - y_hat||^2 + penalty sum_i f_i weight_i."""

    saelens: ClassVar[str | None] = "standard"
    saelens_transcoder: ClassVar[str | None] = "transcoder"

    penalty: float = 5.0
    """Weight of the sparsity term."""

    def pre_acts(self, params: Params, x: Inputs) -> Latents:
        """(x - b_dec) W_enc + b_enc, (..., d_in) -> (..., d_sae)."""
        return self.linear_pre_acts(params, x)

    def activate(self, params: Params, pre: Latents) -> Latents:
        """relu(pre)."""
        return jax.nn.relu(pre)

    def decode(self, params: Params, latents: Latents, x: Inputs | None = None) -> Outputs:
        """F W_dec + b_dec (+ W_skip x), (..., d_sae) -> (..., d_out)."""
        return self.linear_decode(params, latents, x)

    def loss(
        self, params: Params, state: State, x: InputBatch, y: TargetBatch, key: PRNGKey
    ) -> tuple[Scalar, tuple[State, Info]]:
        """Squared error and weighted L1, over active latents alone once few enough are active."""
        del key
        batch, capacity = x.shape[0], x.shape[0] * self.d_sae // SPARSE_BELOW
        pre = jax.lax.stop_gradient(self.pre_acts(params, x))
        if batch * self.d_sae < LARGE or self.d_in * self.d_sae <= SMALL or self.width is not None:
            error, l1, active, seen = self._dense(params, x, y, pre)
        else:
            few = _select.count_positive(pre) <= capacity
            branches = (partial(self._sparse, capacity=capacity), self._dense)
            error, l1, active, seen = jax.lax.cond(few, *branches, params, x, y, pre)
        terms = {"mse": squared_error(error), "l1": self.penalty * l1 / batch}
        info = Info(terms, active / batch, seen, error)
        return sum(terms.values(), jnp.float32(0)), (self.count(state, seen, batch), info)

    @abstractmethod
    def weights(self, params: Params) -> PerLatent:
        """What the penalty multiplies every latent by, (d_sae,)."""

    def _dense(self, params: Params, x: Array, y: Array, pre: Array) -> tuple[Array, Array, Array, Array]:
        latents = jax.nn.relu(_sparse.known(pre, x, *self._encoder(params)))
        error = y - self.decode(params, latents, x)
        count = tally(latents > 0)
        return error, batch_sum(latents) @ self.weights(params), count.sum(), count > 0

    def _sparse(
        self, params: Params, x: Array, y: Array, pre: Array, *, capacity: int
    ) -> tuple[Array, Array, Array, Array]:
        slots = _select.slots(pre, *_select.positive(pre, capacity))
        values = _sparse.encode(slots, x, *self._encoder(params))
        latents = slots._replace(values=jax.nn.relu(values))
        y_hat = _sparse.decode(latents, params["W_dec"], x) + params["b_dec"][None]
        if self.skip:
            y_hat = y_hat + self.matmul(x, params["W_skip"].T)
        totals = jnp.zeros(self.d_sae).at[slots.columns].add(latents.values)
        active = (slots.values > 0).sum().astype(jnp.float32)
        return y - y_hat, totals @ self.weights(params), active, _sparse.fired(slots, self.d_sae)

    def _encoder(self, params: Params) -> tuple[Array, Array, Array]:
        b_dec = params["b_dec"] if self.apply_b_dec_to_input else jnp.zeros(self.d_in)
        return params["W_enc"], params["b_enc"], b_dec


def check(sae: L1Family) -> None:
    """Raise ConfigError for a negative penalty."""
    validate.in_range("penalty", sae.penalty, 0.0, 1e30)
