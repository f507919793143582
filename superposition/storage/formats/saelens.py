"""SAELens v6 directories, which are also our own.

cfg.json and sae_weights.safetensors (and sparsity.safetensors, log10 firing frequency (d_sae,)), tensors under the
names that recipes use. cfg.json says architecture, d_in, d_sae, apply_b_dec_to_input, normalize_activations and
what the architecture adds; `metadata` says where the SAE belongs. We write the hyperparameters of our recipe
as `metadata.superposition`, which SAELens carries along.

| our recipe | SAELens architecture |
|---|---|
| relu, bricken, random | standard; transcoder, skip_transcoder |
| jumprelu, and batch-topk and matryoshka by their finish() | jumprelu; jumprelu_transcoder, jumprelu_skip_transcoder |
| gated, topk, matching-pursuit | gated, topk, matching_pursuit |
| identity, pca | abstopk with k = d_sae, which keeps every signed latent |
| transcoders of the others | none: superposition_*_transcoder, which SAELens refuses by name |

An architecture says its name here itself (`saelens` and what stands beside it in its class).

Older flat configs (before v6) are read, not written.
"""

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from superposition.errors import ConfigError
from superposition.sae import ARCHITECTURES, SAE
from superposition.sae.transforms import fold_scale
from superposition.storage.formats import _read, _recipe, _seal
from superposition.storage.formats._base import Format, Loaded, Source
from superposition.storage.formats._read import Arrays
from superposition.storage.formats._saelens_legacy import modern

CONFIG, WEIGHTS, SPARSITY = "cfg.json", "sae_weights.safetensors", "sparsity.safetensors"
VERSION = "6.54.12"  # the version of SAELens whose layout this is

OWN = "superposition_"
OWN_FIELDS = ("recipe", "fields", *_seal.KEYS)  # of our entry, what is not metadata
DECLARED: dict[str, list[type[SAE]]] = {}  # SAELens's name -> the architectures that declare it
for _kind in ARCHITECTURES.values():
    if _kind.saelens is not None:
        DECLARED.setdefault(_kind.saelens, []).append(_kind)


def _transcoder(kind: type[SAE]) -> str:
    return kind.saelens_transcoder or f"{OWN}{kind.saelens}_transcoder"


TRANSCODERS = {
    _transcoder(kind): name for name, kinds in DECLARED.items() for kind in kinds if kind.transcodes
}
SKIPS = {name.replace("transcoder", "skip_transcoder"): base for name, base in TRANSCODERS.items()}
KINDS = {**{name: name for name in DECLARED}, **TRANSCODERS, **SKIPS}

NORMALIZATIONS = ("none", "layer_norm", "constant_norm_rescale", "expected_average_only_in")
DTYPES = [
    prefix + dtype for prefix in ("", "torch.") for dtype in ("float32", "float16", "bfloat16", "float64")
]
COMMON = {
    "architecture", "d_in", "d_sae", "dtype", "device", "apply_b_dec_to_input", "normalize_activations",
    "reshape_activations", "metadata", "sae_lens_version", "finetuning_scaling_factor",
}  # fmt: skip


def read(source: Source) -> Loaded:
    """The SAE of a directory. An activation_scale is folded where the config says expected_average_only_in."""
    path = source.directory / CONFIG
    cfg = modern(path, _read.read_json(path))
    metadata = dict(_recipe.typed(path, cfg, "metadata", dict, {}))
    own = metadata.pop(_recipe.KEY, None)
    rest = {k: v for k, v in own.items() if k not in OWN_FIELDS} if isinstance(own, dict) else None
    sae, scaled = _sae(path, cfg, own)
    expected = _recipe.shapes(sae)
    _read.limit(path, expected)
    file = source.directory / source.weights
    arrays = _read.read_safetensors(file, expected, {"scaling_factor": (sae.d_sae,)})
    _seal.check_tensors(FORMAT, file, cfg, arrays)
    if (factor := arrays.pop("scaling_factor", None)) is not None and not (factor == 1).all():
        raise ConfigError(f"{file}: scaling_factor must be 1 throughout; fold it into W_dec and remove it")
    params = _recipe.loaded(file, sae, arrays)
    if scaled:
        if source.activation_scale is None:
            raise ConfigError(
                f"{path}: normalize_activations is expected_average_only_in, whose factor is not in the file;"
                f" give activation_scale = sqrt(d_in) / mean ||x|| of the data to fold it"
            )
        sae, params = fold_scale(sae, params, source.activation_scale)
    elif source.activation_scale is not None:
        raise ConfigError(f"{path}: activation_scale is for expected_average_only_in; leave it out")
    if rest:
        metadata[_recipe.KEY] = rest
    if (reshape := _recipe.typed(path, cfg, "reshape_activations", str, "none")) == "hook_z":
        metadata["reshape_activations"] = "hook_z"
    elif reshape != "none":
        raise ConfigError(f"{path}: reshape_activations must be none or hook_z; got {reshape!r:.80}")
    frequency = source.directory / SPARSITY
    sparsity = None
    if frequency.exists() or frequency.is_symlink():
        sparsity = _read.read_safetensors(frequency, {"sparsity": (sae.d_sae,)})["sparsity"]
        _seal.check_tensors(FORMAT, frequency, cfg, {"sparsity": sparsity})
    return Loaded(sae, params, metadata, sparsity)


