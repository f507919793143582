"""Steer, clamp and ablate latents of an SAE: pure edits at its hook point, for run_with_cache and generate alike."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from superposition._internal import validate
from superposition.errors import ConfigError
from superposition.interventions.splice import Splice, fits
from superposition.llm.hooks import Context
from superposition.llm.model import LanguageModel
from superposition.sae import SAE, Params
from superposition.typing import PRNGKey

ABLATIONS = ("zero", "mean", "resample")


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Steer:
    """x' = x + s(x) direction, s the scale of the SAE's run-time norm (1 without one); direction 0 changes no bit.

    direction (d_in,), or whatever broadcasts to (batch, pos, d_in).
    """

    direction: Array
    sae: SAE = field(metadata={"static": True})

    def __call__(self, x: Array, context: Context) -> Array:
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
    """

    params: Params
    sae: SAE = field(metadata={"static": True})
    latents: Array
    values: Any
    error_term: bool = field(default=True, metadata={"static": True})

    def __call__(self, x: Array, context: Context) -> Array:
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
    """

    pool: Array
    key: PRNGKey

    def __call__(self, context: Context, shape: tuple[int, int]) -> Array:
        """(batch, pos, k)."""
        rows, positions = jnp.broadcast_arrays(jnp.arange(shape[0])[:, None], context.positions)

        def draw(row: Array, position: Array) -> Array:
            own = jax.random.fold_in(jax.random.fold_in(self.key, row), position)
            return jax.random.randint(own, (), 0, self.pool.shape[0])

        return self.pool[jax.vmap(jax.vmap(draw))(rows, positions)]


def steer(
    lm: LanguageModel, hook: str, sae: SAE, params: Params, latent: Any, amount: Any
) -> dict[str, Steer]:
    """Add amount x the latent's decoder direction: {hook: edit}, to give to the model as `edits`.

    The activation moves as if the latent were larger by `amount` (through the run-time norm), which is customarily
    a strength times its largest activation. latent: an index or several, amount: one number or one a latent.
    Raises ConfigError for a latent that does not exist, and where the SAE does not fit the hook point.
    """
    fits(lm, hook, sae)
    latents = indices(sae, latent)
    return {lm.resolve(hook): Steer(direction(sae, params, latents, _amounts(amount, latents)), sae)}


def clamp(
    lm: LanguageModel,
    hook: str,
    sae: SAE,
    params: Params,
    latent: Any,
    value: Any,
    *,
    error_term: bool = True,
) -> dict[str, Clamp]:
    """Set a latent (or several) to a value: {hook: edit}. error_term: keep what the SAE leaves out of the activation.

    value: one number; one a latent, (k,); or one a token as well, (batch, pos) of one latent, (batch, pos, k) of
    several. Raises ConfigError as `steer` does.
    """
    fits(lm, hook, sae)
    latents = indices(sae, latent)
    if not callable(value):
        value = jnp.asarray(value, jnp.float32)
        value = value[..., None] if np.ndim(latent) == 0 else value
        value = value if value.ndim else jnp.full(len(latents), value)  # one shape, one program
        if value.shape[-1] not in (1, len(latents)):
            raise ConfigError(f"value must be one number or {len(latents)}; got shape {value.shape}")
    return {lm.resolve(hook): Clamp(dict(params), sae, jnp.asarray(latents), value, error_term)}


def ablate(
    lm: LanguageModel,
    hook: str,
    sae: SAE,
    params: Params,
    latents: Any,
    to: str = "zero",
    *,
    values: Any = None,
    key: PRNGKey | None = None,
    error_term: bool = True,
) -> dict[str, Clamp]:
    """Take latents out: {hook: edit}. error_term=False runs the model on the SAE's reconstruction without them.

    to: "zero"; "mean", values (d_sae,) or (k,) as `firing(...).mean` has them; "resample", values (n, d_sae) or
    (n, k), of which each token is given a row drawn with `key`. Raises ConfigError as `steer` does, and for values
    or a key that are missing or have no use.
    """
    validate.choice("to", to, ABLATIONS)
    own = np.atleast_1d(indices(sae, latents))
    for name, given, takers in (("values", values, ("mean", "resample")), ("key", key, ("resample",))):
        if (given is None) is (to in takers):
            raise ConfigError(f"to={to!r} {'needs' if given is None else 'takes no'} {name}")
    if values is None:
        return clamp(lm, hook, sae, params, own, 0.0, error_term=error_term)
    pool, axes = jnp.asarray(values, jnp.float32), 1 if to == "mean" else 2
    if pool.ndim != axes or not pool.size or pool.shape[-1] not in (len(own), sae.d_sae):
        rows = "" if to == "mean" else "n, "
        raise ConfigError(
            f"values must be ({rows}{sae.d_sae}) or ({rows}{len(own)}) to {to}; got shape {pool.shape}"
        )
    pool = pool[..., own] if pool.shape[-1] == sae.d_sae else pool
    value = pool if key is None else Draw(pool, key)
    return clamp(lm, hook, sae, params, own, value, error_term=error_term)


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
