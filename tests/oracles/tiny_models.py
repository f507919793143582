"""Tiny random Hugging Face models of every family, made by transformers on torch, and how to run them there.

Every case has what a wrong port would not notice otherwise: windows shorter than the sequences, key-value heads
fewer than heads, head_dim that is not d_model / heads, six layers and more where only the sixth is full.
"""

import json
import zlib
from pathlib import Path

import numpy as np

CASES = {
    "gpt2": {"n_embd": 48, "n_head": 4, "n_layer": 2, "n_positions": 64},
    "gpt2-inverse-layer": {
        "n_embd": 48,
        "n_head": 4,
        "n_layer": 2,
        "n_positions": 64,
        "n_inner": 80,
        "scale_attn_by_inverse_layer_idx": True,
        "activation_function": "gelu",
        "tie_word_embeddings": False,
    },
    "gpt_neo": {
        "hidden_size": 48,
        "num_heads": 4,
        "num_layers": 2,
        "attention_types": [[["global", "local"], 1]],
        "window_size": 5,
        "max_position_embeddings": 64,
    },
    "gpt_neox": {
        "hidden_size": 64,
        "num_attention_heads": 4,
        "num_hidden_layers": 2,
        "intermediate_size": 96,
        "rotary_pct": 0.5,
    },
    "gpt_neox-sequential": {
        "hidden_size": 64,
        "num_attention_heads": 4,
        "num_hidden_layers": 2,
        "intermediate_size": 96,
        "use_parallel_residual": False,
        "attention_bias": False,
        "tie_word_embeddings": True,
    },
    "llama": {"num_key_value_heads": 2, "rms_norm_eps": 1e-5},
    "llama-3": {
        "num_key_value_heads": 1,
        "head_dim": 24,
        "attention_bias": True,
        "mlp_bias": True,
        "tie_word_embeddings": True,
        "rope_parameters": {
            "rope_type": "llama3",
            "rope_theta": 5e5,
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 32,
        },
    },
    "mistral": {"num_key_value_heads": 2, "head_dim": 20, "sliding_window": 7},
    "qwen2": {
        "num_key_value_heads": 2,
        "use_sliding_window": True,
        "sliding_window": 6,
        "max_window_layers": 1,
        "rope_parameters": {"rope_type": "linear", "rope_theta": 1e6, "factor": 2.0},
    },
    "qwen3": {"num_key_value_heads": 2, "head_dim": 24, "tie_word_embeddings": True},
    "gemma": {"hidden_size": 72, "num_key_value_heads": 1, "head_dim": 24},  # sqrt(72) is inexact in bfloat16
    "gemma2": {"num_key_value_heads": 2, "head_dim": 24, "sliding_window": 6, "query_pre_attn_scalar": 17},
    "gemma3_text": {
        "num_key_value_heads": 1,
        "head_dim": 24,
        "sliding_window": 6,
        "query_pre_attn_scalar": 20,
        "num_hidden_layers": 7,
        "final_logit_softcapping": 20.0,
        "rope_parameters": {
            "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
            "full_attention": {"rope_type": "linear", "rope_theta": 1e6, "factor": 8.0},
        },
    },
    "gemma3": {},  # the multimodal wrapper around the case before
}
LLAMA_LIKE = {
    "hidden_size": 64,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "intermediate_size": 96,
    "max_position_embeddings": 256,
}
VISION = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}
VOCABULARY = 101


def settings(case):
    """model_type and the arguments of its config class."""
    kind = case.split("-")[0]
    own = {"vocab_size": VOCABULARY, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, **CASES[case]}
    if kind == "gemma3":
        text = {**settings("gemma3_text")[1], "final_logit_softcapping": None}
        return kind, {"text_config": text, "vision_config": VISION, "mm_tokens_per_image": 4}
    return kind, own if kind.startswith("gpt") else {**LLAMA_LIKE, **own}


GOLDENS = Path(__file__).parent / "golden_logits.json"
SPOTS = ([0, 0, 1, 1, 1], [3, 39, 0, 20, 39], [7, 50, 100, 3, 0])  # row, position, token
TOKENS = np.random.default_rng(5).integers(3, VOCABULARY, (2, 40))


