"""EleutherAI's sparsify: one directory per hookpoint, cfg.json and sae.safetensors.

encoder.weight (d_sae, d_in), encoder.bias (d_sae,), W_dec (d_sae, d_in), b_dec (d_in,) and W_skip (d_in, d_in).
f = top_k(relu((x - b_dec) encoder.weight^T + encoder.bias)), y_hat = f W_dec + b_dec + x W_skip^T; b_dec is always
subtracted unless `transcode`. num_latents = 0 means d_in expansion_factor. activation "groupmax" is refused.

An SAE with a skip connection, whose x is also its target, is read as a transcoder with b_enc - b_dec W_enc.
"""

from typing import Any

import numpy as np

from superposition.errors import ConfigError
from superposition.sae import SAE, TopK
from superposition.storage.formats import _read, _recipe, _seal
from superposition.storage.formats._base import Format, Loaded, Source
from superposition.storage.formats._read import Arrays

CONFIG, WEIGHTS = "cfg.json", "sae.safetensors"
NAMES = {
    "W_enc": "encoder.weight",
    "b_enc": "encoder.bias",
    "W_dec": "W_dec",
    "b_dec": "b_dec",
    "W_skip": "W_skip",
}
KNOWN = {
    "activation", "expansion_factor", "normalize_decoder", "num_latents", "k", "multi_topk", "skip_connection",
    "transcode", "d_in", "signed", "metadata", _recipe.KEY,
}  # fmt: skip


def read(source: Source) -> Loaded:
    """The SAE of one hookpoint's directory."""
    path, weights = source.directory / CONFIG, source.directory / source.weights
    cfg = _read.read_json(path)
    if unknown := cfg.keys() - KNOWN:
        names = ", ".join(sorted(unknown))[:200]
        raise ConfigError(f"{path}: {names} is not known; accepted: {', '.join(sorted(KNOWN))}")
    if (activation := cfg.get("activation", "topk")) != "topk":
        raise ConfigError(
            f"{path}: activation must be topk; got {activation!r:.80}, which no recipe computes"
        )
    if _recipe.typed(path, cfg, "signed", bool, False):
        raise ConfigError(
            f"{path}: signed must be false; no recipe keeps negative latents among the k largest"
        )
    d_in = _recipe.typed(path, cfg, "d_in", int)
    factor = _recipe.typed(path, cfg, "expansion_factor", int, 32)
    d_sae = _recipe.typed(path, cfg, "num_latents", int, 0) or d_in * factor
    skip = _recipe.typed(path, cfg, "skip_connection", bool, False)
    transcode = _recipe.typed(path, cfg, "transcode", bool, False)
    shared = {"d_in": d_in, "d_sae": d_sae, "k": _recipe.typed(path, cfg, "k", int, 32), "skip": skip}
    shared |= {"d_out": d_in if skip or transcode else None, "apply_b_dec_to_input": not transcode}
    shared |= {"normalize_activations": "none", "rescale_acts_by_decoder_norm": False, "width": None}
    sae = _recipe.restore(path, cfg.get(_recipe.KEY), {TopK: shared})
    expected = _recipe.shapes(sae)
    _read.limit(path, expected)
    on_disk = {theirs: expected[ours] for ours, theirs in NAMES.items() if ours in expected}
    on_disk["encoder.weight"] = expected["W_enc"][::-1]
    raw = _read.read_safetensors(weights, on_disk)
    _seal.check_tensors(FORMAT, weights, cfg, raw)
    arrays = {ours: raw[theirs] for ours, theirs in NAMES.items() if theirs in raw}
    arrays["W_enc"] = arrays["W_enc"].T
    if skip and not transcode:
        W_enc, b_dec = (arrays[name].astype(np.float64) for name in ("W_enc", "b_dec"))
        arrays["b_enc"] = (arrays["b_enc"] - b_dec @ W_enc).astype(np.float32)
    metadata = dict(_recipe.typed(path, cfg, "metadata", dict, {}))
    for name in ("normalize_decoder", "multi_topk"):  # they shaped training only
        if name in cfg:
            metadata[name] = _recipe.typed(path, cfg, name, bool)
    return Loaded(sae, _recipe.loaded(weights, sae, arrays), metadata)


def files(sae: SAE, arrays: Arrays, metadata: dict[str, Any], dtype: str) -> dict[str, bytes]:
    """cfg.json and sae.safetensors of a TopK SAE or of a transcoder of one width."""
    plain = isinstance(sae, TopK) and sae.normalize_activations == "none" and sae.target_width == sae.d_in
    if not plain or sae.apply_b_dec_to_input != (sae.d_out is None) or sae.rescale_acts_by_decoder_norm:  # type: ignore[attr-defined]
        raise ConfigError(
            "sparsify holds TopK SAEs that subtract b_dec, and TopK transcoders with d_out = d_in, without norms"
            " or rescaling; use saelens"
        )
    assert isinstance(sae, TopK)
    rest = {
        name: value for name, value in metadata.items() if name not in ("normalize_decoder", "multi_topk")
    }
    cfg = {
        "activation": "topk",
        "expansion_factor": max(1, sae.d_sae // sae.d_in),
        "normalize_decoder": metadata.get("normalize_decoder", True),
        "num_latents": sae.d_sae,
        "k": sae.to_saelens()["k"],
        "multi_topk": metadata.get("multi_topk", False),
        "skip_connection": sae.skip,
        "transcode": sae.d_out is not None,
        "d_in": sae.d_in,
        "metadata": rest,
        _recipe.KEY: _recipe.describe(sae),
    }
    tensors = {theirs: arrays[ours] for ours, theirs in NAMES.items() if ours in arrays}
    tensors["encoder.weight"] = tensors["encoder.weight"].T
    return _seal.sealed(FORMAT, cfg, tensors, dtype)


FORMAT = Format(
    "sparsify",
    WEIGHTS,
    frozenset({CONFIG, WEIGHTS}),
    read,
    files,
    dtypes=("float32", "float16", "bfloat16"),
    config=CONFIG,
)
