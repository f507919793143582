"""The JumpReLU SAE: Rajamanoharan et al. 2024; Anthropic, January 2025; Gemma Scope 2."""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array

from superposition._internal import validate
from superposition._internal.rank import lead
from superposition.errors import ConfigError
from superposition.sae._base import MASKED_PRE_ACT, SAE
from superposition.sae._parts import Info, Params, State, squared_error, start, without_unused
from superposition.typing import InputBatch, Inputs, Latents, Outputs, PRNGKey, Scalar, TargetBatch

SPARSITY_LOSSES = ("step", "tanh", "quadratic")


@jax.custom_vjp
def step(z: Array, threshold: Array, bandwidth: Array, to_input: Array) -> Array:
    """H(z - threshold), with dH/dthreshold = -K / bandwidth, K = 1[|z - threshold| < bandwidth / 2].

    z are pre-activations: K looks at both sides of the threshold. dH/dz = 0, or +K / bandwidth where to_input.
    """
    return (z > lead(threshold, z)).astype(z.dtype)


def _step_forward(
    z: Array, threshold: Array, bandwidth: Array, to_input: Array
) -> tuple[Array, tuple[Array, ...]]:
    return step(z, threshold, bandwidth, to_input), (z, threshold, bandwidth, to_input)


def _step_backward(residuals: tuple[Array, ...], g: Array) -> tuple[Array | None, ...]:
    z, threshold, bandwidth, to_input = residuals
    slope = g * _window(z, threshold, bandwidth) / bandwidth
    return to_input * slope, _sum_like(-slope, threshold), None, None


@jax.custom_vjp
def jumprelu(z: Array, threshold: Array, bandwidth: Array, to_input: Array) -> Array:
    """Z H(z - threshold), with d/dthreshold = -threshold K / bandwidth; d/dz = H (+ threshold K / bandwidth)."""
    return jnp.where(z > lead(threshold, z), jax.nn.relu(z), 0.0)


def _jump_forward(
    z: Array, threshold: Array, bandwidth: Array, to_input: Array
) -> tuple[Array, tuple[Array, ...]]:
    return jumprelu(z, threshold, bandwidth, to_input), (z, threshold, bandwidth, to_input)


def _jump_backward(residuals: tuple[Array, ...], g: Array) -> tuple[Array | None, ...]:
    z, threshold, bandwidth, to_input = residuals
    slope = g * lead(threshold, z) * _window(z, threshold, bandwidth) / bandwidth
    passed = jnp.where((z > lead(threshold, z)) & (z > 0), g, 0.0)
    return passed + to_input * slope, _sum_like(-slope, threshold), None, None


step.defvjp(_step_forward, _step_backward)
jumprelu.defvjp(_jump_forward, _jump_backward)


def _window(z: Array, threshold: Array, bandwidth: Array) -> Array:
    return (jnp.abs(z - lead(threshold, z)) < bandwidth / 2).astype(z.dtype)


def _sum_like(g: Array, threshold: Array) -> Array:
    return g.sum(tuple(range(g.ndim - threshold.ndim)))


