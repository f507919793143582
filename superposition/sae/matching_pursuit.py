"""The matching-pursuit SAE (Costa et al. 2025, "From Flat to Hierarchical"; SAELens)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from superposition._internal import validate
from superposition._internal.rank import lead
from superposition.errors import ConfigError
from superposition.sae import _parts
from superposition.sae._base import SAE
from superposition.sae._parts import Info, Params, State, squared_error, start, unit_rows
from superposition.typing import InputBatch, Inputs, Latents, Outputs, PRNGKey, Scalar, TargetBatch


@dataclass(frozen=True)
class MatchingPursuit(SAE):
    """r = x - b_dec; repeat: j = argmax r . D_j, c = relu(r . D_j), f_j += c, r -= c D_j.

    D = W_dec, unit rows, tied (a transcoder pursues with D = W_enc^T and decodes with W_dec). An example
    stops after max_iterations (default d_in), when ||r|| < residual_threshold (0: never), or, with
    stop_on_duplicate_support, when an iteration adds no new latent. L = mean ||y - y_hat||^2, with the
    gradient through every coefficient and residual, none through the choice. Raises ConfigError for
    max_iterations < 1 and a negative residual_threshold.

    >>> import jax, jax.numpy as jnp
    >>> sae = MatchingPursuit(d_in=3, d_sae=3, residual_threshold=0.0)
    >>> params = {"W_dec": jnp.eye(3), "b_dec": jnp.zeros(3)}
    >>> sae.encode(params, jnp.array([2.0, -1.0, 3.0])).tolist()
    [2.0, 0.0, 3.0]
    """

    per_latent: ClassVar[tuple[str, ...]] = ("W_enc", "W_dec")
    in_pre_act_units: ClassVar[tuple[str, ...]] = ("W_enc",)
    saelens: ClassVar[str | None] = "matching_pursuit"
    saelens_fields: ClassVar[Mapping[str, tuple[Any, Any]]] = {
        "residual_threshold": (float, 1e-2),
        "max_iterations": (int | None, None),
        "stop_on_duplicate_support": (bool, True),
    }

    max_iterations: int | None = None
    """Most iterations an example. Default d_in."""
    residual_threshold: float = 1e-2
    """Stop at this residual norm."""
    stop_on_duplicate_support: bool = True
    """Stop when an iteration adds no latent."""

    def check(self) -> None:
        """Raise ConfigError for settings out of range."""
        if self.max_iterations is not None:
            validate.integer("max_iterations", self.max_iterations, 1)
        validate.in_range("residual_threshold", self.residual_threshold, 0.0, 1e30)

    @property
    def unit_norm(self) -> bool:
        """Whether decoder rows are kept at norm 1."""
        return self.d_out is None

    def init_params(self, key: PRNGKey, x: InputBatch | None = None, y: TargetBatch | None = None) -> Params:
        """Unit rows; b_dec 0."""
        params = start(
            key, self.d_in, self.d_sae, self.target_width, decoder_norm=1.0, tied=self.d_out is None
        )
        kept = {"W_dec", "b_dec"} | ({"W_enc"} if self.d_out is not None else set())
        return {k: v for k, v in params.items() if k in kept or (k == "W_skip" and self.skip)}

    def bound(self, params: Params, state: State) -> Params:
        """Unit columns of the W_enc that a transcoder pursues with."""
        del state
        return {} if self.d_out is None else {"W_enc": unit_rows(params["W_enc"].T).T}

    def pre_acts(self, params: Params, x: Inputs) -> Inputs:
        """X - b_dec: pursuit has residuals, not pre-activations; (..., d_in) -> (..., d_in)."""
        return x - lead(params["b_dec"], x) if self.apply_b_dec_to_input else x

    def activate(self, params: Params, pre: Inputs) -> Latents:
        """Latents by pursuit of pre, (..., d_in) -> (..., d_sae)."""
        return self.pursue(params, pre.reshape(-1, self.d_in)).reshape(*pre.shape[:-1], self.d_sae)

    def dictionary(self, params: Params) -> Float[Array, "d_sae d_in"]:
        """D (d_sae, d_in)."""
        return jnp.asarray(params["W_dec"] if self.d_out is None else params["W_enc"].T)

    def pursue(self, params: Params, x: InputBatch) -> Float[Array, "batch d_sae"]:
        """Latents (batch, d_sae) of residuals x (batch, d_in). Stops for the batch when every example has."""
        D, batch = self.dictionary(params), jnp.arange(x.shape[0])
        chosen, live = _choose(self, jax.lax.stop_gradient(D), jax.lax.stop_gradient(x))

        def follow(carry: tuple[Array, Array], pick: tuple[Array, Array]) -> tuple[tuple[Array, Array], None]:
            residual, latents = carry
            index, on = pick
            row = D[index]
            c = jnp.where(on, jax.nn.relu(jnp.sum(residual * row, -1)), 0.0)
            return (residual - c[:, None] * row, latents.at[batch, index].add(c)), None

        start = (x, jnp.zeros((x.shape[0], self.d_sae)))
        return jax.lax.scan(follow, start, (chosen, live))[0][1]

    def decode(self, params: Params, latents: Latents, x: Inputs | None = None) -> Outputs:
        """F W_dec + b_dec; b_dec only where it was subtracted, as the encoder is tied (SAELens)."""
        if self.d_out is None and not self.apply_b_dec_to_input:
            return self.matmul(latents, params["W_dec"])
        return self.linear_decode(params, latents, x)

    def fold_decoder_norm(self, params: Params) -> tuple[SAE, Params]:
        """ConfigError: the choice of latents would change."""
        raise ConfigError("matching pursuit chooses latents by its dictionary's norms; they cannot be folded")

    def fold_input_bias(self, params: Params) -> Params:
        """ConfigError: there is no encoder bias."""
        raise ConfigError("matching pursuit has no encoder bias that could take b_dec")

    def fold_scale(self, params: Params, scale_in: float, scale_out: float) -> tuple[SAE, Params]:
        """The dictionary keeps its norms: latents, and residual_threshold, are divided by scale_in."""
        folded = _parts.scaled_biases(params, scale_in, scale_out)
        if self.d_out is not None:
            folded["W_dec"] = params["W_dec"] * (scale_in / scale_out)
        elif scale_in != scale_out:
            raise ConfigError("matching pursuit decodes with its dictionary: scale_out must be scale_in")
        return replace(self, residual_threshold=self.residual_threshold / scale_in), folded

    def loss(
        self, params: Params, state: State, x: InputBatch, y: TargetBatch, key: PRNGKey
    ) -> tuple[Scalar, tuple[State, Info]]:
        """Squared error."""
        del key
        latents = self.pursue(params, self.pre_acts(params, x))
        error = y - self.decode(params, latents, x)
        return self.report(state, latents, {"mse": squared_error(error)}, error)


def _choose(sae: MatchingPursuit, D: Array, x: Array) -> tuple[Array, Array]:
    """Which latent each iteration picks and whether it counts, (iterations, batch); no gradient."""
    limit = sae.d_in if sae.max_iterations is None else sae.max_iterations
    count = x.shape[0]
    example = jnp.arange(count)

    def more(carry: Any) -> Array:
        i, _, done, *_ = carry
        return (i < limit) & ~done.all()

    def pick(carry: Any) -> Any:
        i, residual, done, support, chosen, live = carry
        score = sae.mask(sae.matmul(residual, D.T))
        index = jnp.argmax(jax.nn.relu(score), -1)
        c = jnp.where(done, 0.0, jax.nn.relu(jnp.take_along_axis(score, index[:, None], -1)[:, 0]))
        residual = residual - c[:, None] * D[index]
        new = (c > 0) & ~support[example, index]
        chosen, live = chosen.at[i].set(index), live.at[i].set(c > 0)
        support = support.at[example, index].max(c > 0)
        if sae.stop_on_duplicate_support:
            done = done | ~new
        if not validate.is_concrete(sae.residual_threshold) or sae.residual_threshold > 0:
            done = done | (jnp.linalg.norm(residual, axis=-1) < sae.residual_threshold)
        return i + 1, residual, done, support, chosen, live

    start = (
        jnp.int32(0),
        x,
        jnp.zeros(count, bool),
        jnp.zeros((count, sae.d_sae), bool),
        jnp.zeros((limit, count), jnp.int32),
        jnp.zeros((limit, count), bool),
    )
    return jax.lax.while_loop(more, pick, start)[-2:]
