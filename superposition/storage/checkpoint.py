"""Any training state on disk: one rename to write it, every byte checked before it is used, never a pickle.

A step is the directory `step-000000000100` of two files. `state.safetensors` holds every leaf under its key
path, PRNG keys as their key data. `MANIFEST.json` holds the step, the size and SHA-256 of the state, the
shape and dtype of every leaf, the metadata, and the SHA-256 of all that.

A step takes its name once all its bytes are on the disk. Names that begin with `.tmp-` are unfinished or
doomed, and belong to nobody once their process is gone. One process at a time may write a directory.
"""

import contextlib
import os
import re
import secrets
import warnings
from pathlib import Path
from typing import Any, TypeAlias

import jax
import numpy as np
import safetensors
import safetensors.numpy

from superposition._internal import atomic, validate
from superposition._internal.lock import is_alive
from superposition._internal.sealed_json import decode, digest, encode
from superposition.errors import ConfigError, CorruptError, StoreError
from superposition.storage import trees
from superposition.typing import PyTree

Arrays: TypeAlias = dict[str, np.ndarray]

FORMAT = 1
STATE, MANIFEST = "state.safetensors", "MANIFEST.json"
MAX_STEP = 10**12
MAX_HEADER = 8 << 20  # bytes of MANIFEST.json, and of the header inside the state: 30 000 leaves and more


# A process id comes back after a crash (in a container it is the same every time), this does not.
_PROCESS = secrets.token_hex(4)
_STEP = re.compile("step-([0-9]{12})")
_TEMPORARY = re.compile("[.]tmp-[0-9]+-([0-9]+)-([0-9a-f]{8})[0-9a-f]{8}")


def save(
    directory: str | os.PathLike[str],
    step: int,
    tree: PyTree,
    metadata: dict[str, Any] | None = None,
    *,
    keep: int = 2,
) -> Path:
    """Write a tree of arrays and JSON metadata as `step`; returns the step's directory.

    Leaves are numpy or JAX arrays, typed PRNG keys or Python numbers; metadata come back as JSON has them,
    tuples as lists. A step that exists is left alone if it holds the same, else replaced (a kill between
    the two renames of that loses this step, no other). Steps older than the `keep` newest valid ones are
    then removed. An error leaves all earlier steps as they were.
    Raises ConfigError for what cannot be stored, StoreError where the system refuses.
    """
    validate.integer("step", step, 0, MAX_STEP)
    validate.integer("keep", keep, 1)
    leaves = trees.leaves(tree)
    state = safetensors.numpy.save({name: trees.bits(name, leaf) for name, leaf in leaves.items()})
    manifest = _manifest(
        int(step), state, {name: trees.describe(leaf) for name, leaf in leaves.items()}, metadata
    )
    directory = Path(directory)
    target = _path(directory, int(step))
    with atomic.system(directory):
        atomic.create(directory)
        _sweep(directory)
        if not _holds(target, manifest):
            with atomic.replacing(target, _temporary(target), _temporary(target)) as new:
                atomic.put(new / STATE, state)
                atomic.put(new / MANIFEST, manifest)
        _prune(directory, int(step), keep)
    return target


