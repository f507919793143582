"""SAEs on disk. A new format is one file and one line here; our own is SAELens's (`superposition.storage.formats.saelens`).

`load` gives a recipe, its parameters (float32) and what the files say besides; `save` writes a directory that
the format's own library loads. A pickle is never loaded.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np

from superposition._internal import validate
from superposition.errors import ConfigError, StoreError
from superposition.sae import SAE, Params
from superposition.storage.formats import (
    _recipe,
    _seal,
    _write,
    dictionary_learning,
    gemma_scope,
    saelens,
    sparsify,
)
from superposition.storage.formats._base import Format, Loaded, Source

# Every format that SAEs are read from, by name.
FORMATS: dict[str, Format] = {
    "saelens": saelens.FORMAT,
    "gemma-scope": gemma_scope.FORMAT,
    "gemma-scope-2": gemma_scope.FORMAT_2,
    "dictionary-learning": dictionary_learning.FORMAT,
    "sparsify": sparsify.FORMAT,
}

# The SAEs that ship with the library: name -> directory.
SHIPPED = {"superposition/small-lm-sae": Path(__file__).parent / "small_lm_sae"}
NAMES = "superposition/"  # what the names of SHIPPED begin with

__all__ = ["FORMATS", "SHIPPED", "Format", "Loaded", "load", "save"]


def load(
    path: str | os.PathLike[str],
    format: str | None = None,
    *,
    allow_pt: bool = False,
    activation_scale: float | None = None,
) -> Loaded:
    """Read an SAE as (sae, params, metadata, sparsity): a directory, the file of weights in it, or a name in SHIPPED.

    format: a name in FORMATS; by default the one whose weights are there. allow_pt lets PyTorch checkpoints be
    read (tensors only; nothing in them runs). activation_scale, sqrt(d_in) / mean ||x||, is folded into a SAELens
    SAE that says expected_average_only_in. params are JAX float32 arrays under the recipe's names.
    Raises StoreError for files that are missing or unreadable, CorruptError for bytes that are not what the
    format has, ConfigError for settings outside what is accepted; all name the file.

    >>> from superposition.storage import formats
    >>> loaded = formats.load("superposition/small-lm-sae")
    >>> type(loaded.sae).__name__, loaded.sae.d_in, loaded.sae.d_sae, loaded.metadata["hook_name"]
    ('TopK', 512, 1024, 'blocks.0.mlp.hook_post')
    """
    path = SHIPPED.get(str(path), Path(path))
    if format is not None:
        validate.choice("format", format, list(FORMATS))
    if activation_scale is not None:
        validate.in_range("activation_scale", activation_scale, 0.0, 1e30, open_low=True)
    if path.is_dir():
        name = format or _detect(path)
        source = Source(path, FORMATS[name].weights, allow_pt, activation_scale)
    elif os.path.lexists(path):
        name = format or _named(path)
        source = Source(path.parent, path.name, allow_pt, activation_scale)
    else:
        named = f", or give {' or '.join(SHIPPED)}" if path.as_posix().startswith(NAMES) else ""
        raise StoreError(
            f"{path}: expected a directory or a file of weights, found nothing; check the path{named}"
        )
    if activation_scale is not None and name != saelens.FORMAT.name:
        raise ConfigError(f"{path}: activation_scale is for saelens; fold_scale does it for {name}")
    _seal.check_config(FORMATS[name], source)
    return FORMATS[name].read(source)


def save(
    directory: str | os.PathLike[str],
    sae: SAE,
    params: Params,
    metadata: dict[str, Any] | None = None,
    format: str = "saelens",
    *,
    dtype: str = "float32",
    sparsity: np.ndarray | None = None,
    overwrite: bool = False,
) -> Path:
    """Write an SAE in `format`; the directory appears whole or not at all. Returns its path.

    load(save(...)) gives the same recipe and, for dtype float32, the same bits; only batch-topk and matryoshka
    become, in saelens, the JumpReLU their finish() gives. Latents outside a masked width are left out.
    metadata is JSON (hook_name, model_name, ...); sparsity, log10 firing frequency (d_sae,), is for saelens. A
    directory that exists is replaced with overwrite=True if it holds an SAE and nothing else; of several that write
    one at once without it one wins. What is written holds digests, by which `load` refuses what was damaged or changed
    since; a gemma-scope file is a zip, which has its own.
    Raises ConfigError for what the format cannot hold, StoreError where the system refuses.

    >>> import tempfile
    >>> import jax
    >>> from superposition.sae import TopK
    >>> from superposition.storage import formats
    >>> sae = TopK(d_in=3, d_sae=8, k=2)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = formats.save(f"{folder}/sae", sae, sae.init_params(jax.random.key(0)), {"hook_name": "mlp.hook_post"})
    ...     formats.load(path).sae == sae
    True
    """
    validate.choice("format", format, list(FORMATS))
    kind = FORMATS[format]
    if dtype not in kind.dtypes:
        raise ConfigError(f"dtype for {format} must be one of {', '.join(kind.dtypes)}; got {dtype!r}")
    metadata = {} if metadata is None else metadata
    if not isinstance(metadata, dict):
        raise ConfigError(f"metadata must be a dict; got {type(metadata).__name__}")
    sae, arrays = _recipe.checked(sae, params)
    held: dict[str, np.ndarray] = {}
    if sparsity is not None:
        frequency = np.asarray(sparsity, np.float32)
        if saelens.SPARSITY not in kind.names or frequency.shape != (sae.d_sae,):
            raise ConfigError(
                f"sparsity is (d_sae,) = ({sae.d_sae},), in saelens; got {frequency.shape} in {format}"
            )
        held["sparsity"] = frequency
    files = kind.files(sae, arrays, metadata, dtype, **held)
    directory = Path(directory)
    _write.publish(directory, files, overwrite=overwrite, ours=_is_sae)
    return directory


def _detect(path: Path) -> str:
    found = [name for name, kind in FORMATS.items() if os.path.lexists(path / kind.weights)]
    if not found:
        for kind in FORMATS.values():
            _seal.check_missing(kind, path)
    if len(found) != 1:
        accepted = ", ".join(f"{kind.weights} ({name})" for name, kind in FORMATS.items())
        raise StoreError(
            f"{path}: expected one of {accepted}; found {found or 'none'}; give format, or check the path"
        )
    return found[0]


def _named(path: Path) -> str:
    """The format of a file of weights by its name; any other .npz or .pt by what that is."""
    for name, kind in FORMATS.items():
        if path.name == kind.weights:
            return name
    suffixes = {".npz": "gemma-scope", ".pt": "dictionary-learning"}
    if path.suffix not in suffixes:
        raise StoreError(f"{path}: expected {', '.join(k.weights for k in FORMATS.values())}; give format")
    return suffixes[path.suffix]


def _is_sae(names: list[str]) -> bool:
    return any(kind.weights in names and set(names) <= kind.names for kind in FORMATS.values())
