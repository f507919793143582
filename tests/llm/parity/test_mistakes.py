"""Every mistake that a port could make shows in the comparison with transformers."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from superposition.llm import decoder, hub
from superposition.llm.families import gpt_neox
from superposition.llm.spec import Rotary
from tests.oracles.tiny_models import TOKENS
from tests.support.parity import TOLERANCE, error, parse_case, theirs

pytestmark = pytest.mark.parity


def settings(**fields):
    return lambda spec, params, patch: (dataclasses.replace(spec, **fields), params)


def layered(**change):
    """Layers with fields changed, each a function of the Spec and the layer."""

    def mutate(spec, params, patch):
        layers = [
            dataclasses.replace(layer, **{name: new(spec, layer) for name, new in change.items()})
            for layer in spec.layers
        ]
        return dataclasses.replace(spec, layers=tuple(layers)), params

    return mutate


def turned(**change):
    """Layers with their rotary positions changed."""
    return layered(rotary=lambda spec, layer: dataclasses.replace(layer.rotary, **change))


def params_changed(suffix, change):
    def mutate(spec, params, patch):
        return spec, {n: change(spec, p) if n.endswith(suffix) else p for n, p in params.items()}

    return mutate


def interleaved(spec, params, patch):
    """Pairs of neighbours turned instead of the halves (GPT-J)."""

    def rotate(x, positions, rotary):
        angles = positions[..., None] * decoder_frequencies(rotary)
        cos, sin = jnp.cos(angles)[:, :, None], jnp.sin(angles)[:, :, None]
        a, b = x[..., 0 : rotary.dims : 2], x[..., 1 : rotary.dims : 2]
        pairs = jnp.stack([a * cos - b * sin, b * cos + a * sin], -1).reshape(*a.shape[:-1], -1)
        return jnp.concatenate([pairs, x[..., rotary.dims :]], -1)

    patch.setattr(decoder, "rotate", rotate)
    return spec, params


def decoder_frequencies(rotary: Rotary):
    from superposition.llm.rotary import frequencies

    return frequencies(rotary)


def other_final_norm(spec, params, patch):
    normalise = decoder.normalise

    def changed(spec, params, x, tap=decoder.through, name=""):
        spec = dataclasses.replace(spec, norm_eps=1e-6) if name == "ln_final" else spec
        return normalise(spec, params, x, tap, name)

    patch.setattr(decoder, "normalise", changed)
    return spec, params


def tiled(spec, params, patch):
    """Query head h reads key-value head h mod K, not h // (H / K)."""
    order = sorted(range(spec.n_heads), key=lambda head: head % spec.n_kv_heads)

    def reorder(name, p):
        if name.endswith("W_Q"):
            return p.reshape(spec.d_model, spec.n_heads, -1)[:, order].reshape(p.shape)
        return p.reshape(spec.n_heads, -1, spec.d_model)[order].reshape(p.shape)

    return spec, {n: reorder(n, p) if n.endswith(("attn.W_Q", "attn.W_O")) else p for n, p in params.items()}


def contiguous(spec, params, patch):
    """NeoX's fused tensor read as all queries, all keys, all values."""

    def fused(which):  # (..., 3 d), as stored: (head, q k v, d_head)
        parts = [params[f"blocks.{i}.attn.{which}_{n}"] for n in "QKV"]
        split = [p.reshape(*p.shape[:-1], spec.n_heads, spec.d_head) for p in parts]
        return np.stack(split, -2).reshape(*parts[0].shape[:-1], -1)

    changed = dict(params)
    for i in range(spec.n_layers):
        for which in "Wb":
            for n, part in zip("QKV", np.split(fused(which), 3, -1), strict=True):
                changed[f"blocks.{i}.attn.{which}_{n}"] = part
    return spec, changed


def without_qk_norm(spec, params, patch):
    kept = {n: p for n, p in params.items() if "_norm.w" not in n}
    return dataclasses.replace(spec, qk_norm=False), kept


def flipped(spec, params, patch):
    windows = [layer.window for layer in spec.layers][::-1]
    layers = [dataclasses.replace(layer, window=w) for layer, w in zip(spec.layers, windows, strict=True)]
    return dataclasses.replace(spec, layers=tuple(layers)), params


def one_theta(spec, params, patch):
    layers = [dataclasses.replace(layer, rotary=spec.layers[5].rotary) for layer in spec.layers]
    return dataclasses.replace(spec, layers=tuple(layers)), params