@dataclass(frozen=True)
class JumpReLU(SAE):
    """f = pre 1[pre > threshold], pre = (x - b_dec) W_enc + b_enc; L = mean ||y - y_hat||^2 + sparsity.

    sparsity_loss="step": penalty sum_i H(pre_i - threshold_i), the L0 of Rajamanoharan et al. 2024;
    "tanh": penalty sum_i tanh(tanh_scale f_i ||W_dec,i||) (Anthropic, January 2025, with to_input=True);
    "quadratic": penalty (2 / l0_target) (L0 - l0_target)^2 per example (Gemma Scope 2).
    pre_act_penalty sum_i relu(threshold_i - pre_i) ||W_dec,i|| revives latents (Anthropic, 3e-6).
    The gradient of a threshold is a rectangle of width `bandwidth` about it, in pre-activations; to_input
    sends it to the encoder too. Thresholds are trained as they are, clipped at 0: their logarithm hardly
    moves under Adam. The defaults of threshold and bandwidth are for E||x|| = sqrt(d_in).
    Raises ConfigError for negative weights, an unknown sparsity_loss, and "quadratic" without l0_target.

    >>> import jax
    >>> JumpReLU(d_in=3, d_sae=6, threshold=0.5).init_params(jax.random.key(0))["threshold"].tolist()
    [0.5, 0.5, 0.5, 0.5, 0.5, 0.5]
    """

    penalised: ClassVar[bool] = True
    per_latent: ClassVar[tuple[str, ...]] = ("W_enc", "b_enc", "threshold", "W_dec")
    in_pre_act_units: ClassVar[tuple[str, ...]] = ("W_enc", "b_enc", "threshold")
    counts_latents: ClassVar[tuple[str, ...]] = ("l0_target",)
    saelens: ClassVar[str | None] = "jumprelu"
    saelens_transcoder: ClassVar[str | None] = "jumprelu_transcoder"

    penalty: float = 1.0
    """Weight of the sparsity term."""
    sparsity_loss: str = "step"
    """Kind of the sparsity term: step, tanh or quadratic."""
    l0_target: float | None = None
    """With sparsity_loss quadratic: how many latents should fire."""
    threshold: float = 0.01
    """Threshold at the start."""
    bandwidth: float = 0.05
    """Width of the gradient's window."""
    tanh_scale: float = 4.0
    """Scale inside the tanh of sparsity_loss tanh."""
    pre_act_penalty: float = 0.0
    """Weight of the term that revives latents."""
    to_input: bool = False
    """Thresholds' gradient also to the encoder."""

    def check(self) -> None:
        """Raise ConfigError for settings out of range."""
        validate.choice("sparsity_loss", self.sparsity_loss, SPARSITY_LOSSES)
        for name in ("penalty", "threshold", "tanh_scale", "pre_act_penalty"):
            validate.in_range(name, getattr(self, name), 0.0, 1e30)
        validate.in_range("bandwidth", self.bandwidth, 0.0, 1e30, open_low=True)
        if self.l0_target is not None:
            validate.in_range("l0_target", self.l0_target, 0.0, self.d_sae, open_low=True)
        elif self.sparsity_loss == "quadratic":
            raise ConfigError(
                "sparsity_loss='quadratic' needs l0_target, the number of active latents to aim at"
            )

    @property
    def unit_norm(self) -> bool:
        """Decoder rows of norm 1 (Rajamanoharan et al. 2024), except where "tanh" weighs by the norm."""
        return self.sparsity_loss != "tanh"

    def init_params(self, key: PRNGKey, x: InputBatch | None = None, y: TargetBatch | None = None) -> Params:
        """Tied start, decoder rows of norm 1 ("tanh": 0.1), every threshold at `threshold`."""
        norm, tied = 1.0 if self.unit_norm else 0.1, self.d_out is None
        params = start(key, self.d_in, self.d_sae, self.target_width, decoder_norm=norm, tied=tied)
        params["threshold"] = jnp.full(self.d_sae, self.threshold, jnp.float32)
        return without_unused(self, params)

    def bound(self, params: Params, state: State) -> Params:
        """Thresholds stay >= 0."""
        del state
        return {"threshold": jax.nn.relu(params["threshold"])}

    def pre_acts(self, params: Params, x: Inputs) -> Latents:
        """(x - b_dec) W_enc + b_enc, (..., d_in) -> (..., d_sae)."""
        return self.linear_pre_acts(params, x)

    def activate(self, params: Params, pre: Latents) -> Latents:
        """Pre where it exceeds its threshold."""
        return jumprelu(pre, params["threshold"], *self._estimator)

    def decode(self, params: Params, latents: Latents, x: Inputs | None = None) -> Outputs:
        """F W_dec + b_dec (+ W_skip x), (..., d_sae) -> (..., d_out)."""
        return self.linear_decode(params, latents, x)

    @property
    def _estimator(self) -> tuple[Array, Array]:
        return jnp.asarray(self.bandwidth, jnp.float32), jnp.asarray(self.to_input, jnp.float32)

    def loss(
        self, params: Params, state: State, x: InputBatch, y: TargetBatch, key: PRNGKey
    ) -> tuple[Scalar, tuple[State, Info]]:
        """Squared error and one of three sparsity terms."""
        del key
        pre, batch = self.pre_acts(params, x), x.shape[0]
        latents = self.activate(params, pre)
        error = y - self.decode(params, latents, x)
        norms = jnp.linalg.norm(params["W_dec"], axis=-1)
        if self.sparsity_loss == "tanh":
            sparsity = jnp.tanh(self.tanh_scale * latents * norms[None]).sum() / batch
        else:
            l0 = step(pre, params["threshold"], *self._estimator).sum(-1)
            sparsity = l0.mean()
            if self.sparsity_loss == "quadratic" and self.l0_target is not None:
                sparsity = jnp.mean((l0 - self.l0_target) ** 2) * 2 / self.l0_target
        terms = {"mse": squared_error(error), "sparsity": self.penalty * sparsity}
        if not validate.is_concrete(self.pre_act_penalty) or self.pre_act_penalty > 0:
            missing = jax.nn.relu(lead(params["threshold"], pre) - pre)
            below = jnp.where(pre > MASKED_PRE_ACT, missing, 0.0).sum(0) @ norms
            terms["pre_act"] = self.pre_act_penalty * below / batch
        return self.report(state, latents, terms, error)
