"""What every sparse autoencoder is: parameters by name, encode and decode, a loss, and what its class declares.

An SAE is a frozen dataclass of hyperparameters; parameters are a dict of arrays under the field's names
(W_enc (d_in, d_sae), b_enc (d_sae,), W_dec (d_sae, d_out), b_dec (d_out,), ...), which are also their names on
disk. Functions are pure and take any leading batch axes; a loss takes a batch.

A class is abstract or final. An abstract method is written by the final class, or by one abstract class between.
What `SAE` writes is never replaced, but for the declarations (the last section of the class): what a declaration
says by default holds for most architectures, and a class that differs says so once. No method extends another.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float

from superposition._internal import validate
from superposition._internal.rank import lead
from superposition._internal.recipe import Recipe
from superposition.errors import ConfigError
from superposition.sae import _parts
from superposition.sae._parts import Info, Params, State, tally, unit_rows
from superposition.typing import InputBatch, Inputs, Latents, Outputs, PerLatent, PRNGKey, Scalar, TargetBatch

NORMALIZATIONS = ("none", "layer_norm", "constant_norm_rescale")
MATMUL_DTYPES = ("float32", "bfloat16")
COUNTER_CAP = 2**30  # samples: a counter that stops here cannot overflow, and any dead_after is below it
MASKED_PRE_ACT = -1e30  # the pre-activation of a latent outside a masked width


@dataclass(frozen=True)
class SAE(Recipe, ABC):
    """A sparse autoencoder: latents f = encode(x) (d_sae,), y_hat = f W_dec + b_dec, y = x.

    d_out makes it a transcoder (y differs from x; b_dec is then never subtracted from the input) and
    skip=True adds W_skip x to its output. normalize_activations is a SAELens run-time norm, applied to x and
    undone on y_hat. width (int or traced) silences latents from there on, so that widths share a program.
    matmul_dtype="bfloat16" multiplies in bf16 and accumulates in float32; parameters stay float32.
    d_in may be left out where the data give it (`SAERun`).
    Raises ConfigError for sizes < 1, skip without d_out, and unknown names.

    >>> from superposition.sae import SAE, TopK
    >>> isinstance(TopK(d_in=5, d_sae=20, k=1), SAE), TopK(d_in=5, d_sae=20, k=1).target_width
    (True, 5)
    """

    d_in: int = None  # type: ignore[assignment]  # of the data: `SAERun` fills it in
    d_sae: int = 20
    d_out: int | None = None
    skip: bool = False
    apply_b_dec_to_input: bool = True
    """Subtract b_dec from the input."""
    normalize_activations: str = "none"
    matmul_dtype: str = "float32"
    """float32 or bfloat16."""
    width: Any = None
    """Numbers of latents, trained side by side. Default: d_sae."""

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
        self.check()

    @abstractmethod
    def check(self) -> None:
        """Raise ConfigError for values of the architecture's own fields that it cannot have."""

    @property
    @abstractmethod
    def unit_norm(self) -> bool:
        """Whether decoder rows are kept at norm 1."""

    @property
    def target_width(self) -> int:
        """The length of y: d_out, or d_in."""
        return self.d_in if self.d_out is None else self.d_out

    # -- parameters

    @abstractmethod
    def init_params(self, key: PRNGKey, x: InputBatch | None = None, y: TargetBatch | None = None) -> Params:
        """Parameters before training; x (batch, d_in) and y (batch, d_out) are a sample of the data."""

    def init_state(self) -> State:
        """What the next step needs: samples since each latent last fired (d_sae,), and `extra_state`."""
        silent = jnp.zeros(self.d_sae, jnp.int32)
        return {"silent": silent} | {name: jnp.float32(v) for name, v in self.extra_state.items()}

    def constrain(self, params: Params, state: State) -> Params:
        """Parameters put back where they belong after a step: unit decoder rows, and what `bound` says."""
        rows = {"W_dec": unit_rows(params["W_dec"])} if self.unit_norm else {}
        return {**params, **rows, **self.bound(params, state)}

    def project(self, params: Params, grads: Params) -> Params:
        """Gradients without what a constraint would undo: of unit decoder rows, the parallel part."""
        if not self.unit_norm:
            return grads
        g, w = grads["W_dec"], params["W_dec"]
        return {**grads, "W_dec": g - jnp.sum(g * w, -1, keepdims=True) * w}

    # -- the map

    @abstractmethod
    def pre_acts(self, params: Params, x: Inputs) -> Latents:
        """What `activate` takes, of inputs (..., d_in); of most architectures (x - b_dec) W_enc + b_enc (..., d_sae)."""

    @abstractmethod
    def activate(self, params: Params, pre: Latents) -> Latents:
        """Latents from pre-activations, (..., d_sae), as used after training."""

    @abstractmethod
    def decode(self, params: Params, latents: Latents, x: Inputs | None = None) -> Outputs:
        """y_hat (..., d_out) of latents (..., d_sae), and of x for a skip connection; no run-time norm is undone."""

    @abstractmethod
    def loss(
        self, params: Params, state: State, x: InputBatch, y: TargetBatch, key: PRNGKey
    ) -> tuple[Scalar, tuple[State, Info]]:
        """Mean loss of a batch x (batch, d_in), y (batch, d_out), with the next state and what it saw."""

    def encode(self, params: Params, x: Inputs) -> Latents:
        """Latents f, (..., d_in) -> (..., d_sae)."""
        return self.activate(params, self.pre_acts(params, self.norm_in(x)[0]))

    def reconstruct(self, params: Params, x: Inputs) -> tuple[Latents, Outputs]:
        """Latents and y_hat of x, run-time norm applied and undone."""
        inside, undo = self.norm_in(x)
        latents = self.activate(params, self.pre_acts(params, inside))
        return latents, undo(self.decode(params, latents, inside))

    def __call__(self, *_: Any) -> None:
        """ConfigError: an SAE is two maps."""
        raise ConfigError(
            "an SAE is two maps; call its encode(params, x), decode(params, latents) or reconstruct(params, x)"
        )

    # -- parts of the maps

    def linear_pre_acts(self, params: Params, x: Inputs) -> Latents:
        """(x - b_dec) W_enc + b_enc, (..., d_in) -> (..., d_sae); latents beyond `width` are masked."""
        return self.mask(self.matmul(x, params["W_enc"]) + lead(self.bias(params), x))

    def linear_decode(self, params: Params, latents: Latents, x: Inputs | None = None) -> Outputs:
        """F W_dec + b_dec (+ W_skip x), (..., d_sae) -> (..., d_out)."""
        y = self.matmul(latents, params["W_dec"]) + lead(params["b_dec"], latents)
        if not self.skip:
            return y
        if x is None:
            raise ConfigError("a skip transcoder decodes with its input; give x")
        return y + self.matmul(x, params["W_skip"].T)

    def bias(self, params: Params) -> PerLatent:
        """b_enc - b_dec W_enc: one product a batch, and the gradient of b_dec is one more."""
        if not self.apply_b_dec_to_input:
            return params["b_enc"]
        return params["b_enc"] - self.matmul(params["b_dec"], params["W_enc"])

    def mask(self, pre: Latents) -> Latents:
        """Silence latents at and beyond `width`."""
        if self.width is None:
            return pre
        return jnp.where(jnp.arange(self.d_sae) < self.width, pre, MASKED_PRE_ACT)

    def matmul(self, a: Float[Array, "*batch k"], b: Float[Array, "k width"]) -> Float[Array, "*batch width"]:
        """A b in matmul_dtype, accumulated in float32."""
        if self.matmul_dtype == "float32":
            return a @ b
        low = jnp.bfloat16
        return jnp.matmul(a.astype(low), b.astype(low), preferred_element_type=jnp.float32)

    def norm_in(self, x: Inputs) -> tuple[Inputs, Any]:
        """Normalised x, and the function that undoes it on y_hat."""
        if self.normalize_activations == "constant_norm_rescale":
            factor = jnp.sqrt(x.shape[-1]) / jnp.linalg.norm(x, axis=-1, keepdims=True)
            return x * factor, lambda y: y / factor
        if self.normalize_activations == "layer_norm":
            mean = x.mean(-1, keepdims=True)
            std = x.std(-1, keepdims=True, ddof=1)  # SAELens divides by n - 1
            return (x - mean) / (std + 1e-5), lambda y: y * std + mean
        return x, lambda y: y

    def count(self, state: State, fired: Bool[Array, "d_sae"], batch: int) -> State:
        """The next state: latents that fired start again from 0, the others are `batch` samples older."""
        older = jnp.minimum(state["silent"], COUNTER_CAP - batch) + batch
        return {**state, "silent": jnp.where(fired, 0, older)}

    def report(
        self, state: State, latents: Float[Array, "batch d_sae"], terms: dict[str, Scalar], error: TargetBatch
    ) -> tuple[Scalar, tuple[State, Info]]:
        """Sum of the terms, next state and Info, from dense latents (batch, d_sae)."""
        count = tally(latents > 0)
        info = Info(terms, count.sum() / latents.shape[0], count > 0, error)
        return sum(terms.values(), jnp.float32(0)), (self.count(state, info.fired, latents.shape[0]), info)

    # -- declarations: a class that differs from these says so

    trains: ClassVar[bool] = True
    """Whether it is trained at all; a baseline is not."""
    penalised: ClassVar[bool] = False
    """Whether it has a `penalty` that trades sparsity for error."""
    signed: ClassVar[bool] = False
    """Whether latents may be negative."""
    transcodes: ClassVar[bool] = True
    """Whether its target may be another than its input."""
    per_latent: ClassVar[tuple[str, ...]] = ("W_enc", "b_enc", "W_dec")
    """Parameters with an axis of latents: the first, of W_enc the last."""
    in_pre_act_units: ClassVar[tuple[str, ...]] = ("W_enc", "b_enc")
    """Parameters that are multiplied by n when pre-activations are."""
    counts_latents: ClassVar[tuple[str, ...]] = ()
    """Fields that d_sae bounds: a number, or widths of which the last is d_sae."""
    extra_state: ClassVar[Mapping[str, float]] = {}
    """Numbers that a step needs of the one before, with their values before the first."""
    saelens: ClassVar[str | None] = None
    """SAELens's name of the architecture; None where `finish` makes another of it."""
    saelens_training: ClassVar[str | None] = None
    """SAELens's name of its training class, where `finish` makes another architecture of it."""
    saelens_transcoder: ClassVar[str | None] = None
    """SAELens's name of the transcoder; None where SAELens has none."""
    saelens_fields: ClassVar[Mapping[str, tuple[Any, Any]]] = {}
    """What SAELens's config says of it beyond the sizes: name -> (type, value where it is left out)."""

    def bound(self, params: Params, state: State) -> Params:
        """Parameters that a step must not leave as the optimizer made them, as they should be."""
        del params, state
        return {}

    def finish(self, params: Params) -> tuple["SAE", Params]:
        """The recipe and parameters used after training."""
        return self, params

    @property
    def resamples(self) -> bool:
        """Whether training starts dead latents again (`training.resampling`), for which it takes Bricken's methods."""
        return False

    def idle_settings(self, examples: int) -> dict[str, Any]:
        """Settings that change nothing in a run of so many examples and save its time."""
        del examples
        return {}

    def narrowed(self, width: int) -> "SAE":
        """The recipe of the first `width` latents."""
        return replace(self, d_sae=width, width=None, **self.bounded(width))  # type: ignore[arg-type]

    def bounded(self, d_sae: int) -> dict[str, Any]:
        """The fields in `counts_latents` as d_sae bounds them."""
        changes: dict[str, Any] = {}
        for name in self.counts_latents:
            value = getattr(self, name)
            if isinstance(value, tuple):
                changes[name] = (*(m for m in value if m < d_sae), d_sae)
            elif value is not None:
                changes[name] = min(value, d_sae)
        return changes

    def fold_decoder_norm(self, params: Params) -> tuple["SAE", Params]:
        """The same function with unit decoder rows (`transforms.fold_decoder_norm`)."""
        return self, _parts.with_unit_decoder(params, self.in_pre_act_units)

    def fold_input_bias(self, params: Params) -> Params:
        """Parameters in which b_enc - b_dec W_enc takes b_enc's place (`transforms.fold_input_bias`)."""
        return {**params, "b_enc": params["b_enc"] - params["b_dec"] @ params["W_enc"]}

    def fold_scale(self, params: Params, scale_in: float, scale_out: float) -> tuple["SAE", Params]:
        """From an SAE of scale_in x and scale_out y to one of x and y (`transforms.fold_scale`)."""
        return self, _parts.scaled_maps(params, scale_in, scale_out)

    def to_saelens(self) -> dict[str, Any]:
        """`saelens_fields` as this SAE has them."""
        return {name: getattr(self, name) for name in self.saelens_fields}

    @classmethod
    def from_saelens(cls, settings: dict[str, Any], d_in: int, d_sae: int) -> dict[str, Any] | None:
        """Fields of the recipe from `saelens_fields`; None where it cannot be what they say."""
        del d_in, d_sae
        return settings
