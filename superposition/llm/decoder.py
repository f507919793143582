"""One Flax NNX decoder for every family: explicit taps `tap(name, x) -> x` at every hook point, and no other state."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from superposition._internal.rank import lead
from superposition.llm.rotary import rotate
from superposition.llm.spec import Layer, Spec

Tap = Callable[[str, Array], Array]


class Cache(NamedTuple):
    """Keys and values (layer, batch, slot, head, d_head), position of each slot (batch, slot), -1 where empty."""

    k: Array
    v: Array
    positions: Array
    length: Array  # slots in use


def through(name: str, x: Array) -> Array:
    """The tap that changes nothing."""
    del name
    return x


def shapes(spec: Spec) -> dict[str, tuple[int, ...]]:
    """Shape of every parameter, by its path in the decoder. Products are x @ W."""
    d, q, kv = spec.d_model, spec.n_heads * spec.d_head, spec.n_kv_heads * spec.d_head
    result: dict[str, tuple[int, ...]] = {"embed.W": (spec.d_vocab, d)}
    if spec.learned_positions:
        result["pos.W"] = (spec.n_ctx, d)
    norm: dict[str, tuple[int, ...]] = {"w": (d,), "b": (d,)}
    if spec.norm != "layer":
        del norm["b"]
    attn: dict[str, tuple[int, ...]] = {"W_Q": (d, q), "W_K": (d, kv), "W_V": (d, kv), "W_O": (q, d)}
    attn |= {"b_Q": (q,), "b_K": (kv,), "b_V": (kv,)} if spec.qkv_bias else {}
    attn |= {"b_O": (d,)} if spec.out_bias else {}
    attn |= {"q_norm.w": (spec.d_head,), "k_norm.w": (spec.d_head,)} if spec.qk_norm else {}
    mlp: dict[str, tuple[int, ...]] = {"W_in": (d, spec.d_mlp), "W_out": (spec.d_mlp, d)}
    mlp |= {"W_gate": (d, spec.d_mlp)} if spec.gated else {}
    mlp |= {"b_in": (spec.d_mlp,), "b_out": (d,)} if spec.mlp_bias else {}
    mlp |= {"b_gate": (spec.d_mlp,)} if spec.mlp_bias and spec.gated else {}
    rooms: dict[str, dict[str, tuple[int, ...]]] = {"ln1": norm, "ln2": norm, "attn": attn, "mlp": mlp}
    rooms |= {"ln1_post": norm, "ln2_post": norm} if spec.post_norms else {}
    for layer in range(spec.n_layers):
        result |= {f"blocks.{layer}.{room}.{k}": v for room, own in rooms.items() for k, v in own.items()}
    result |= {f"ln_final.{k}": v for k, v in norm.items()}
    return result if spec.tied else result | {"unembed.W": (d, spec.d_vocab)}


class Parameters(nnx.Module):
    """A room of parameters under their own names; absent ones are None."""

    def __init__(self, params: Mapping[str, Any]) -> None:
        for name in {key.split(".")[0] for key in params}:
            inner = {key[len(name) + 1 :]: v for key, v in params.items() if key.startswith(f"{name}.")}
            setattr(self, name, Parameters(inner) if inner else nnx.Param(params[name]))

    if TYPE_CHECKING:  # rooms inside rooms

        def __getattr__(self, name: str) -> Any: ...

    def get(self, name: str) -> Array | None:
        """A parameter's array, or None where the family has none."""
        param = getattr(self, name, None)
        return None if param is None else param[...]

    def array(self, name: str) -> Array:
        """A parameter's array."""
        return getattr(self, name)[...]

    def linear(self, x: Array, name: str) -> Array:
        """The product x @ W_name (+ b_name)."""
        y, bias = x @ self.array(f"W_{name}"), self.get(f"b_{name}")
        return y if bias is None else y + lead(bias, y)