def load(
    directory: str | os.PathLike[str],
    like: PyTree,
    *,
    step: int | None = None,
    fallback: bool = False,
) -> tuple[PyTree, dict[str, Any], int]:
    """Read the newest step, or `step`, into the structure of `like`; returns (tree, metadata, step).

    Every leaf comes back bit for bit as the kind of thing `like` holds there: numpy or JAX array (on the
    same devices; a weak type comes back strong), PRNG key or number; a ShapeDtypeStruct gives a JAX array.
    With `fallback`, a corrupt step is passed over for the newest good one before it, with a warning.
    Raises CorruptError if the step is not what was written, ConfigError if it does not fit `like`,
    StoreError if there is none or it cannot be read.
    """
    directory = Path(directory)
    step, manifest, arrays = _find(directory, step, fallback)
    leaves, schema = trees.leaves(like), manifest["schema"]
    where = _path(directory, step)
    for name in sorted(leaves.keys() ^ schema.keys()):
        holder = "the checkpoint alone" if name in schema else "`like` alone"
        raise ConfigError(f"{where}: leaf {name or '(root)'} is in {holder}; give `like` the saved structure")
    for name, leaf in leaves.items():
        if schema[name] != (wanted := trees.describe(leaf)):
            held = f"{schema[name]} in the checkpoint and {wanted} in `like`"
            raise ConfigError(f"{where}: leaf {name or '(root)'} is {held}; nothing is cast, make them equal")
    built = [trees.build(name, leaf, arrays[name]) for name, leaf in leaves.items()]
    return jax.tree.unflatten(jax.tree.structure(like), built), manifest["metadata"], step


def latest(directory: str | os.PathLike[str]) -> int | None:
    """The newest step by name alone, valid or not; None without any. Raises StoreError if unreadable."""
    return next(iter(_steps(Path(directory))), None)


def metadata(directory: str | os.PathLike[str]) -> dict[str, Any] | None:
    """The metadata of the newest step, its state unread; None without any. Raises as `load` does."""
    if (step := latest(directory)) is None:
        return None
    path = _path(Path(directory), step)
    with atomic.system(path):
        held: dict[str, Any] = _manifest_at(path)["metadata"]
    return held


def verify(directory: str | os.PathLike[str], step: int | None = None) -> None:
    """Check every byte of the newest step, or of `step`; raises CorruptError, or StoreError without any."""
    _find(Path(directory), step, fallback=False)


def _find(directory: Path, step: int | None, fallback: bool) -> tuple[int, dict[str, Any], Arrays]:
    steps = _steps(directory)
    if not steps or step not in (None, *steps):
        wanted = "a checkpoint" if step is None else f"step {step}"
        raise StoreError(f"{directory}: expected {wanted}, found the steps {steps}; check the path")
    error = None
    for candidate in steps[0 if step is None else steps.index(step) :]:
        try:
            manifest, arrays = _verified(_path(directory, candidate))
        except CorruptError as corrupt:
            error = error or corrupt
            continue
        if error and not fallback:
            raise CorruptError(f"{error}; step {candidate} is good, fallback=True takes it") from error
        if error:
            warnings.warn(f"{error}; falling back to step {candidate}", RuntimeWarning, stacklevel=3)
        return candidate, manifest, arrays
    raise CorruptError(f"{error}; no older step is good") from error


def _manifest(step: int, state: bytes, schema: dict[str, Any], metadata: dict[str, Any] | None) -> bytes:
    metadata = {} if metadata is None else metadata
    files = {STATE: {"bytes": len(state), "sha256": digest(state)}}
    body = {"format": FORMAT, "step": step, "files": files, "schema": schema, "metadata": metadata}
    try:
        data = encode(body)
        decode(data)  # two keys 1 and "1" become the same
    except (RecursionError, TypeError, ValueError) as error:
        raise ConfigError(
            f"metadata must be JSON, numbers finite and keys distinct strings: {error}"
        ) from error
    if not isinstance(metadata, dict) or max(len(data), _header_bytes(state)) > MAX_HEADER:
        raise ConfigError(f"metadata must be a dict and, with all leaves' names, take <= {MAX_HEADER} bytes")
    return data


def _header_bytes(state: bytes) -> int:
    return int.from_bytes(state[:8], "little")