def _sae(path: Path, cfg: dict[str, Any], own: Any) -> tuple[SAE, bool]:
    """The recipe of a v6 config, and whether it needs an activation scale."""
    architecture = _recipe.typed(path, cfg, "architecture", str)
    if architecture not in KINDS:
        raise ConfigError(f"{path}: architecture must be one of {', '.join(KINDS)}; got {architecture!r:.80}")
    kinds, transcodes = DECLARED[KINDS[architecture]], architecture not in DECLARED
    extras = kinds[0].saelens_fields
    if unknown := cfg.keys() - COMMON - extras.keys() - ({"d_out"} if transcodes else set()):
        names = ", ".join(sorted(unknown))[:200]
        raise ConfigError(
            f"{path}: {names} means nothing to {architecture}; accepted is what SAELens's save_inference_model writes"
        )
    if _recipe.typed(path, cfg, "finetuning_scaling_factor", bool, False):
        raise ConfigError(f"{path}: finetuning_scaling_factor must be false; fold it into W_dec")
    if (dtype := _recipe.typed(path, cfg, "dtype", str, "float32")) not in DTYPES:
        raise ConfigError(f"{path}: dtype must be one of {', '.join(DTYPES)}; got {dtype!r:.80}")
    norm = _recipe.typed(path, cfg, "normalize_activations", str, "none")
    if norm not in NORMALIZATIONS:
        mend = "; fold the whitening into the weights first" if norm == "covariance_whitening" else ""
        raise ConfigError(
            f"{path}: normalize_activations must be one of {', '.join(NORMALIZATIONS)}; got {norm!r:.80}{mend}"
        )
    scaled = norm == "expected_average_only_in"
    shared: dict[str, Any] = {name: _recipe.typed(path, cfg, name, int) for name in ("d_in", "d_sae")}
    shared["apply_b_dec_to_input"] = _recipe.typed(path, cfg, "apply_b_dec_to_input", bool, True)
    shared["normalize_activations"] = "none" if scaled else norm
    shared |= {"d_out": None, "skip": False, "width": None}
    if transcodes:
        if shared["apply_b_dec_to_input"]:
            raise ConfigError(f"{path}: apply_b_dec_to_input must be false for a transcoder")
        shared |= {"d_out": _recipe.typed(path, cfg, "d_out", int), "skip": architecture in SKIPS}
    settings = {
        name: _recipe.typed(path, cfg, name, hint, default) for name, (hint, default) in extras.items()
    }
    fields = {kind: kind.from_saelens(settings, shared["d_in"], shared["d_sae"]) for kind in kinds}
    able = {kind: shared | own_fields for kind, own_fields in fields.items() if own_fields is not None}
    if not able:
        raise ConfigError(
            f"{path}: no recipe computes {architecture} with {settings}, d_in = {shared['d_in']} and d_sae ="
            f" {shared['d_sae']}; {' or '.join(kind.__name__ for kind in kinds)} is the nearest"
        )
    entry = None if isinstance(own, dict) and "recipe" not in own else own
    return _recipe.restore(path, entry, able), scaled


def files(
    sae: SAE, arrays: Arrays, metadata: dict[str, Any], dtype: str, sparsity: np.ndarray | None = None
) -> dict[str, bytes]:
    """cfg.json and sae_weights.safetensors of the SAE as it is used after training, and its sparsity."""
    own: dict[str, Any] = {}
    given = metadata.get(_recipe.KEY, {})
    if isinstance(given, dict):
        own = {k: v for k, v in given.items() if k not in OWN_FIELDS}
    finished, params = sae.finish({name: jnp.asarray(array) for name, array in arrays.items()})
    if finished is not sae:
        own["trained_as"] = _recipe.describe(sae)
        metadata = {"training_architecture": sae.saelens_training, **metadata}
        sae, arrays = _recipe.checked(finished, params)
    kind = type(sae)
    architecture = str(kind.saelens) if sae.d_out is None else _transcoder(kind)
    if sae.skip:
        architecture = architecture.replace("transcoder", "skip_transcoder")
    cfg: dict[str, Any] = {
        "architecture": architecture,
        "d_in": sae.d_in,
        "d_sae": sae.d_sae,
        "dtype": dtype,
        "device": "cpu",
        "apply_b_dec_to_input": sae.apply_b_dec_to_input,
        "normalize_activations": sae.normalize_activations,
        "reshape_activations": metadata.get("reshape_activations", "none"),
    }
    if sae.d_out is not None:
        cfg["d_out"] = sae.d_out
    cfg |= sae.to_saelens()
    rest = {k: v for k, v in metadata.items() if k not in (_recipe.KEY, "reshape_activations")}
    version = {"sae_lens_version": VERSION, "sae_lens_training_version": None}
    cfg["metadata"] = {**version, **rest, "sae_lens_version": VERSION}
    cfg["metadata"][_recipe.KEY] = {**_recipe.describe(sae), **own}
    others = {} if sparsity is None else {SPARSITY: {"sparsity": sparsity}}
    return _seal.sealed(FORMAT, cfg, arrays, dtype, others)


FORMAT = Format(
    "saelens",
    WEIGHTS,
    frozenset({CONFIG, WEIGHTS, SPARSITY}),
    read,
    files,
    dtypes=("float32", "float16", "bfloat16"),
    config=CONFIG,
    entry=("metadata", _recipe.KEY),
)