def normalise(spec: Spec, params: Parameters, x: Array, tap: Tap = through, name: str = "") -> Array:
    """Layer or RMS norm in float32, cast back where Hugging Face casts.

    $(x - mean) / sqrt(var + eps) w + b$, or $x / sqrt(mean(x^2) + eps) w$. As in TransformerLens,
    hook_normalized comes before w and b.
    """
    dtype, x, w = x.dtype, x.astype(jnp.float32), lead(params.array("w"), x)
    if spec.norm == "layer":
        x = x - x.mean(-1, keepdims=True)  # two passes: E[x^2] - E[x]^2 loses the digits of a large mean
    scale = jnp.sqrt(jnp.square(x).mean(-1, keepdims=True) + spec.norm_eps)
    x = x / tap(f"{name}.hook_scale", scale)
    x = tap(f"{name}.hook_normalized", x)
    if spec.norm == "layer":
        return (x * w + lead(params.array("b"), x)).astype(dtype)
    if spec.norm == "rms":
        return x.astype(dtype) * w
    return (x * (1.0 + w.astype(jnp.float32))).astype(dtype)


def activate(spec: Spec, x: Array) -> Array:
    """The MLP's nonlinearity."""
    if spec.activation == "relu":
        return jax.nn.relu(x)
    if spec.activation == "silu":
        return jax.nn.silu(x)
    return jax.nn.gelu(x, approximate=spec.activation == "gelu_tanh")


class Decoder(nnx.Module):
    """Embedding, blocks, final norm, unembedding; `params` are flat, with the names of `shapes(spec)`."""

    def __init__(self, spec: Spec, params: Mapping[str, Any]) -> None:
        self.spec = spec
        named = _rooms(params)
        self.embed, self.ln_final = Parameters(named["embed"]), Parameters(named["ln_final"])
        self.pos = Parameters(named["pos"]) if spec.learned_positions else None
        self.unembed = None if spec.tied else Parameters(named["unembed"])
        blocks = _rooms(named["blocks"])
        self.blocks = nnx.List([Parameters(blocks[str(i)]) for i in range(spec.n_layers)])

    def __call__(
        self,
        tokens: Array,
        positions: Array,
        valid: Array | None = None,
        *,
        tap: Tap = through,
        cache: Cache | None = None,
        stop_at_layer: int | None = None,
    ) -> tuple[Array, Cache | None]:
        """Logits (batch, pos, d_vocab), or the residual before block `stop_at_layer`; and the cache.

        tokens (batch, pos); positions (batch or 1, pos), strictly increasing over the valid tokens of a row;
        valid: False for padding, which no token sees. With a cache, tokens follow those already in it.
        """
        x = self.embedded(tokens, positions, tap)
        seen = positions if valid is None else jnp.where(valid, positions, -1)
        if cache is not None:
            seen = jax.lax.dynamic_update_slice(cache.positions, seen, (0, cache.length))
            cache = cache._replace(positions=seen)
        visible = (seen[:, None, :] >= 0) & (seen[:, None, :] <= positions[:, :, None])
        distance = positions[:, :, None] - seen[:, None, :]
        for i in range(self.spec.n_layers if stop_at_layer is None else stop_at_layer):
            window = self.spec.layers[i].window
            near = visible if window is None else visible & (distance < window)
            x, cache = self.block(i, x, positions, near[:, None], tap, cache)
        if cache is not None:
            cache = cache._replace(length=cache.length + tokens.shape[1])
        return (x if stop_at_layer is not None else self.logits(x, tap)), cache

    def embedded(self, tokens: Array, positions: Array, tap: Tap = through) -> Array:
        """The residual before the first block."""
        x = self.embed.array("W")[tokens]
        if self.spec.embed_scale is not None:
            x = x * jnp.asarray(self.spec.embed_scale, x.dtype)
        x = tap("hook_embed", x)
        if self.pos is None:
            return x
        where = self.pos.array("W")[positions]
        return x + tap("hook_pos_embed", jnp.broadcast_to(where, x.shape))

    def logits(self, x: Array, tap: Tap = through) -> Array:
        """Final norm, unembedding, softcap."""
        x = normalise(self.spec, self.ln_final, x, tap, "ln_final")
        return softcap(x @ self.unembedding(), self.spec.logit_softcap)

    def unembedding(self) -> Array:
        """The matrix (d_model, d_vocab) that logits are read with: the embedding's transpose where they are tied."""
        return self.embed.array("W").T if self.unembed is None else self.unembed.array("W")

    def block(
        self, i: int, x: Array, positions: Array, visible: Array, tap: Tap, cache: Cache | None
    ) -> tuple[Array, Cache | None]:
        """Block i: attention and MLP, in sequence or side by side."""
        spec, block, name = self.spec, self.blocks[i], f"blocks.{i}"
        x = tap(f"{name}.hook_resid_pre", x)
        read = normalise(spec, block.ln1, x, tap, f"{name}.ln1")
        a, cache = attention(spec, spec.layers[i], i, block.attn, read, positions, visible, tap, cache)
        if spec.post_norms:
            a = normalise(spec, block.ln1_post, a, tap, f"{name}.ln1_post")
        a = tap(f"{name}.hook_attn_out", a)
        middle = x if spec.parallel else tap(f"{name}.hook_resid_mid", x + a)
        m = mlp(spec, block.mlp, normalise(spec, block.ln2, middle, tap, f"{name}.ln2"), tap, f"{name}.mlp")
        if spec.post_norms:
            m = normalise(spec, block.ln2_post, m, tap, f"{name}.ln2_post")
        m = tap(f"{name}.hook_mlp_out", m)
        total = m + a + x if spec.parallel else middle + m
        return tap(f"{name}.hook_resid_post", total), cache


