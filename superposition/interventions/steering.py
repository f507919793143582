"""Steer, clamp and ablate latents of an SAE: pure edits at its hook point, for run_with_cache and generate alike."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from superposition._internal import validate
from superposition.errors import ConfigError
from superposition.interventions.splice import Splice
from superposition.llm.hooks import Context
from superposition.sae import SAE, Params
from superposition.typing import PRNGKey

if TYPE_CHECKING:
    from superposition.interventions.attach import Attached

ABLATIONS = ("zero", "mean", "resample")


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Steer:
    """x' = x + s(x) direction, s the scale of the SAE's run-time norm (1 without one); direction 0 changes no bit.

    direction (d_in,), or whatever broadcasts to (batch, pos, d_in).

    >>> from superposition.sae import ReLU
    >>> edit = Steer(jnp.array([1.0, 0.0]), ReLU(d_in=2, d_sae=4))
    >>> edit(jnp.zeros((1, 1, 2)), Context("hook_embed", jnp.zeros((1, 1), int), None)).tolist()
    [[[1.0, 0.0]]]
    """

    direction: Array
    sae: SAE = field(metadata={"static": True})

    def __call__(
        self, x: Float[Array, "batch pos *width"], context: Context
    ) -> Float[Array, "batch pos *width"]:
        """The activation (batch, pos, ...), its trailing axes flattened for the SAE."""
        del context
        flat = x.reshape(*x.shape[:2], -1).astype(jnp.float32)
        _, undo = self.sae.norm_in(flat)
        along = jnp.broadcast_to(self.direction, flat.shape)
        _, moved = jax.jvp(undo, (jnp.zeros_like(flat),), (along,))
        # Taken away from 0 and then from x: 0.0 - -0.0 is 0.0, and no bit of x changes in x - 0.0.
        return (flat - (0.0 - moved)).reshape(x.shape)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Clamp:
    """f'[latents] = values, other latents as they are; x' = x + decode(f') - decode(f), or decode(f') alone.

    latents (k,); values broadcast to (batch, pos, k), or are a function (context, (batch, pos)) that gives them.

    >>> import jax
    >>> from superposition.sae import ReLU
    >>> sae = ReLU(d_in=2, d_sae=4)
    >>> edit = Clamp(sae.init_params(jax.random.key(0)), sae, jnp.array([3]), values=5.0)
    >>> edit(jnp.zeros((1, 1, 2)), Context("hook_embed", jnp.zeros((1, 1), int), None)).shape
    (1, 1, 2)
    """

    params: Params
    sae: SAE = field(metadata={"static": True})
    latents: Array
    values: Any
    error_term: bool = field(default=True, metadata={"static": True})

    def __call__(
        self, x: Float[Array, "batch pos *width"], context: Context
    ) -> Float[Array, "batch pos *width"]:
        """The activation (batch, pos, ...)."""
        values = self.values(context, x.shape[:2]) if callable(self.values) else self.values

        def held(f: Array) -> Array:
            return f.at[..., self.latents].set(values)

        return Splice(self.params, self.sae, held, self.error_term)(x, context)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Draw:
    """Values of a random row of `pool` (n, k), one row a token, so that latents that fire together stay together.

    A function of the key, the row of the batch and the absolute position: generation with a cache draws the same.

    >>> import jax
    >>> draw = Draw(pool=jnp.array([[1.0], [2.0]]), key=jax.random.key(0))
    >>> draw(Context("hook_embed", jnp.arange(3)[None], None), (1, 3)).shape
    (1, 3, 1)
    """

    pool: Array
    key: PRNGKey

    def __call__(self, context: Context, shape: tuple[int, int]) -> Float[Array, "batch pos k"]:
        """(batch, pos, k)."""
        rows, positions = jnp.broadcast_arrays(jnp.arange(shape[0])[:, None], context.positions)

        def draw(row: Array, position: Array) -> Array:
            own = jax.random.fold_in(jax.random.fold_in(self.key, row), position)
            return jax.random.randint(own, (), 0, self.pool.shape[0])

        return self.pool[jax.vmap(jax.vmap(draw))(rows, positions)]


def steer(attached: "Attached", latent: Any, amount: Any) -> dict[str, Steer]:
    r"""Add amount x the latent's decoder direction: {hook: edit}, to give to the model as `edits`.

    $x' = x + s(x) \sum_k a_k d_k$, with decoder rows d_k and the scale s of the SAE's run-time norm, 1 without one: the
    activation moves as if the latent were larger by the amount (Templeton et al. 2024, "Scaling Monosemanticity").

    Args:
        attached: The SAE on its model.
        latent: An index, or several (k,).
        amount: In units of the latent's activation, one number or one a latent; customarily a strength times the
            latent's largest activation (`firing(attached, text).largest`).

    Raises:
        ConfigError: There is no such latent, it is given twice, or the amount is not finite.

    Example:
        >>> from superposition.llm import LanguageModel
        >>> from superposition.storage import formats
        >>> attached = LanguageModel.from_hf().attach(formats.load("superposition/small-lm-sae"))
        >>> attached.lm("Once upon a time", edits=steer(attached, 136, 12.0)).shape
        (1, 5, 3072)
    """
    latents = indices(attached.sae, latent)
    way = direction(attached.sae, attached.params, latents, _amounts(amount, latents))
    return {attached.hook: Steer(way, attached.sae)}


def clamp(attached: "Attached", latent: Any, value: Any, *, error_term: bool = True) -> dict[str, Clamp]:
    """Set a latent (or several) to a value: {hook: edit}, to give to the model as `edits`.

    Args:
        attached: The SAE on its model.
        latent: An index, or several (k,).
        value: One number; one a latent, (k,); or one a token as well, (batch, pos) of one latent, (batch, pos, k) of
            several.
        error_term: Keep what the SAE leaves out of the activation; without it the model runs on the reconstruction.

    Raises:
        ConfigError: As `steer` does, and for a value of another shape.

    Example:
        >>> from superposition.llm import LanguageModel
        >>> from superposition.storage import formats
        >>> attached = LanguageModel.from_hf().attach(formats.load("superposition/small-lm-sae"))
        >>> edits = clamp(attached, [136, 7], [5.0, 0.0])
        >>> attached.lm("Once upon a time", edits=edits).shape
        (1, 5, 3072)
    """
    latents = indices(attached.sae, latent)
    if not callable(value):
        value = jnp.asarray(value, jnp.float32)
        value = value[..., None] if np.ndim(latent) == 0 else value
        value = value if value.ndim else jnp.full(len(latents), value)  # one shape, one program
        if value.shape[-1] not in (1, len(latents)):
            raise ConfigError(f"value must be one number or {len(latents)}; got shape {value.shape}")
    edit = Clamp(dict(attached.params), attached.sae, jnp.asarray(latents), value, error_term)
    return {attached.hook: edit}


def ablate(
    attached: "Attached",
    latents: Any,
    to: str = "zero",
    *,
    values: Any = None,
    key: PRNGKey | None = None,
    error_term: bool = True,
) -> dict[str, Clamp]:
    """Take latents out: {hook: edit}, to give to the model as `edits`.

    Args:
        attached: The SAE on its model.
        latents: An index, or several (k,), ablated together.
        to: "zero"; "mean", where values (d_sae,) or (k,) are as `firing(...).mean` has them; "resample", where each
            token is given a row of values (n, d_sae) or (n, k), drawn with `key` (causal scrubbing, Chan et al. 2022).
        values: What latents are set to.
        key: Of the rows that are drawn.
        error_term: Keep what the SAE leaves out of the activation; without it the model runs on the reconstruction.

    Raises:
        ConfigError: As `steer` does, and for values or a key that are missing or have no use.

    Example:
        >>> from superposition.llm import LanguageModel
        >>> from superposition.storage import formats
        >>> attached = LanguageModel.from_hf().attach(formats.load("superposition/small-lm-sae"))
        >>> attached.lm("Once upon a time", edits=ablate(attached, [136, 520])).shape
        (1, 5, 3072)
    """
    validate.choice("to", to, ABLATIONS)
    sae = attached.sae
    chosen = np.atleast_1d(indices(sae, latents))
    for name, given, takers in (("values", values, ("mean", "resample")), ("key", key, ("resample",))):
        if (given is None) is (to in takers):
            raise ConfigError(f"to={to!r} {'needs' if given is None else 'takes no'} {name}")
    if values is None:
        return clamp(attached, chosen, 0.0, error_term=error_term)
    pool, axes = jnp.asarray(values, jnp.float32), 1 if to == "mean" else 2
    if pool.ndim != axes or not pool.size or pool.shape[-1] not in (len(chosen), sae.d_sae):
        rows = "" if to == "mean" else "n, "
        raise ConfigError(
            f"values must be ({rows}{sae.d_sae}) or ({rows}{len(chosen)}) to {to}; got shape {pool.shape}"
        )
    pool = pool[..., chosen] if pool.shape[-1] == sae.d_sae else pool
    value = pool if key is None else Draw(pool, key)
    return clamp(attached, chosen, value, error_term=error_term)


def direction(sae: SAE, params: Mapping[str, Array], latents: Any, amounts: Any) -> Array:
    """sum_k amounts_k d_k over decoder directions d, (d_in,); through decode, as some SAEs rescale latents there."""
    zero = jnp.zeros(sae.d_sae)
    change = zero.at[latents].set(amounts)
    return jax.jvp(lambda f: sae.decode(dict(params), f), (zero,), (change,))[1]


def indices(sae: SAE, latent: Any) -> np.ndarray:
    """Latents as (k,) integers, or ConfigError for those that do not exist or come twice."""
    own = np.atleast_1d(np.asarray(latent))
    if own.ndim != 1 or own.dtype.kind not in "iu" or not own.size:
        raise ConfigError(f"a latent is an integer, or several of them; got {latent!r}")
    wrong = own[(own < 0) | (own >= sae.d_sae)]
    if wrong.size:
        raise ConfigError(f"there is no latent {wrong[0]}: the SAE has latents 0 to {sae.d_sae - 1}")
    values, counts = np.unique(own, return_counts=True)
    if len(values) < len(own):
        raise ConfigError(f"latent {values[counts > 1][0]} is given twice; name each latent once")
    return own


def _amounts(amount: Any, latents: np.ndarray) -> Any:
    """One number or one a latent; finite, where it can be looked at."""
    if np.shape(amount) not in ((), (1,), latents.shape):
        raise ConfigError(f"amount must be one number or {len(latents)}; got shape {np.shape(amount)}")
    if not isinstance(amount, jax.core.Tracer) and not np.isfinite(np.asarray(amount, np.float64)).all():
        raise ConfigError(f"amount must be finite; got {amount!r}")
    return amount
