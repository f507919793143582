"""What the architectures share: parameters by name, encode and decode, and what a loss reports.

An SAE is a frozen dataclass of hyperparameters; parameters are a dict of arrays under the field's names
(W_enc (d_in, d_sae), b_enc (d_sae,), W_dec (d_sae, d_out), b_dec (d_out,), ...), which are also their names on
disk. Functions are pure and take any leading batch axes; a loss takes a batch.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax import Array

from superposition._internal import validate
from superposition.errors import ConfigError
from superposition.typing import PRNGKey

Params: TypeAlias = dict[str, Array]
State: TypeAlias = dict[str, Array]

NORMALIZATIONS = ("none", "layer_norm", "constant_norm_rescale")
MATMUL_DTYPES = ("float32", "bfloat16")
NEVER = 2**30  # samples: a counter that stops here cannot overflow, and any dead_after is below it
OFF = -1e30  # the pre-activation of a latent outside a masked width


class Info(NamedTuple):
    """What a loss reports about a batch: named terms (they sum to the loss), who fired, and y - y_hat."""

    terms: dict[str, Array]
    l0: Array  # mean number of latents active in an example
    fired: Array  # (d_sae,) bool
    error: Array  # (batch, d_out)


@dataclass(frozen=True)
class SAE(ABC):
    """A sparse autoencoder: latents f = encode(x) (d_sae,), y_hat = f W_dec + b_dec, y = x.

    d_out makes it a transcoder (y differs from x; b_dec is then never subtracted from the input) and
    skip=True adds W_skip x to its output. normalize_activations is a SAELens run-time norm, applied to x and
    undone on y_hat. width (int or traced) silences latents from there on, so that widths share a program.
    matmul_dtype="bfloat16" multiplies in bf16 and accumulates in float32; parameters stay float32.
    d_in may be left out where the data give it (`SAERun`).
    Raises ConfigError for sizes < 1, skip without d_out, and unknown names.
    """

    trains: ClassVar[bool] = True
    penalised: ClassVar[bool] = False  # has a `penalty` that trades sparsity for error
    transcodes: ClassVar[bool] = True

    d_in: int = None  # type: ignore[assignment]  # of the data: `SAERun` fills it in
    d_sae: int = 20
    d_out: int | None = None
    skip: bool = False
    apply_b_dec_to_input: bool = True
    normalize_activations: str = "none"
    matmul_dtype: str = "float32"
    width: Any = None

    def __post_init__(self) -> None:
        validate.settle(self)
        if self.d_in is not None:
            validate.integer("d_in", self.d_in, 1)
        validate.integer("d_sae", self.d_sae, 1)
        validate.choice("normalize_activations", self.normalize_activations, NORMALIZATIONS)
        validate.choice("matmul_dtype", self.matmul_dtype, MATMUL_DTYPES)
        if self.d_out is not None:
            validate.integer("d_out", self.d_out, 1)
            if not self.transcodes:
                raise ConfigError(f"{type(self).__name__} reconstructs its input; leave d_out out")
            if self.normalize_activations != "none":
                raise ConfigError(
                    "a transcoder takes normalize_activations='none': its output is not its input"
                )
            object.__setattr__(self, "apply_b_dec_to_input", False)
        elif self.skip:
            raise ConfigError("skip=True is for transcoders; give d_out, the width of the target")
        if self.width is not None and validate.is_concrete(self.width):
            validate.integer("width", self.width, 1, self.d_sae + 1)

    @property
    def unit_norm(self) -> bool:
        """Whether decoder rows are kept at norm 1."""
        return False

    @property
    def target_width(self) -> int:
        """The length of y: d_out, or d_in."""
        return self.d_in if self.d_out is None else self.d_out

    # -- parameters

    def init_params(self, key: PRNGKey, x: Array | None = None, y: Array | None = None) -> Params:
        """Random decoder directions of norm decoder_norm, tied encoder (an SAE's), biases 0.

        x (batch, d_in) and y (batch, d_out), a sample of the data, are for those that start from it.
        """
        return _drop_unused(
            self, start(key, self.d_in, self.d_sae, self.target_width, tied=self.d_out is None)
        )

    def init_state(self) -> State:
        """What the next step needs: samples since each latent last fired."""
        return {"silent": jnp.zeros(self.d_sae, jnp.int32)}

    def constrain(self, params: Params, state: State) -> Params:
        """Parameters put back where they belong after a step."""
        del state
        return {**params, "W_dec": unit_rows(params["W_dec"])} if self.unit_norm else params

    def project(self, params: Params, grads: Params) -> Params:
        """Gradients without what a constraint would undo: of unit decoder rows, the parallel part."""
        if not self.unit_norm:
            return grads
        g, w = grads["W_dec"], params["W_dec"]
        return {**grads, "W_dec": g - jnp.sum(g * w, -1, keepdims=True) * w}

    # -- the map

    def pre_acts(self, params: Params, x: Array) -> Array:
        """(x - b_dec) W_enc + b_enc, (..., d_in) -> (..., d_sae)."""
        return self.mask(self.matmul(x, params["W_enc"]) + self.bias(params))

    @abstractmethod
    def activate(self, params: Params, pre: Array) -> Array:
        """Latents from pre-activations, (..., d_sae), as used after training."""

    def encode(self, params: Params, x: Array) -> Array:
        """Latents f, (..., d_in) -> (..., d_sae)."""
        return self.activate(params, self.pre_acts(params, self.norm_in(x)[0]))

    def decode(self, params: Params, latents: Array, x: Array | None = None) -> Array:
        """y_hat = f W_dec + b_dec (+ W_skip x), (..., d_sae) -> (..., d_out); undo no run-time norm."""
        y = self.matmul(latents, params["W_dec"]) + params["b_dec"]
        if not self.skip:
            return y
        if x is None:
            raise ConfigError("a skip transcoder decodes with its input; give x")
        return y + self.matmul(x, params["W_skip"].T)

    def __call__(self, *_: Any) -> None:
        """ConfigError: an SAE is two maps."""
        raise ConfigError(
            "an SAE is two maps; call its encode(params, x), decode(params, latents) or reconstruct(params, x)"
        )

    def reconstruct(self, params: Params, x: Array) -> tuple[Array, Array]:
        """Latents and y_hat of x, run-time norm applied and undone."""
        inside, undo = self.norm_in(x)
        latents = self.activate(params, self.pre_acts(params, inside))
        return latents, undo(self.decode(params, latents, inside))

    @abstractmethod
    def loss(
        self, params: Params, state: State, x: Array, y: Array, key: PRNGKey
    ) -> tuple[Array, tuple[State, Info]]:
        """Mean loss of a batch x (batch, d_in), y (batch, d_out), with the next state and what it saw."""

    # -- parts

    def bias(self, params: Params) -> Array:
        """b_enc - b_dec W_enc: one product a batch, and the gradient of b_dec is one more."""
        if not self.apply_b_dec_to_input:
            return params["b_enc"]
        return params["b_enc"] - self.matmul(params["b_dec"], params["W_enc"])

    def mask(self, pre: Array) -> Array:
        """Silence latents at and beyond `width`."""
        return pre if self.width is None else jnp.where(jnp.arange(self.d_sae) < self.width, pre, OFF)

    def matmul(self, a: Array, b: Array) -> Array:
        """A b in matmul_dtype, accumulated in float32."""
        if self.matmul_dtype == "float32":
            return a @ b
        low = jnp.bfloat16
        return jnp.matmul(a.astype(low), b.astype(low), preferred_element_type=jnp.float32)

    def norm_in(self, x: Array) -> tuple[Array, Any]:
        """Normalised x, and the function that undoes it on y_hat."""
        if self.normalize_activations == "constant_norm_rescale":
            factor = jnp.sqrt(x.shape[-1]) / jnp.linalg.norm(x, axis=-1, keepdims=True)
            return x * factor, lambda y: y / factor
        if self.normalize_activations == "layer_norm":
            mean = x.mean(-1, keepdims=True)
            std = x.std(-1, keepdims=True, ddof=1)  # SAELens divides by n - 1
            return (x - mean) / (std + 1e-5), lambda y: y * std + mean
        return x, lambda y: y

    def count(self, state: State, fired: Array, batch: int) -> State:
        """The next state: latents that fired start again from 0, the others are `batch` samples older."""
        older = jnp.minimum(state["silent"], NEVER - batch) + batch
        return {**state, "silent": jnp.where(fired, 0, older)}

    def report(
        self, state: State, latents: Array, terms: dict[str, Array], error: Array
    ) -> tuple[Array, tuple[State, Info]]:
        """Sum of the terms, next state and Info, from dense latents (batch, d_sae)."""
        count = tally(latents > 0)
        info = Info(terms, count.sum() / latents.shape[0], count > 0, error)
        return sum(terms.values(), jnp.float32(0)), (self.count(state, info.fired, latents.shape[0]), info)


def start(
    key: PRNGKey, d_in: int, d_sae: int, d_out: int, *, decoder_norm: float = 0.1, tied: bool = True
) -> Params:
    """Decoder rows in random directions of one norm; W_enc = W_dec^T, or its own rows of that norm.

    Raises ConfigError where this machine has not the memory.
    """
    validate.integer("d_in, the width of the data,", d_in, 1)
    if validate.is_concrete(key):  # a trace takes no memory
        bytes_taken = 4 * (d_sae + 1) * (d_in + d_out)
        validate.memory(f"an SAE of d_in={d_in} and d_sae={d_sae}", bytes_taken, "smaller ones")
    own, other = jax.random.split(key)
    W_dec = decoder_norm * unit_rows(jax.random.normal(own, (d_sae, d_out)))
    W_enc = W_dec if tied else decoder_norm * unit_rows(jax.random.normal(other, (d_sae, d_in)))
    return {
        "W_enc": W_enc.T,
        "b_enc": jnp.zeros(d_sae),
        "W_dec": W_dec,
        "b_dec": jnp.zeros(d_out),
        "W_skip": jnp.zeros((d_out, d_in)),
    }


def median_start(sae: SAE, key: PRNGKey, x: Array | None, y: Array | None) -> Params:
    """Unit decoder rows, tied for an SAE; b_dec at the geometric median of the target (x for an SAE)."""
    tied = sae.d_out is None
    params = start(key, sae.d_in, sae.d_sae, sae.target_width, decoder_norm=1.0, tied=tied)
    target = x if tied else y
    if target is not None:
        params["b_dec"] = geometric_median(target)
    return _drop_unused(sae, params)


def _drop_unused(sae: SAE, params: Params) -> Params:
    return params if sae.skip else {k: v for k, v in params.items() if k != "W_skip"}


def unit_rows(W: Array) -> Array:
    """Rows scaled to norm 1; a zero row stays zero."""
    norm = jnp.linalg.norm(W, axis=-1, keepdims=True)
    return W / jnp.where(norm > 0, norm, 1.0)


def batch_sum(a: Array) -> Array:
    """Sum over the first axis, in two stages: XLA's CPU code for one long column sum is 7 times slower."""
    group = math.gcd(a.shape[0], 16)
    return a.reshape(-1, group, *a.shape[1:]).sum(1).sum(0)


def tally(active: Array) -> Array:
    """How often each latent is active in a batch, (batch, d_sae) bool -> (d_sae,) float32."""
    group = math.gcd(active.shape[0], 64)
    parts = active.astype(jnp.int8).reshape(-1, group, *active.shape[1:]).sum(1, dtype=jnp.int8)
    return parts.astype(jnp.float32).sum(0)


def squared_error(error: Array) -> Array:
    """Mean over the batch of ||y - y_hat||^2."""
    return jnp.sum(error**2) / error.shape[0]


def geometric_median(x: Array, iterations: int = 100) -> Array:
    """The point with the least sum of distances to the rows of x (n, d), by Weiszfeld's iteration."""

    def step(_: int, m: Array) -> Array:
        weight = 1 / jnp.maximum(jnp.linalg.norm(x - m, axis=-1, keepdims=True), 1e-6)
        return jnp.sum(weight * x, 0) / weight.sum()

    return jax.lax.fori_loop(0, iterations, step, x.mean(0))
