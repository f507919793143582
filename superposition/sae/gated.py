"""The gated SAE (Rajamanoharan et al. 2024, "Improving Dictionary Learning with Gated SAEs", sections 3 and 4)."""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp

from superposition._internal import validate
from superposition._internal.rank import lead
from superposition.sae._base import SAE
from superposition.sae._parts import Info, Params, State, squared_error, start
from superposition.typing import (
    InputBatch,
    Inputs,
    Latents,
    Outputs,
    PRNGKey,
    Scalar,
    TargetBatch,
)


@dataclass(frozen=True)
class Gated(SAE):
    """pi = (x - b_dec) W_enc + b_gate; f = 1[pi > 0] relu((x - b_dec) W_enc exp(r_mag) + b_mag).

    L = mean ||y - y_hat||^2 + penalty sum_i relu(pi)_i + ||y - y_hat_frozen(relu(pi))||^2. The last term
    trains the gate, which a step function hides from the first; its decoder W_dec, b_dec (and W_skip) carry a
    stop-gradient, so that shrunken relu(pi) never pulls at the decoder. Decoder rows have norm 1.
    Raises ConfigError for a negative penalty.

    >>> import jax
    >>> params = Gated(d_in=3, d_sae=6).init_params(jax.random.key(0))
    >>> sorted(params)
    ['W_dec', 'W_enc', 'b_dec', 'b_gate', 'b_mag', 'r_mag']
    """

    penalised: ClassVar[bool] = True
    per_latent: ClassVar[tuple[str, ...]] = ("W_enc", "b_gate", "b_mag", "r_mag", "W_dec")
    in_pre_act_units: ClassVar[tuple[str, ...]] = ("W_enc", "b_gate", "b_mag")
    saelens: ClassVar[str | None] = "gated"

    penalty: float = 1.0
    """Weight of the sparsity term."""

    def check(self) -> None:
        """Raise ConfigError for a negative penalty."""
        validate.in_range("penalty", self.penalty, 0.0, 1e30)

    @property
    def unit_norm(self) -> bool:
        """Whether decoder rows are kept at norm 1."""
        return True

    def init_params(self, key: PRNGKey, x: InputBatch | None = None, y: TargetBatch | None = None) -> Params:
        """Unit decoder rows, tied encoder, r_mag and biases 0."""
        params = start(
            key, self.d_in, self.d_sae, self.target_width, decoder_norm=1.0, tied=self.d_out is None
        )
        zeros = jnp.zeros(self.d_sae)
        gates = {"b_gate": zeros, "b_mag": zeros, "r_mag": zeros}
        unused = ("b_enc",) if self.skip else ("b_enc", "W_skip")
        return {k: v for k, v in params.items() if k not in unused} | gates

    def pre_acts(self, params: Params, x: Inputs) -> Latents:
        """(x - b_dec) W_enc, before the gate's and the magnitude's own biases."""
        inside = x - lead(params["b_dec"], x) if self.apply_b_dec_to_input else x
        return self.mask(self.matmul(inside, params["W_enc"]))

    def activate(self, params: Params, pre: Latents) -> Latents:
        """1[pre + b_gate > 0] relu(exp(r_mag) pre + b_mag)."""
        b_gate, b_mag, r_mag = (lead(params[name], pre) for name in ("b_gate", "b_mag", "r_mag"))
        magnitude = jax.nn.relu(self.mask(pre * jnp.exp(r_mag) + b_mag))
        return jnp.where(pre + b_gate > 0, magnitude, 0.0)

    def decode(self, params: Params, latents: Latents, x: Inputs | None = None) -> Outputs:
        """F W_dec + b_dec (+ W_skip x), (..., d_sae) -> (..., d_out)."""
        return self.linear_decode(params, latents, x)

    def fold_input_bias(self, params: Params) -> Params:
        """b_gate - b_dec W_enc and b_mag - b_dec W_enc exp(r_mag) take the places of the two biases."""
        shift = params["b_dec"] @ params["W_enc"]
        b_mag = params["b_mag"] - shift * jnp.exp(params["r_mag"])
        return {**params, "b_gate": params["b_gate"] - shift, "b_mag": b_mag}

    def loss(
        self, params: Params, state: State, x: InputBatch, y: TargetBatch, key: PRNGKey
    ) -> tuple[Scalar, tuple[State, Info]]:
        """Squared error, L1 of the gate, and the frozen decoder's squared error."""
        del key
        pre = self.pre_acts(params, x)
        latents = self.activate(params, pre)
        gate = jax.nn.relu(pre + params["b_gate"][None])
        error = y - self.decode(params, latents, x)
        frozen = y - self.decode(jax.lax.stop_gradient(params), gate, x)
        terms = {
            "mse": squared_error(error),
            "l1": self.penalty * gate.sum() / x.shape[0],
            "gate_aux": squared_error(frozen),
        }
        return self.report(state, latents, terms, error)
