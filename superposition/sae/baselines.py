"""What an SAE has to beat: the neurons themselves, principal components, random directions."""

from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp
from jax import Array

from superposition.errors import ConfigError
from superposition.sae._base import SAE, Info, Params, State, squared_error, start
from superposition.sae.relu import ReLU
from superposition.typing import PRNGKey


@dataclass(frozen=True)
class _Fixed(SAE):
    """A signed linear code: f = (x - b_dec) W_enc, y_hat = f W_dec + b_dec. Not trained."""

    trains: ClassVar[bool] = False
    transcodes: ClassVar[bool] = False

    def activate(self, params: Params, pre: Array) -> Array:
        """Pre, signs kept."""
        return jnp.where(pre > -1e29, pre, 0.0)

    def loss(
        self, params: Params, state: State, x: Array, y: Array, key: PRNGKey
    ) -> tuple[Array, tuple[State, Info]]:
        """Squared error; an active latent is one that is not 0."""
        del key
        latents = self.activate(params, self.pre_acts(params, x))
        error = y - self.decode(params, latents, x)
        total, (state, info) = self.report(state, jnp.abs(latents), {"mse": squared_error(error)}, error)
        return total, (state, info)


@dataclass(frozen=True)
class Identity(_Fixed):
    """The neurons: f = x, W_enc = W_dec = 1, biases 0. d_sae = d_in, or ConfigError."""

    d_sae: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.d_in is not None and self.d_sae != self.d_in:
            raise ConfigError(f"identity has one latent per input: d_sae={self.d_in}; got {self.d_sae}")

    def init_params(self, key: PRNGKey, x: Array | None = None, y: Array | None = None) -> Params:
        """W_enc = W_dec = 1."""
        one = jnp.eye(self.d_in)
        return {"W_enc": one, "b_enc": jnp.zeros(self.d_in), "W_dec": one, "b_dec": jnp.zeros(self.d_in)}


@dataclass(frozen=True)
class PCA(_Fixed):
    """Principal components of the data: W_dec rows are the d_sae leading ones, W_enc = W_dec^T, b_dec = mean.

    Raises ConfigError for d_sae > d_in, or if init_params is given no data.
    """

    d_sae: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.d_in is not None and self.d_sae > self.d_in:
            raise ConfigError(f"pca has at most d_in={self.d_in} components; got d_sae={self.d_sae}")

    def init_params(self, key: PRNGKey, x: Array | None = None, y: Array | None = None) -> Params:
        """Components from the sample x, largest variance first."""
        if x is None:
            raise ConfigError("pca is made from data; give init_params a sample x (examples, d_in)")
        mean = x.mean(0)
        _, vectors = jnp.linalg.eigh((x - mean).T @ (x - mean) / x.shape[0])
        W_dec = vectors.T[::-1][: self.d_sae]
        return {"W_enc": W_dec.T, "b_enc": jnp.zeros(self.d_sae), "W_dec": W_dec, "b_dec": mean}


@dataclass(frozen=True)
class Random(ReLU):
    """A ReLU SAE as it starts: random unit directions, tied, biases 0. Not trained."""

    trains: ClassVar[bool] = False
    penalised: ClassVar[bool] = False

    penalty: float = 0.0

    def init_params(self, key: PRNGKey, x: Array | None = None, y: Array | None = None) -> Params:
        """Random unit directions."""
        params = start(
            key, self.d_in, self.d_sae, self.target_width, decoder_norm=1.0, tied=self.d_out is None
        )
        return params if self.skip else {k: v for k, v in params.items() if k != "W_skip"}
