"""A model of ours as an ordinary Hugging Face directory in GPT-2's format."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from superposition.errors import ConfigError
from superposition.llm.spec import Spec
from superposition.llm.sums import seal

ACTIVATIONS = {"gelu": "gelu", "gelu_tanh": "gelu_new", "relu": "relu", "silu": "silu"}
_ROOMS = {
    "ln1": "ln_1",
    "ln2": "ln_2",
    "attn.W_O": "attn.c_proj.weight",
    "attn.b_O": "attn.c_proj.bias",
    "mlp.W_in": "mlp.c_fc.weight",
    "mlp.b_in": "mlp.c_fc.bias",
    "mlp.W_out": "mlp.c_proj.weight",
    "mlp.b_out": "mlp.c_proj.bias",
}


def gpt2_config(spec: Spec) -> dict[str, Any]:
    """config.json of a GPT-2 with this spec; ConfigError where GPT-2 has no such thing."""
    plain = {
        "norm": "layer",
        "gated": False,
        "learned_positions": True,
        "parallel": False,
        "post_norms": False,
        "qk_norm": False,
        "qkv_bias": True,
        "out_bias": True,
        "mlp_bias": True,
        "tied": True,
        "embed_scale": None,
        "n_kv_heads": spec.n_heads,
        "d_head": spec.d_model // spec.n_heads,
    }
    wrong = [name for name, value in plain.items() if getattr(spec, name) != value]
    wrong += [
        "layers"
        for one in spec.layers
        if one.window or one.rotary or not np.isclose(one.scale, spec.d_head**-0.5)
    ][:1]
    if wrong:
        raise ConfigError(
            f"GPT-2's format cannot hold {', '.join(f'{n}={getattr(spec, n)!r}' for n in wrong)}"
        )
    return {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "vocab_size": spec.d_vocab,
        "n_positions": spec.n_ctx,
        "n_embd": spec.d_model,
        "n_layer": spec.n_layers,
        "n_head": spec.n_heads,
        "n_inner": spec.d_mlp,
        "activation_function": ACTIVATIONS[spec.activation],
        "layer_norm_epsilon": spec.norm_eps,
        "tie_word_embeddings": True,
        "bos_token_id": spec.bos,
        "eos_token_id": spec.eos,
        "attn_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "resid_pdrop": 0.0,
        "dtype": "float32",
    }


def gpt2_tensors(spec: Spec, params: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Parameters under GPT-2's names."""
    arrays = {name: np.asarray(value, np.float32) for name, value in params.items()}
    result = {"transformer.wte.weight": arrays["embed.W"], "transformer.wpe.weight": arrays["pos.W"]}

    def norm(own: str, theirs: str) -> None:
        result[f"{theirs}.weight"], result[f"{theirs}.bias"] = arrays[f"{own}.w"], arrays[f"{own}.b"]

    for i in range(spec.n_layers):
        own, theirs = f"blocks.{i}", f"transformer.h.{i}"
        for kind, name in (("W", "weight"), ("b", "bias")):
            parts = [arrays[f"{own}.attn.{kind}_{which}"] for which in "QKV"]
            result[f"{theirs}.attn.c_attn.{name}"] = np.concatenate(parts, -1)
        for room, name in _ROOMS.items():
            if room.startswith("ln"):
                norm(f"{own}.{room}", f"{theirs}.{name}")
            else:
                result[f"{theirs}.{name}"] = arrays[f"{own}.{room}"]
    norm("ln_final", "transformer.ln_f")
    return {name: np.ascontiguousarray(value) for name, value in result.items()}


def save_gpt2(folder: Path, spec: Spec, params: Mapping[str, Any]) -> None:
    """Write config.json and model.safetensors, and the digests of what is there.

    A tokenizer that is written later is under the digests after another `superposition.llm.sums.seal(folder)`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config, tensors = gpt2_config(spec), gpt2_tensors(spec, params)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    safetensors.numpy.save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    seal(folder)