def _verified(path: Path) -> tuple[dict[str, Any], Arrays]:
    """Manifest and arrays of the step at `path`: names, sizes, hashes and headers first, arrays last."""
    with atomic.system(path):
        names = sorted(os.listdir(path)) if path.is_dir() else "no directory"
        if names != [MANIFEST, STATE]:
            raise CorruptError(f"{path}: expected the files {[MANIFEST, STATE]}, got {names}")
        manifest = _manifest_at(path)
        try:
            size, expected = int(manifest["files"][STATE]["bytes"]), manifest["files"][STATE]["sha256"]
            entries = {name: (e["shape"], trees.DTYPES[e["dtype"]]) for name, e in manifest["schema"].items()}
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise CorruptError(f"{path / MANIFEST}: {error}") from error
        state = _read(path / STATE, size, size)
    if (got := digest(state)) != expected:
        raise CorruptError(f"{path / STATE}: expected SHA-256 {expected}, got {got}")
    try:
        if _header_bytes(state) > MAX_HEADER:
            raise ValueError(f"a header of {_header_bytes(state)} bytes")
        tensors = dict(safetensors.deserialize(state))  # type: ignore[no-untyped-call]
        if entries != (header := {name: (t["shape"], t["dtype"]) for name, t in tensors.items()}):
            raise ValueError(header)
    except (ValueError, safetensors.SafetensorError) as error:
        raise CorruptError(f"{path / STATE}: expected the leaves {entries}, got {error}") from error
    dtypes = {name: jax.numpy.dtype(entry["dtype"]) for name, entry in manifest["schema"].items()}
    return manifest, {n: np.ndarray(t["shape"], dtypes[n], t["data"]) for n, t in tensors.items()}


def _manifest_at(path: Path) -> dict[str, Any]:
    try:
        manifest = decode(_read(path / MANIFEST, 0, MAX_HEADER))
        if manifest["format"] != FORMAT:
            wrote = f"{path / MANIFEST}: expected format {FORMAT}, got {manifest['format']!r}"
            raise StoreError(f"{wrote}; read it with the version that wrote it")
        if path != _path(path.parent, manifest["step"]):
            raise ValueError(f"expected {path.name}, got step {manifest['step']!r}")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CorruptError(f"{path / MANIFEST}: {error}") from error
    return manifest


def _read(path: Path, least: int, most: int) -> bytes:
    if not path.is_file():
        raise CorruptError(f"{path}: expected a file, got something else")
    if not least <= (size := path.stat().st_size) <= most:
        raise CorruptError(f"{path}: expected {least if least == most else f'<= {most}'} bytes, got {size}")
    return path.read_bytes()


def _holds(target: Path, manifest: bytes) -> bool:
    with contextlib.suppress(StoreError):
        _verified(target)
        return (target / MANIFEST).read_bytes() == manifest
    return False


def _prune(directory: Path, saved: int, keep: int) -> None:
    valid = 0
    for step in _steps(directory):
        path = _path(directory, step)
        if step == saved:
            valid += 1
        elif valid >= keep:
            doomed = _temporary(path)
            os.rename(path, doomed)  # what is half removed must not carry a step's name
            atomic.remove(doomed)
        else:
            with contextlib.suppress(StoreError):
                _verified(path)
                valid += 1


def _sweep(directory: Path) -> None:
    for name in os.listdir(directory):
        if (match := _TEMPORARY.fullmatch(name)) and not _is_live(int(match[1]), match[2]):
            atomic.remove(directory / name)


def _is_live(pid: int, process: str) -> bool:
    return process == _PROCESS if pid == os.getpid() else is_alive(pid)


def _temporary(target: Path) -> Path:
    step = int(target.name[-12:])
    return target.with_name(f".tmp-{step}-{os.getpid()}-{_PROCESS}{secrets.token_hex(4)}")


def _path(directory: Path, step: int) -> Path:
    return directory / f"step-{step:012d}"


def _steps(directory: Path) -> list[int]:
    """Newest first."""
    with atomic.system(directory):
        names = os.listdir(directory) if os.path.lexists(directory) else []
    return sorted((int(match[1]) for name in names if (match := _STEP.fullmatch(name))), reverse=True)