def bumped(by):
    return layered(window=lambda spec, layer: layer.window and layer.window + by)


NO_WINDOW = layered(window=lambda spec, layer: None)


ZERO = params_changed(("b_Q", "b_K", "b_V"), lambda spec, p: 0 * p)


MISTAKES = [
    ("gpt2", "exact gelu", settings(activation="gelu")),
    ("gpt2", "eps 1e-6", settings(norm_eps=1e-6)),
    ("gpt2", "c_proj transposed", params_changed("attn.W_O", lambda spec, p: p.T)),
    ("gpt2", "no scale", layered(scale=lambda spec, layer: 1.0)),
    ("gpt2-inverse-layer", "no inverse layer", layered(scale=lambda spec, layer: spec.d_head**-0.5)),
    ("gpt2-inverse-layer", "tanh gelu", settings(activation="gelu_tanh")),
    ("gpt_neo", "scaled", layered(scale=lambda spec, layer: spec.d_head**-0.5)),
    ("gpt_neo", "no window", NO_WINDOW),
    ("gpt_neo", "window + 1", bumped(1)),
    ("gpt_neox", "sequential", settings(parallel=False)),
    ("gpt_neox", "contiguous qkv", contiguous),
    (
        "gpt_neox",
        "whole head turned",
        layered(rotary=lambda s, y: dataclasses.replace(y.rotary, dims=s.d_head)),
    ),
    ("gpt_neox", "interleaved", interleaved),
    ("gpt_neox", "tanh gelu", settings(activation="gelu_tanh")),
    ("gpt_neox", "final eps 1e-6", other_final_norm),
    ("gpt_neox-sequential", "parallel", settings(parallel=True)),
    ("llama", "interleaved", interleaved),
    ("llama", "tiled heads", tiled),
    ("llama", "eps 1e-6", settings(norm_eps=1e-6)),
    ("llama-3", "no llama3 scaling", turned(scaling=())),
    ("mistral", "no window", NO_WINDOW),
    ("mistral", "window + 1", bumped(1)),
    ("mistral", "window - 1", bumped(-1)),
    ("qwen2", "no q, k, v biases", ZERO),
    ("qwen2", "no linear scaling", turned(scaling=())),
    ("qwen2", "window in the wrong layers", flipped),
    ("qwen3", "no q, k norm", without_qk_norm),
    ("qwen3", "scale of d / H", layered(scale=lambda spec, layer: (spec.d_model / spec.n_heads) ** -0.5)),
    ("gemma", "w for 1 + w", settings(norm="rms")),
    ("gemma", "no embedding scale", settings(embed_scale=None)),
    ("gemma", "exact gelu", settings(activation="gelu")),
    ("gemma2", "no attention softcap", settings(attention_softcap=None)),
    ("gemma2", "no final softcap", settings(logit_softcap=None)),
    ("gemma2", "scale of head_dim", layered(scale=lambda spec, layer: spec.d_head**-0.5)),
    ("gemma2", "window in the wrong layers", flipped),
    ("gemma3_text", "one theta", one_theta),
    ("gemma3_text", "no linear scaling", turned(scaling=())),
]


@pytest.mark.parametrize(("case", "mistake", "mutate"), MISTAKES, ids=[f"{c}: {m}" for c, m, _ in MISTAKES])
def test_every_mistake_shows(saved, case, mistake, mutate, monkeypatch):
    found, logits = {}, None
    for init in ["default", "moved"] + (["x30"] if case == "gemma2" else []):
        model, folder = saved(case, init)
        spec, _, params = hub.read(folder, "float32", lambda name, array: array)
        spec, params = mutate(spec, params, monkeypatch)
        logits = logits or traced(spec)
        found[init] = error(logits(params), theirs(model)[0])
    assert max(found.values()) > TOLERANCE, found


def traced(spec):
    """Logits as a function of parameters, traced anew: what was patched takes effect."""
    positions = jnp.arange(TOKENS.shape[1])[None]
    return jax.jit(lambda params: decoder.Decoder(spec, params)(TOKENS, positions)[0])


def test_the_fused_tensor_of_neox_is_per_head():
    fused = np.arange(4 * 3 * 16 * 2).reshape(4 * 3 * 16, 2)
    spec = parse_case("gpt_neox")[1]
    first = [gpt_neox.part(spec, i)(fused)[0, 0] for i in range(3)]
    assert first == [0, 16 * 2, 32 * 2]
