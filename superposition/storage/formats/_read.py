"""Files that somebody else wrote: every size is checked against what the config implies before it is read.

A reader gives float32 arrays (exact from float32, float16 and bfloat16) or one error that names the file, what
was found and what is accepted. Nothing in a file is executed, and no more memory is taken than the tensors
asked for, whose sizes the file itself must have.
"""

import math
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np

from superposition._internal import foreign
from superposition.errors import ConfigError, CorruptError, StoreError

Arrays: TypeAlias = dict[str, np.ndarray]
Shapes: TypeAlias = dict[str, tuple[int, ...]]

MAX_JSON = 1 << 20  # bytes of a config
MAX_BYTES = 64 << 30  # bytes of all tensors of one SAE


def regular(path: Path) -> Path:
    """The file itself; StoreError unless it is a regular file of this directory.

    A link may lead to a place inside the directory, or to the `blobs` of the Hugging Face cache that the
    directory is a snapshot in, and nowhere else.
    """
    try:
        home, target = path.parent.resolve(strict=True), path.resolve(strict=True)
        mode = target.stat().st_mode
    except (OSError, RuntimeError) as error:
        raise StoreError(f"{path}: expected a file, got {error}; check the path") from error
    if not stat.S_ISREG(mode):
        raise StoreError(f"{path}: expected a regular file, got something else")
    snapshots = next((up for up in home.parents if up.name == "snapshots"), None)
    cached = snapshots is not None and target.parent == snapshots.parent / "blobs"
    if not (target.is_relative_to(home) or cached):
        raise StoreError(f"{path}: a link that leaves the directory, to {target}; copy the file in its place")
    return target


def read_json(path: Path) -> dict[str, Any]:
    """One JSON object: numbers finite, keys distinct, UTF-8, at most MAX_JSON bytes; or CorruptError."""
    with _open(path) as file:
        return foreign.bounded_json(path, file, MAX_JSON)


def read_safetensors(path: Path, expected: Shapes, optional: Shapes | None = None) -> Arrays:
    """The tensors `expected`, and of `optional` those that are there, as float32; or CorruptError."""
    with _open(path) as file:
        entries, start, size = foreign.entries(path, file, MAX_BYTES)
        _check_names(path, entries.keys(), expected, optional or {})
        for name, (dtype, shape, _) in entries.items():
            _check(path, name, dtype, shape, {**expected, **(optional or {})}[name])
        arrays = {}
        for name, (dtype, shape, offset) in entries.items():
            file.seek(start + offset)
            count = math.prod(shape) * foreign.SIZES[dtype]
            if len(data := file.read(count)) != count:
                raise CorruptError(f"{path}: expected {size} bytes, got a file that ends within {name}")
            arrays[name] = to_float32(dtype, data).reshape(shape)
    for name, array in arrays.items():
        check_finite(path, name, array)
    return arrays


def safetensors_note(path: Path, name: str) -> bytes | None:
    """A text that the header holds beside the tensors, None where it has none of this name."""
    with _open(path) as file:
        notes = foreign.raw_header(path, file)[0].get("__metadata__")
    note = notes.get(name) if isinstance(notes, dict) else None
    return note.encode("utf-8", "surrogatepass") if isinstance(note, str) else None


def safetensors_shapes(path: Path) -> Shapes:
    """The shape of every tensor, from the header alone."""
    with _open(path) as file:
        return {name: shape for name, (_, shape, _) in foreign.entries(path, file, MAX_BYTES)[0].items()}


def to_float32(dtype: str, data: bytes) -> np.ndarray:
    """Values of the safetensors dtype F32, F16 or BF16, widened exactly."""
    if dtype == "BF16":  # a bfloat16 is the upper half of a float32
        return (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
    return np.frombuffer(data, {"F32": "<f4", "F16": "<f2"}[dtype]).astype(np.float32, copy=False)


def check_arrays(path: Path, arrays: Arrays, expected: Shapes, optional: Shapes | None = None) -> None:
    """Names, shapes and values of arrays already read; or CorruptError."""
    _check_names(path, arrays.keys(), expected, optional or {})
    for name, array in arrays.items():
        _check(path, name, "F32", array.shape, {**expected, **(optional or {})}[name])
        check_finite(path, name, array)


def check_finite(path: Path, name: str, array: np.ndarray) -> None:
    """Every number finite, and thresholds not negative; or CorruptError."""
    if not np.isfinite(array).all():
        count = int((~np.isfinite(array)).sum())
        raise CorruptError(f"{path}: tensor {name}: expected finite numbers, got {count} that are not")
    if name == "threshold" and array.size and (least := array.min()) < 0:
        raise CorruptError(f"{path}: tensor threshold: expected numbers >= 0, got {least:g}")


def check_prefix(path: Path, got: Iterable[str], expected: Iterable[str]) -> None:
    """ConfigError where the expected names are there under one prefix: the bytes are sound."""
    names, wanted = set(got), list(expected)
    for name in sorted(names):
        prefix = name.removesuffix(wanted[0])
        if prefix.endswith(".") and all(prefix + want in names for want in wanted):
            raise ConfigError(
                f"{path}: its tensors are named {prefix}{wanted[0]} and so on, as torch.compile (_orig_mod.) and"
                f" DataParallel (module.) save them; take the prefix {prefix!r} off the names and save again"
            )


def _check_names(path: Path, got: Any, expected: Shapes, optional: Shapes) -> None:
    check_prefix(path, got, expected)
    missing, extra = expected.keys() - got, got - expected.keys() - optional.keys()
    if missing or extra:
        names = [name[:80] for name in sorted(extra)[:8]]
        more = f"lacks {sorted(missing)} and holds {names} besides"
        raise CorruptError(f"{path}: expected the tensors {sorted(expected)}; it {more}")


def _check(path: Path, name: str, dtype: str, shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    if shape != expected:
        raise CorruptError(f"{path}: tensor {name}: expected shape {expected}, got {shape}")
    if dtype == "F64":
        raise ConfigError(
            f"{path}: tensor {name} is float64; weights are read as float32: cast it and save again"
        )
    if dtype not in foreign.FLOATS:
        raise CorruptError(f"{path}: tensor {name}: expected one of {sorted(foreign.FLOATS)}, got {dtype}")


def limit(path: Path, shapes: Shapes) -> None:
    """ConfigError for an SAE that would not fit in MAX_BYTES."""
    if (size := 4 * sum(math.prod(shape) for shape in shapes.values())) > MAX_BYTES:
        raise ConfigError(f"{path}: an SAE of {size} bytes; accepted: <= {MAX_BYTES}")


def _open(path: Path) -> BinaryIO:
    target = regular(path)
    try:
        return open(target, "rb")
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror or error}; make it readable") from error
