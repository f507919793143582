"""Baselines: the neuron basis, principal components, and a ReLU SAE with random directions. None is trained."""

from abc import ABC
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import jax.numpy as jnp

from superposition.errors import ConfigError
from superposition.sae import _l1
from superposition.sae._base import SAE
from superposition.sae._parts import Info, Params, State, squared_error, start, without_unused
from superposition.typing import InputBatch, Inputs, Latents, Outputs, PerLatent, PRNGKey, Scalar, TargetBatch


@dataclass(frozen=True)
class _LinearCode(SAE, ABC):
    """A signed linear code: f = (x - b_dec) W_enc, y_hat = f W_dec + b_dec. Not trained."""

    trains: ClassVar[bool] = False
    signed: ClassVar[bool] = True
    transcodes: ClassVar[bool] = False
    saelens: ClassVar[str | None] = "abstopk"  # with k = d_sae it keeps every latent, signs too
    saelens_fields: ClassVar[Mapping[str, tuple[Any, Any]]] = {
        "k": (int, 100),
        "rescale_acts_by_decoder_norm": (bool, False),
    }

    @property
    def unit_norm(self) -> bool:
        """False: nothing is trained."""
        return False

    def pre_acts(self, params: Params, x: Inputs) -> Latents:
        """(x - b_dec) W_enc + b_enc, (..., d_in) -> (..., d_sae)."""
        return self.linear_pre_acts(params, x)

    def activate(self, params: Params, pre: Latents) -> Latents:
        """Pre, signs kept; 0 beyond a masked width."""
        return jnp.where(pre > -1e29, pre, 0.0)

    def decode(self, params: Params, latents: Latents, x: Inputs | None = None) -> Outputs:
        """F W_dec + b_dec, (..., d_sae) -> (..., d_in)."""
        return self.linear_decode(params, latents, x)

    def to_saelens(self) -> dict[str, Any]:
        """K = d_sae, so that every latent is kept."""
        return {"k": self.d_sae, "rescale_acts_by_decoder_norm": False}

    @classmethod
    def from_saelens(cls, settings: dict[str, Any], d_in: int, d_sae: int) -> dict[str, Any] | None:
        """Nothing, where k = d_sae <= d_in and latents are not rescaled; else it is no such code."""
        linear = settings["k"] == d_sae <= d_in and not settings["rescale_acts_by_decoder_norm"]
        return {} if linear else None

    def loss(
        self, params: Params, state: State, x: InputBatch, y: TargetBatch, key: PRNGKey
    ) -> tuple[Scalar, tuple[State, Info]]:
        """Squared error; an active latent is one that is not 0."""
        del key
        latents = self.activate(params, self.pre_acts(params, x))
        error = y - self.decode(params, latents, x)
        total, (state, info) = self.report(state, jnp.abs(latents), {"mse": squared_error(error)}, error)
        return total, (state, info)


@dataclass(frozen=True)
class Identity(_LinearCode):
    """The neuron basis: f = x, W_enc = W_dec = 1, biases 0. d_sae = d_in, or ConfigError.

    >>> import jax, jax.numpy as jnp
    >>> sae = Identity(d_in=3, d_sae=3)
    >>> sae.encode(sae.init_params(jax.random.key(0)), jnp.array([1.0, -2.0, 0.0])).tolist()
    [1.0, -2.0, 0.0]
    """

    d_sae: int = 5

    def check(self) -> None:
        """Raise ConfigError unless d_sae = d_in."""
        if self.d_in is not None and self.d_sae != self.d_in:
            raise ConfigError(f"identity has one latent per input: d_sae={self.d_in}; got {self.d_sae}")

    def init_params(self, key: PRNGKey, x: InputBatch | None = None, y: TargetBatch | None = None) -> Params:
        """W_enc = W_dec = 1."""
        one = jnp.eye(self.d_in)
        return {"W_enc": one, "b_enc": jnp.zeros(self.d_in), "W_dec": one, "b_dec": jnp.zeros(self.d_in)}

    def narrowed(self, width: int) -> SAE:
        """PCA's recipe: a part of the identity is a linear code of fewer latents than inputs."""
        shared = {field.name: getattr(self, field.name) for field in fields(self)}
        return PCA(**shared | {"d_sae": width, "width": None})


@dataclass(frozen=True)
class PCA(_LinearCode):
    """Principal components of the data: W_dec rows are the d_sae leading ones, W_enc = W_dec^T, b_dec = mean.

    Raises ConfigError for d_sae > d_in, or if init_params is given no data.

    >>> import jax, jax.numpy as jnp
    >>> data = jnp.array([[2.0, 0.0], [-2.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    >>> abs(PCA(d_in=2, d_sae=1).init_params(jax.random.key(0), data)["W_dec"]).round(3).tolist()
    [[1.0, 0.0]]
    """

    d_sae: int = 5

    def check(self) -> None:
        """Raise ConfigError for d_sae > d_in."""
        if self.d_in is not None and self.d_sae > self.d_in:
            raise ConfigError(f"pca has at most d_in={self.d_in} components; got d_sae={self.d_sae}")

    def init_params(self, key: PRNGKey, x: InputBatch | None = None, y: TargetBatch | None = None) -> Params:
        """Components from the sample x, largest variance first."""
        if x is None:
            raise ConfigError("pca is made from data; give init_params a sample x (examples, d_in)")
        mean = x.mean(0)
        _, vectors = jnp.linalg.eigh((x - mean[None]).T @ (x - mean[None]) / x.shape[0])
        W_dec = vectors.T[::-1][: self.d_sae]
        return {"W_enc": W_dec.T, "b_enc": jnp.zeros(self.d_sae), "W_dec": W_dec, "b_dec": mean}


@dataclass(frozen=True)
class Random(_l1.L1Family):
    """A ReLU SAE as it starts: random unit directions, tied, biases 0. Not trained.

    >>> import jax, jax.numpy as jnp
    >>> params = Random(d_in=3, d_sae=6).init_params(jax.random.key(0))
    >>> jnp.linalg.norm(params["W_dec"], axis=1).round(3).tolist()
    [1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    """

    trains: ClassVar[bool] = False

    penalty: float = 0.0

    def check(self) -> None:
        """Raise ConfigError for a negative penalty."""
        _l1.check(self)

    @property
    def unit_norm(self) -> bool:
        """False: nothing is trained."""
        return False

    def weights(self, params: Params) -> PerLatent:
        """||W_dec,i||, (d_sae,)."""
        return jnp.linalg.norm(params["W_dec"], axis=-1)

    def init_params(self, key: PRNGKey, x: InputBatch | None = None, y: TargetBatch | None = None) -> Params:
        """Random unit directions."""
        params = start(
            key, self.d_in, self.d_sae, self.target_width, decoder_norm=1.0, tied=self.d_out is None
        )
        return without_unused(self, params)
