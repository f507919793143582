"""The SAE of Towards Monosemanticity (Bricken et al. 2023, appendix "Autoencoder training")."""

from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float, Integer

from superposition._internal import validate
from superposition.sae import _l1
from superposition.sae._parts import Params, State, median_start, unit_rows
from superposition.typing import InputBatch, PerLatent, PRNGKey, TargetBatch


@dataclass(frozen=True)
class Bricken(_l1.L1Family):
    """f = relu((x - b_dec) W_enc + b_enc); L = mean ||y - y_hat||^2 + penalty sum_i f_i, unit decoder rows.

    The part of the gradient parallel to a decoder row is removed before Adam; b_dec starts at the geometric
    median of the data. At every resample_every-th step, resample_times times, latents silent for dead_after
    samples start again: inputs are drawn with probability ~ loss^2 from resample_inputs fresh ones, a row of
    W_dec is the unit-normalised input, its encoder the same at 0.2 x the mean norm of alive encoders, its
    bias 0, and its Adam moments are forgotten. Raises ConfigError for a negative penalty and counts < 1.

    >>> import jax.numpy as jnp
    >>> sae = Bricken(d_in=3, d_sae=6, resample_every=4, resample_times=2)
    >>> [step for step in range(20) if sae.resamples_at(jnp.int32(step))]
    [3, 7]
    """

    penalised: ClassVar[bool] = True

    penalty: float = 1.0
    resample_every: int = 25_000
    """Steps between resamplings."""
    resample_times: int = 4
    """How many resamplings."""
    resample_inputs: int = 819_200
    """Examples to choose new directions from."""
    dead_after: int = 12_500 * 8192
    """Samples of silence that make a latent dead."""

    def check(self) -> None:
        """Raise ConfigError for settings out of range."""
        _l1.check(self)
        validate.integer("resample_every", self.resample_every, 1)
        validate.integer("resample_times", self.resample_times, 0)
        validate.integer("resample_inputs", self.resample_inputs, 1)
        validate.integer("dead_after", self.dead_after, 1)

    @property
    def unit_norm(self) -> bool:
        """Whether decoder rows are kept at norm 1."""
        return True

    def init_params(self, key: PRNGKey, x: InputBatch | None = None, y: TargetBatch | None = None) -> Params:
        """Unit decoder rows, tied encoder; b_dec at the geometric median of the target."""
        return median_start(self, key, x, y)

    def weights(self, params: Params) -> PerLatent:
        """1: decoder rows have norm 1."""
        return jnp.ones(self.d_sae)

    @property
    def resamples(self) -> bool:
        """Whether it resamples at all."""
        return self.resample_times > 0

    def resamples_at(self, step: Integer[Array, ""]) -> Bool[Array, ""]:
        """Whether the step just made, counted from 0, is followed by a resampling."""
        done = step + 1
        return (done % self.resample_every == 0) & (done <= self.resample_every * self.resample_times)

    def losses(self, params: Params, x: InputBatch, y: TargetBatch) -> Float[Array, "batch"]:
        """||y - y_hat||^2 of every example, (batch,): what resampling weighs inputs by."""
        latents = self.activate(params, self.pre_acts(params, x))
        return jnp.sum((y - self.decode(params, latents, x)) ** 2, -1)

    def resample(
        self, params: Params, state: State, x: Float[Array, "d_sae d_in"], y: Float[Array, "d_sae d_out"]
    ) -> tuple[Params, State, Bool[Array, "d_sae"]]:
        """Parameters and state with dead latents started again, and which they were, (d_sae,) bool.

        x (d_sae, d_in), y (d_sae, d_out): the example drawn for each latent (b_dec is taken off them first).
        """
        dead = state["silent"] >= self.dead_after
        alive = ~dead & (jnp.arange(self.d_sae) < (self.d_sae if self.width is None else self.width))
        norms = jnp.linalg.norm(params["W_enc"], axis=0)
        size = 0.2 * jnp.sum(norms * alive) / jnp.maximum(alive.sum(), 1)
        inside = x - params["b_dec"][None] if self.apply_b_dec_to_input else x
        outside = y - params["b_dec"][None]
        renewed = {
            **params,
            "W_enc": jnp.where(dead[None], size * unit_rows(inside).T, params["W_enc"]),
            "W_dec": jnp.where(dead[:, None], unit_rows(outside), params["W_dec"]),
            "b_enc": jnp.where(dead, 0.0, params["b_enc"]),
        }
        return renewed, {**state, "silent": jnp.where(dead, 0, state["silent"])}, dead
