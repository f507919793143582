"""Generation with a key-value cache: one prefill, then a scan; edits act in both."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from superposition._internal import validate
from superposition.errors import ConfigError
from superposition.llm.decoder import Cache, Decoder
from superposition.llm.hooks import Edit, Taps
from superposition.llm.spec import Spec
from superposition.typing import PRNGKey

if TYPE_CHECKING:
    from superposition.llm.model import LanguageModel


def empty_cache(decoder: Decoder, batch: int, slots: int, dtype: Any) -> Cache:
    """A cache for `slots` tokens a row."""
    spec = decoder.spec
    k = jnp.zeros((spec.n_layers, batch, slots, spec.n_kv_heads, spec.d_head), dtype)
    return Cache(k, k, jnp.full((batch, slots), -1, jnp.int32), jnp.int32(0))


def choose(key: PRNGKey, logits: Array, temperature: Array, top_p: Array | None, *, greedy: bool) -> Array:
    """The next token of each row: the likeliest, or drawn from the least set of tokens that holds top_p.

    logits (batch, d_vocab); the softmax is of logits / temperature (nucleus sampling, Holtzman et al. 2020).
    """
    logits = logits.astype(jnp.float32)
    if greedy:
        return jnp.argmax(logits, -1)
    logits = logits / temperature
    if top_p is None:  # sorting the vocabulary costs more than a small model
        return jax.random.categorical(key, logits)
    order = jnp.argsort(-logits, -1)
    p = jnp.take_along_axis(jax.nn.softmax(logits, -1), order, -1)
    kept = jnp.cumsum(p, -1) - p < top_p  # the first is always kept
    drawn = jax.random.categorical(key, jnp.where(kept, jnp.log(p), -jnp.inf))
    return jnp.take_along_axis(order, drawn[:, None], -1)[:, 0]


@partial(jax.jit, static_argnames=("spec", "n", "greedy", "end"))
def generate(
    spec: Spec,
    params: Mapping[str, Array],
    key: PRNGKey,
    tokens: Array,
    valid: Array,
    edits: Mapping[str, Edit],
    temperature: Array,
    top_p: Array | None,
    *,
    n: int,
    greedy: bool,
    end: tuple[int, ...],
) -> Array:
    """`n` tokens (batch, n) after tokens (batch, pos), left-padded where valid is False.

    A row that has produced a token of `end` goes on with it. Positions count the valid tokens of a row.
    """
    decoder = Decoder(spec, params)
    dtype = jax.tree.leaves(params)[0].dtype
    batch, length = tokens.shape

    def forward(tokens: Array, positions: Array, valid: Array, cache: Cache) -> tuple[Array, Cache]:
        taps = Taps((), edits, positions, valid)
        logits, new = decoder(tokens, positions, valid, tap=taps, cache=cache)
        taps.finish(None)
        assert new is not None
        return logits[:, -1], new

    positions = jnp.maximum(jnp.cumsum(valid, 1) - 1, 0).astype(jnp.int32)
    logits, cache = forward(tokens, positions, valid, empty_cache(decoder, batch, length + n, dtype))
    pick = partial(choose, temperature=temperature, top_p=top_p, greedy=greedy)
    first = pick(jax.random.fold_in(key, 0), logits).astype(tokens.dtype)

    def step(carry: Any, i: Array) -> tuple[Any, Array]:
        token, position, done, cache = carry
        logits, cache = forward(token[:, None], position[:, None], jnp.ones((batch, 1), bool), cache)
        new = pick(jax.random.fold_in(key, i), logits).astype(token.dtype)
        for one in end:
            done = done | (token == one)
        new = jnp.where(done, token, new) if end else new
        return (new, position + 1, done, cache), new

    start = (first, positions[:, -1] + 1, jnp.zeros(batch, bool), cache)
    _, rest = jax.lax.scan(step, start, jnp.arange(1, n))
    return jnp.concatenate([first[:, None], rest.T], 1)


def continued(
    lm: "LanguageModel",
    tokens: Any,
    n: int,
    key: PRNGKey | None,
    *,
    temperature: float,
    top_p: float,
    mask: Any,
    edits: Mapping[str, Edit] | None,
    end: int | Sequence[int] | None,
) -> np.ndarray:
    """`LanguageModel.generate`: what is asked for checked, and run."""
    validate.integer("n", n, 1)
    validate.in_range("temperature", temperature, 0.0, float("inf"))
    validate.in_range("top_p", top_p, 0.0, 1.0, open_low=True)
    ends = () if end is None else tuple(np.atleast_1d(np.asarray(end, int)).tolist())
    if temperature > 0 and key is None:
        raise ConfigError("drawing at a temperature above 0 needs a key; give key=jax.random.key(0)")
    tokens, _, valid = lm.prepared(tokens, mask, more=n)
    if valid is None:
        valid = jnp.ones(tokens.shape, bool)
    elif not bool(valid[:, -1].all()):
        raise ConfigError("prompts must be padded on the left; got a mask that ends with padding")
    drawn = generate(
        lm.spec,
        lm.params,
        jax.random.key(0) if key is None else key,
        tokens,
        valid,
        lm.edits(edits),
        jnp.float32(temperature),
        None if top_p == 1 else jnp.float32(top_p),
        n=n,
        greedy=temperature == 0,
        end=ends,
    )
    return np.asarray(drawn)
