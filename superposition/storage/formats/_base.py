"""What a format is."""

import json
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import safetensors.numpy

from superposition.errors import ConfigError
from superposition.sae import SAE, Params
from superposition.storage.formats._read import Arrays

DEAD = -9.5  # log10 of the firing rate below which a latent is dead: files have -10 for those
DTYPES = {name: jnp.dtype(name) for name in ("float32", "float16", "bfloat16")}


class Loaded(NamedTuple):
    """An SAE from disk; sparsity is log10 of each latent's firing frequency (d_sae,), where the file has it.

    >>> from superposition.storage import formats
    >>> sae, params, metadata, sparsity = formats.load("superposition/small-lm-sae")
    >>> params["W_dec"].shape, metadata["model_name"]
    ((1024, 512), 'superposition/small-lm')
    """

    sae: SAE
    params: Params
    metadata: dict[str, Any]
    sparsity: np.ndarray | None = None

    def summary(self) -> dict[str, Any]:
        """Sizes and settings, norms of the weights, firing rates, and what the metadata say, by name.

        >>> from superposition.storage import formats
        >>> formats.load("superposition/small-lm-sae").summary()["architecture"]
        'TopK'
        """
        rows: dict[str, Any] = {"architecture": type(self.sae).__name__}
        rows |= {f.name: v for f in fields(self.sae) if (v := getattr(self.sae, f.name)) is not None}
        for name, axis in (("W_enc", 0), ("W_dec", 1)):
            if name in self.params:
                norms = np.quantile(np.linalg.norm(np.asarray(self.params[name]), axis=axis), [0, 0.5, 1])
                rows[f"||{name}|| min, median, max"] = ", ".join(f"{norm:.4g}" for norm in norms)
        if self.sparsity is not None:
            alive = self.sparsity[self.sparsity > DEAD]
            rows["dead"] = float((self.sparsity <= DEAD).mean())
            rows["median density of the alive"] = 10 ** float(np.median(alive)) if len(alive) else None
            rows["l0"] = float(np.sum(10.0**self.sparsity))
        ours = self.metadata.get("superposition", {})
        measured = ours.get("metrics", {}) if isinstance(ours, dict) else {}
        rows |= {k: float(v) for k, v in measured.items() if isinstance(v, int | float) and k != "l0"}
        return rows | {
            k: str(v)[:100] for k, v in self.metadata.items() if k != "superposition" and v is not None
        }


class Source(NamedTuple):
    """What to read, and what the caller allows."""

    directory: Path
    weights: str
    allow_pt: bool = False
    activation_scale: float | None = None


@dataclass(frozen=True)
class Format:
    """A layout on disk: the file that marks it, all files it may have, how it is read and what it writes.

    files(sae, arrays, metadata, dtype) gives name -> bytes, for parameters already checked. config: the file of
    settings, None where there is none; entry: where in it is what is ours alone. pickled: whether the weights are a
    PyTorch checkpoint, and not safetensors.

    >>> from superposition.storage.formats import FORMATS
    >>> FORMATS["saelens"].weights, FORMATS["saelens"].dtypes
    ('sae_weights.safetensors', ('float32', 'float16', 'bfloat16'))
    """

    name: str
    weights: str
    names: frozenset[str]
    read: Callable[[Source], Loaded]
    files: Callable[..., dict[str, bytes]]
    dtypes: tuple[str, ...] = ("float32",)
    config: str | None = None
    entry: tuple[str, ...] = ("superposition",)
    pickled: bool = False


def to_json(value: dict[str, Any]) -> bytes:
    """JSON bytes, or ConfigError for what JSON cannot hold."""
    try:
        data = json.dumps(value, allow_nan=False, indent=2)
        if json.loads(data) != value:
            raise ValueError("keys that are not strings, or tuples")
    except (RecursionError, TypeError, ValueError) as error:
        raise ConfigError(f"metadata must be JSON, numbers finite and keys strings: {error}") from error
    return data.encode()


def cast(arrays: Arrays, dtype: str) -> Arrays:
    """The arrays in `dtype`, those of integers as they are; ConfigError where they overflow it."""
    if dtype not in DTYPES:
        raise ConfigError(f"dtype must be one of {', '.join(DTYPES)}; got {dtype!r}")
    with np.errstate(over="ignore"):
        new = {
            n: a if a.dtype.kind in "iu" else a.astype(DTYPES[dtype], copy=False) for n, a in arrays.items()
        }
    for name, array in new.items():
        if not np.isfinite(array.astype(np.float32, copy=False)).all():
            raise ConfigError(f"params[{name!r}] overflows {dtype}; use bfloat16 or float32")
    return new


def to_safetensors(arrays: Arrays, dtype: str = "float32", notes: dict[str, str] | None = None) -> bytes:
    """A safetensors file of the arrays in `dtype`, and of notes beside them; ConfigError where they overflow it."""
    # safetensors copies the buffer as it lies in memory, so it must lie in C order.
    ordered = {name: np.asarray(array, order="C") for name, array in cast(arrays, dtype).items()}
    return _in_order(safetensors.numpy.save(ordered, metadata={"format": "pt", **(notes or {})}))


def _in_order(data: bytes) -> bytes:
    """The same file with its notes in alphabetical order: safetensors writes them in another one each time."""
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[8 + size :]
