"""How a directory that we wrote is known to be as it was written.

The config holds the SHA-256 of the tensors, in the entry that other libraries carry along and ignore. The file of
weights holds a copy of the config, where other libraries look for nothing. So neither can change without the other,
no key that is damaged takes the check away unseen, and a config that was edited can be told from what it was. What
another program writes has no copy of the config; its tensors may then be in another order or precision, not others.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from superposition._internal.strict_json import strict_json
from superposition.errors import ConfigError, CorruptError
from superposition.storage.formats import _read, _torch
from superposition.storage.formats._base import Format, Source, cast, to_json, to_safetensors
from superposition.storage.formats._read import Arrays

SHA256, EDITED = "sha256", "edited"
KEYS = (SHA256, EDITED)  # of our entry in a config
SHOWN = 3  # changes named in an error


def digest(tensors: Arrays) -> str:
    """SHA-256 of names, shapes and values, in whatever order and precision they are stored."""
    total = hashlib.sha256()
    for name, array in sorted(tensors.items()):
        total.update(f"{name} {array.shape} ".encode())
        total.update(np.asarray(array, "<i8" if array.dtype.kind in "iu" else "<f4").tobytes())
    return total.hexdigest()


def sealed(
    kind: Format, config: dict[str, Any], tensors: Arrays, dtype: str, others: dict[str, Arrays] | None = None
) -> dict[str, bytes]:
    """Files by name: the config with the digests of `tensors` and of the files `others`, the weights with the config."""
    assert kind.config is not None
    tensors, others = cast(tensors, dtype), others or {}
    own = _own(kind, config)
    own[SHA256] = {name: digest(arrays) for name, arrays in {kind.weights: tensors, **others}.items()}
    files = {kind.config: to_json(config)}
    copy = _canonical(config)
    if kind.pickled:
        files[kind.weights] = _torch.write_torch(tensors, {kind.config: copy.encode()})
    else:
        files[kind.weights] = to_safetensors(tensors, dtype, {kind.config: copy})
    return files | {name: to_safetensors(arrays) for name, arrays in others.items()}


def check_config(kind: Format, source: Source) -> None:
    """CorruptError where the config is not the one that the weights were written with, or a file beside is gone."""
    if kind.config is None or (kind.pickled and not source.allow_pt):
        return
    weights, path = source.directory / source.weights, source.directory / kind.config
    if source.weights != kind.weights and not path.exists():
        path = source.directory.parent / kind.config  # of checkpoints/ae_100.pt
    copy = (_torch.note if kind.pickled else _read.safetensors_note)(weights, kind.config)
    if copy is None:  # another program wrote the weights
        return
    if not path.exists():
        raise CorruptError(f"{path} is missing, and {source.weights} was written with it; restore it")
    config, written = _read.read_json(path), strict_json(f"{weights}: the copy of {kind.config}", copy)
    if _own(kind, config).get(EDITED) is True:
        return
    if _canonical(config) != _canonical(written):
        changes = _changes(written, config)
        more = f" and {len(changes) - SHOWN} more" if len(changes) > SHOWN else ""
        raise CorruptError(
            f"{path} is not as it was written: {'; '.join(changes[:SHOWN])}{more}; restore it, or if the change is"
            f" meant {_accept(kind)}"
        )
    for name in _sums(kind, path, config):
        if name != kind.weights and not (other := source.directory / name).exists():
            raise CorruptError(f"{other} is missing, {_written(kind)}; restore it, or {_accept(kind)}")


def check_tensors(kind: Format, path: Path, config: dict[str, Any], tensors: Arrays) -> None:
    """CorruptError where the file `path` does not hold the tensors that the config has the digest of.

    A config without digests, as others write it and we did, says nothing.
    """
    known = _sums(kind, path.parent / str(kind.config), config).get(path.name)
    if known is not None and digest(tensors) != known:
        raise CorruptError(
            f"{path} does not hold the tensors that were written, whose SHA-256 is in {kind.config}; restore it, or if"
            f" the change is meant {_accept(kind)}"
        )


def check_missing(kind: Format, directory: Path) -> None:
    """CorruptError where there is a config that says that its file of weights, which is not there, was written."""
    path = directory / str(kind.config)
    if (
        kind.config is not None
        and path.is_file()
        and kind.weights in _sums(kind, path, _read.read_json(path))
    ):
        raise CorruptError(f"{directory / kind.weights} is missing, {_written(kind)}; restore it")


def _sums(kind: Format, path: Path, config: dict[str, Any]) -> dict[str, str]:
    """The digests in a config by file, none where its changes were meant."""
    own = _own(kind, config)
    sums = {} if own.get(EDITED) is True else own.get(SHA256, {})
    if not isinstance(sums, dict) or any(type(v) is not str for v in sums.values()):
        raise ConfigError(f"{path}: {SHA256} must name digests by file; got {sums!r:.80}; remove it")
    return sums


def _written(kind: Format) -> str:
    return f"and {kind.config} says that it was written"


def _own(kind: Format, config: dict[str, Any]) -> dict[str, Any]:
    """Our entry in a config, empty where there is none."""
    found: Any = config
    for name in kind.entry:
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def _accept(kind: Format) -> str:
    return f'put "{EDITED}": true in {".".join(kind.entry)} of {kind.config}'


def _canonical(config: dict[str, Any]) -> str:
    return json.dumps(config, sort_keys=True, separators=(",", ":"))


def _changes(old: Any, new: Any, where: str = "") -> list[str]:
    """What differs between two values of JSON, in words."""
    if isinstance(old, dict) and isinstance(new, dict):
        names = [*old, *(name for name in new if name not in old)]
        inner = [(name, old.get(name, ...), new.get(name, ...)) for name in names]
        return [c for name, a, b in inner for c in _changes(a, b, f"{where}.{name}" if where else name)]
    if _shown(old) == _shown(new):
        return []
    if old is ...:
        return [f"{where[:120]} is new"]
    if new is ...:
        return [f"{where[:120]} is missing"]
    return [f"{where[:120]} is {_shown(new):.80} and was {_shown(old):.80}"]


def _shown(value: Any) -> str:
    return "" if value is ... else json.dumps(value, sort_keys=True)
