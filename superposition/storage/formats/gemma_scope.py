"""Gemma Scope (Lieberum et al. 2024) and Gemma Scope 2: JumpReLU SAEs and transcoders of Gemma.

1: params.npz alone, W_enc (d_in, d_sae), b_enc, W_dec (d_sae, d_out), b_dec (d_out), threshold (d_sae), linear.
2: params.safetensors, the same in lower case, with affine_skip_connection (d_in, d_out), and config.json.
f = pre 1[pre > threshold], pre = x W_enc + b_enc: b_dec is not subtracted, and no norm remains to be applied.

A transcoder whose d_out is d_in looks like an SAE in version 1, and is computed like one. The SAEs of the
embedding expect the embedding before Gemma's factor sqrt(d_in). Cross-layer transcoders are refused.
"""

from pathlib import Path
from typing import Any

from superposition.errors import ConfigError, CorruptError
from superposition.sae import SAE, JumpReLU
from superposition.storage.formats import _npz, _read, _recipe, _seal
from superposition.storage.formats._base import Format, Loaded, Source
from superposition.storage.formats._read import Arrays, Shapes

CONFIG, NPZ, SAFETENSORS = "config.json", "params.npz", "params.safetensors"
SKIP = "affine_skip_connection"
LOWER = {"W_enc": "w_enc", "W_dec": "w_dec", "b_enc": "b_enc", "b_dec": "b_dec", "threshold": "threshold"}


def read(source: Source) -> Loaded:
    """Gemma Scope: an .npz without a config."""
    path = source.directory / source.weights
    shapes = _npz.npz_shapes(path)
    sae = _sae(path, shapes, transcodes=None, skip=False, own=None)
    expected = _recipe.shapes(sae)
    if shapes != expected:
        raise CorruptError(f"{path}: expected {expected}, got {shapes}")
    arrays = _npz.read_npz(path)
    _read.check_arrays(path, arrays, expected)
    return Loaded(sae, _recipe.loaded(path, sae, arrays), {})


def read_2(source: Source) -> Loaded:
    """Gemma Scope 2: metadata is the rest of config.json."""
    config, path = source.directory / CONFIG, source.directory / source.weights
    cfg = _read.read_json(config)
    metadata = dict(cfg)
    if (architecture := metadata.pop("architecture", None)) != "jump_relu":
        raise ConfigError(f"{config}: architecture must be jump_relu; got {architecture!r:.80}")
    affine = _recipe.typed(config, {"affine_connection": metadata.pop("affine_connection", None)},
                           "affine_connection", bool | None)  # fmt: skip
    own = metadata.pop(_recipe.KEY, None)
    shapes = _read.safetensors_shapes(path)
    skip = SKIP in shapes
    if affine is not None and affine != skip:
        raise CorruptError(f"{path}: affine_connection is {affine} in {CONFIG}, but {SKIP} is there: {skip}")
    named = {name: shapes[lower] for name, lower in LOWER.items() if lower in shapes}
    target = metadata.get("hf_hook_point_out")
    transcodes = skip or (target is not None and target != metadata.get("hf_hook_point_in"))
    sae = _sae(path, named, transcodes, skip, own)
    expected = _recipe.shapes(sae)
    _read.limit(path, expected)
    on_disk = {LOWER[name]: shape for name, shape in expected.items() if name in LOWER}
    if skip:
        on_disk[SKIP] = expected["W_skip"][::-1]
    raw = _read.read_safetensors(path, on_disk)
    _seal.check_tensors(FORMAT_2, path, cfg, raw)
    arrays = {name: raw[lower] for name, lower in LOWER.items()}
    if skip:
        arrays["W_skip"] = raw[SKIP].T
    return Loaded(sae, _recipe.loaded(path, sae, arrays), metadata)


def _sae(path: Path, shapes: Shapes, transcodes: bool | None, skip: bool, own: Any) -> SAE:
    """A JumpReLU recipe of these shapes; transcodes=None: as the shapes say."""
    if len(shapes.get("W_dec", ())) == 3:
        raise ConfigError(f"{path}: W_dec {shapes['W_dec']}: cross-layer transcoders are not read")
    if len(shapes.get("W_enc", ())) != 2 or len(shapes.get("W_dec", ())) != 2:
        raise CorruptError(f"{path}: expected matrices W_enc and W_dec, got {shapes}")
    (d_in, d_sae), d_out = shapes["W_enc"], shapes["W_dec"][1]
    if transcodes is None:
        transcodes = d_out != d_in
    shared: dict[str, Any] = {"d_in": d_in, "d_sae": d_sae, "apply_b_dec_to_input": False, "skip": skip}
    shared |= {"d_out": d_out if transcodes else None, "normalize_activations": "none", "width": None}
    return _recipe.restore(path, own, {JumpReLU: shared})


def _usable(sae: SAE, name: str) -> None:
    if not isinstance(sae, JumpReLU) or sae.apply_b_dec_to_input or sae.normalize_activations != "none":
        raise ConfigError(
            f"{name} holds JumpReLU with apply_b_dec_to_input=False and no norm;"
            " fold b_dec (convert --fold-b-dec), or use saelens"
        )


def files(sae: SAE, arrays: Arrays, metadata: dict[str, Any], dtype: str) -> dict[str, bytes]:
    """params.npz; there is no place for metadata."""
    del dtype
    _usable(sae, "gemma-scope")
    if sae.skip or metadata:
        raise ConfigError("gemma-scope holds no skip connection and no metadata; use gemma-scope-2")
    return {NPZ: _npz.write_npz(arrays)}


def files_2(sae: SAE, arrays: Arrays, metadata: dict[str, Any], dtype: str) -> dict[str, bytes]:
    """config.json and params.safetensors; a transcoder needs hf_hook_point_out in metadata, or a skip."""
    _usable(sae, "gemma-scope-2")
    config = {"architecture": "jump_relu", **metadata}
    if sae.d_out is not None:
        config["affine_connection"] = sae.skip
        if not sae.skip and "hf_hook_point_out" not in config:
            raise ConfigError(
                "a transcoder in gemma-scope-2 is told by metadata['hf_hook_point_out']; give it"
            )
    config[_recipe.KEY] = _recipe.describe(sae)
    tensors = {lower: arrays[name] for name, lower in LOWER.items()}
    if sae.skip:
        tensors[SKIP] = arrays["W_skip"].T
    return _seal.sealed(FORMAT_2, config, tensors, dtype)


FORMAT = Format("gemma-scope", NPZ, frozenset({NPZ}), read, files)
FORMAT_2 = Format(
    "gemma-scope-2",
    SAFETENSORS,
    frozenset({CONFIG, SAFETENSORS}),
    read_2,
    files_2,
    dtypes=("float32", "float16", "bfloat16"),
    config=CONFIG,
)