def attention(
    spec: Spec,
    layer: Layer,
    i: int,
    params: Parameters,
    x: Array,
    positions: Array,
    visible: Array,
    tap: Tap = through,
    cache: Cache | None = None,
) -> tuple[Array, Cache | None]:
    """Causal attention of x (batch, pos, d_model); visible (batch, 1, query, key)."""
    name, groups = f"blocks.{i}.attn", spec.n_heads // spec.n_kv_heads

    def heads(which: str, n: int) -> Array:
        y = params.linear(x, which)
        return tap(f"{name}.hook_{which.lower()}", y.reshape(*y.shape[:2], n, spec.d_head))

    q, k, v = heads("Q", spec.n_heads), heads("K", spec.n_kv_heads), heads("V", spec.n_kv_heads)
    if spec.qk_norm:
        q, k = normalise(spec, params.q_norm, q), normalise(spec, params.k_norm, k)
    if layer.rotary is not None:
        q = tap(f"{name}.hook_rot_q", rotate(q, positions, layer.rotary))
        k = tap(f"{name}.hook_rot_k", rotate(k, positions, layer.rotary))
    if cache is not None:
        at = (i, 0, cache.length, 0, 0)
        cache = cache._replace(
            k=jax.lax.dynamic_update_slice(cache.k, k[None].astype(cache.k.dtype), at),
            v=jax.lax.dynamic_update_slice(cache.v, v[None].astype(cache.v.dtype), at),
        )
        k, v = cache.k[i].astype(x.dtype), cache.v[i].astype(x.dtype)
    if groups > 1:
        k, v = (jnp.repeat(a, groups, 2) for a in (k, v))
    scores = softcap(jnp.einsum("bqhd,bkhd->bhqk", q, k) * layer.scale, spec.attention_softcap)
    scores = jnp.where(
        visible, scores, jnp.finfo(scores.dtype).min
    )  # finite: padding sees nothing, without NaN
    scores = tap(f"{name}.hook_attn_scores", scores)
    pattern = jax.nn.softmax(scores.astype(jnp.float32), -1).astype(x.dtype)
    pattern = tap(f"{name}.hook_pattern", pattern)
    z = tap(f"{name}.hook_z", jnp.einsum("bhqk,bkhd->bqhd", pattern, v))
    return params.linear(z.reshape(*z.shape[:2], -1), "O"), cache


def mlp(spec: Spec, params: Parameters, x: Array, tap: Tap = through, name: str = "") -> Array:
    """$W_out act(W_in x)$, or gated $W_out (act(W_gate x) * W_in x)$."""
    pre = tap(f"{name}.hook_pre", params.linear(x, "gate" if spec.gated else "in"))
    post = activate(spec, pre)
    if spec.gated:
        post = post * tap(f"{name}.hook_pre_linear", params.linear(x, "in"))
    return params.linear(tap(f"{name}.hook_post", post), "out")


def softcap(x: Array, cap: float | None) -> Array:
    """$c tanh(x / c)$."""
    return x if cap is None else cap * jnp.tanh(x / cap)


def _rooms(params: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Parameters by the first part of their names."""
    rooms: dict[str, dict[str, Any]] = {}
    for key, value in params.items():
        room, _, rest = key.partition(".")
        rooms.setdefault(room, {})[rest] = value
    return rooms
