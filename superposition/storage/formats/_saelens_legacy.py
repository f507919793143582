"""SAELens configs from before version 6: one flat object that mixes the SAE with its training."""

import re
from pathlib import Path
from typing import Any

from superposition.errors import ConfigError
from superposition.storage.formats._recipe import typed

# What the SAE is, and where it belongs; all else in a flat config is about its training.
SAE_FIELDS = {
    "architecture", "d_in", "d_sae", "dtype", "device", "apply_b_dec_to_input", "normalize_activations",
    "reshape_activations", "finetuning_scaling_factor", "k",
}  # fmt: skip
PLACE = {
    "model_name", "hook_name", "model_class_name", "hook_head_index", "model_from_pretrained_kwargs",
    "prepend_bos", "exclude_special_tokens", "neuronpedia_id", "context_size", "seqpos_slice", "dataset_path",
    "sae_lens_training_version",
}  # fmt: skip
RENAMED = {
    "hook_point": "hook_name",
    "hook_point_head_index": "hook_head_index",
    "activation_fn_str": "activation_fn",
}


def modern(path: Path, cfg: dict[str, Any]) -> dict[str, Any]:
    """A config as version 6 writes it, from one of any version; ConfigError for what cannot be said in it."""
    metadata = typed(path, cfg, "metadata", dict, {})
    version = cfg.get("sae_lens_version") or metadata.get("sae_lens_version")
    if version is not None:
        match = re.match(r"([0-9]{1,9})\.", version) if isinstance(version, str) else None
        if match is None:
            raise ConfigError(f"{path}: sae_lens_version must be like 6.0.0; got {version!r:.80}")
        if int(match[1]) >= 6:
            return cfg
    flat = {RENAMED.get(name, name): value for name, value in cfg.items()}
    new = {name: value for name, value in flat.items() if name in SAE_FIELDS}
    new["metadata"] = {name: value for name, value in flat.items() if name in PLACE}
    new.setdefault("architecture", "standard")
    activation = flat.get("activation_fn", "relu")
    kwargs = flat.get("activation_fn_kwargs") or {}
    if activation == "topk" and isinstance(kwargs, dict):
        new |= {"architecture": "topk", "k": kwargs.get("k", flat.get("k"))}
    elif activation != "relu":
        raise ConfigError(f"{path}: activation_fn must be relu or topk; got {activation!r:.80}")
    if new["architecture"] != "topk":
        new.pop("k", None)
    norm = new.get("normalize_activations")
    if norm is None or isinstance(norm, bool):
        new["normalize_activations"] = "expected_average_only_in" if norm else "none"
    hook = flat.get("hook_name")
    if "reshape_activations" not in new and isinstance(hook, str) and "hook_z" in hook:
        new["reshape_activations"] = "hook_z"
    return new