def write(folder, case, prefix=None, dtype=np.float32):
    """A folder as transformers writes it, without torch: every tensor a function of its name alone."""
    from safetensors.numpy import save_file

    from superposition.llm.families import parse

    kind, arguments = settings(case)
    config = {"model_type": kind, **arguments}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    family, spec = parse(config)
    prefix = family.prefixes[0] if prefix is None else prefix
    stored = {}
    for source in family.tensors(spec).values():
        draw = np.random.default_rng(zlib.crc32(source.name.encode())).normal(size=source.shape)
        is_norm = len(source.shape) == 1 and source.name.endswith("weight")
        ones = 1.0 if is_norm and spec.norm != "rms_unit_offset" else 0.0
        values = ones + draw * (0.3 if len(source.shape) == 1 else 0.1)
        stored[source.name if source.name.startswith("lm_head") else prefix + source.name] = values.astype(
            dtype
        )
    save_file(stored, folder / "model.safetensors")
    return spec, stored


def logits_by_transformers(folder):
    """Logits of TOKENS by transformers, which must find every tensor and no other."""
    import torch
    from transformers import AutoModelForCausalLM

    model, report = AutoModelForCausalLM.from_pretrained(
        folder, attn_implementation="eager", dtype="float32", output_loading_info=True
    )
    assert not any(report[f"{kind}_keys"] for kind in ("missing", "unexpected", "mismatched"))
    with torch.no_grad():
        return model.eval()(torch.tensor(TOKENS)).logits.numpy()


def make(case, moved=False, scale=3.0, varied=False, seed=0):
    """The torch model. moved: biases and norms + 0.3 N, matrices times `scale`.

    varied: the final norm takes half the dimensions with the other sign and has no bias, so that the likeliest
    token is not the last one again.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText

    kind, arguments = settings(case)
    torch.manual_seed(seed)
    cls = AutoModelForImageTextToText if kind == "gemma3" else AutoModelForCausalLM
    config = AutoConfig.for_model(kind, **arguments)
    model = cls.from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters() if moved else ():
            if parameter.ndim == 1:
                parameter += 0.3 * torch.randn_like(parameter)
            else:
                parameter *= scale
            if varied and name.endswith(("ln_f.weight", "model.norm.weight", "final_layer_norm.weight")):
                parameter[::2] = -parameter[::2] - (2.0 if kind.startswith("gemma") else 0.0)
            if varied and name.endswith(("ln_f.bias", "final_layer_norm.bias")):
                parameter *= 0
    return model


def old_keys(config):
    """A config.json in the keys of transformers 4, as most of the hub has it."""
    config = json.loads(json.dumps(config))
    if "text_config" in config:
        config["text_config"] = old_keys({"model_type": "gemma3_text", **config["text_config"]})
    rope = config.pop("rope_parameters", None)
    config["torch_dtype"] = config.pop("dtype", "float32")
    kind = config["model_type"]
    if kind == "gemma3_text":
        config.pop("layer_types", None)
        config.pop("_sliding_window_pattern", None)
        config["sliding_window_pattern"] = 6
        config["rope_local_base_freq"] = rope["sliding_attention"]["rope_theta"]
        rope = rope["full_attention"]
    if kind == "gemma":
        config["hidden_activation"], config["hidden_act"] = None, "gelu"
    if kind == "gemma2":
        config.pop("layer_types", None)
        config["hidden_act"], config["sliding_window_size"] = "gelu_pytorch_tanh", config["sliding_window"]
    if rope is not None:
        theta = rope.pop("rope_theta")
        config["rotary_emb_base" if kind == "gpt_neox" else "rope_theta"] = theta
        if "partial_rotary_factor" in rope:
            config["rotary_pct"] = rope.pop("partial_rotary_factor")
        scaled = rope.get("rope_type") != "default"
        if scaled and kind == "qwen2":
            rope["type"] = rope.pop("rope_type")  # its oldest name
        config["rope_scaling"] = rope if scaled else None
    return config


def main():
    """Writes GOLDENS: some logits of every case, by transformers."""
    import tempfile

    goldens = {}
    for case in CASES:
        if case == "gemma3":
            continue  # its text model is gemma3_text
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder), case)
            logits = logits_by_transformers(Path(folder))
        goldens[case] = {"largest": float(np.abs(logits).max()), "logits": logits[SPOTS].tolist()}
    GOLDENS.write_text(json.dumps(goldens, indent=1) + "\n")


if __name__ == "__main__":
    main()
