"""Trees of arrays as named arrays, and back: what a checkpoint holds of a training state."""

from typing import Any

import jax
import numpy as np

from superposition.errors import ConfigError
from superposition.typing import PyTree

# numpy's name of a dtype: its name in a safetensors header.
DTYPES = {
    **{f"{kind}{bits}": f"{kind[0].upper()}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)},
    **{f"float{bits}": f"F{bits}" for bits in (16, 32, 64)},
    "bool": "BOOL",
    "bfloat16": "BF16",
    "complex64": "C64",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
}


def leaves(tree: PyTree) -> dict[str, Any]:
    """Every leaf by its key path; ConfigError where two share one."""
    pairs = jax.tree_util.tree_flatten_with_path(tree)[0]
    leaves = {jax.tree_util.keystr(path): leaf for path, leaf in pairs}
    if len(leaves) < len(pairs):
        raise ConfigError("two leaves share one key path; give the nodes of the tree distinct names")
    return leaves


def is_key(leaf: Any) -> bool:
    """Whether a leaf is a typed PRNG key."""
    return hasattr(leaf, "dtype") and jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def describe(leaf: Any) -> dict[str, Any]:
    """The schema's entry for a leaf, concrete or abstract: shape and dtype as stored, kind of key."""
    kind = {}
    if is_key(leaf):
        kind = {"key": str(leaf.dtype)}
        leaf = jax.eval_shape(jax.random.key_data, leaf)
    elif not hasattr(leaf, "dtype"):
        leaf = np.asarray(leaf)
    return {"shape": list(leaf.shape), "dtype": str(leaf.dtype), **kind}


def bits(name: str, leaf: Any) -> np.ndarray:
    """A leaf as the array that is stored; ConfigError for what no file holds."""
    if isinstance(leaf, jax.Array) and not (leaf.is_fully_addressable or leaf.is_fully_replicated):
        raise ConfigError(f"leaf {name} is spread over several hosts; gather it before saving")
    # safetensors copies the buffer as it lies in memory, so it must lie in C order.
    array = np.asarray(jax.random.key_data(leaf) if is_key(leaf) else leaf, order="C")
    if str(array.dtype) not in DTYPES or isinstance(leaf, np.ma.MaskedArray):
        kind = f"{type(leaf).__name__} of {array.dtype}"
        raise ConfigError(f"leaf {name or '(root)'} is {kind}; accepted: {', '.join(DTYPES)}")
    return array


def build(name: str, leaf: Any, array: np.ndarray) -> Any:
    """A leaf like `leaf`, with the values of a stored array."""
    if isinstance(leaf, np.ndarray):
        return array
    if isinstance(leaf, np.generic):
        return array[()]
    if not hasattr(leaf, "dtype"):
        return type(leaf)(array.item())
    if jax.dtypes.canonicalize_dtype(array.dtype) != array.dtype:
        raise ConfigError(f"leaf {name} is {array.dtype}, which JAX would cast now; set jax_enable_x64")
    value = jax.device_put(array)
    if is_key(leaf):
        kinds: list[Any] = []  # an abstract key tells its implementation only inside a trace
        jax.eval_shape(lambda key: kinds.append(jax.random.key_impl(key)), leaf)
        value = jax.random.wrap_key_data(value, impl=kinds[0])
    # A committed array refuses company on other devices, so commit only what was.
    sharding = leaf.sharding if getattr(leaf, "committed", True) else None
    return value if sharding is None else jax.device_put(value, sharding)
