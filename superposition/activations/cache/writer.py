"""Writing a cache: one writer at a time, who may be killed at any instant and go on."""

import hashlib
import json
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import safetensors.numpy

from superposition._internal import atomic, validate
from superposition._internal.lock import held
from superposition._version import __version__
from superposition.activations.cache._rows import check_finite, norm_sum, order_of
from superposition.activations.cache.manifest import (
    DTYPES,
    LABEL,
    POSITION,
    SEQUENCE,
    SHARD,
    TEMPORARY,
    TOKENS,
    Manifest,
    Place,
    Shard,
    Tokens,
    is_cache,
    publish,
    read,
    shard_name,
    write,
)
from superposition.errors import ConfigError, StoreError
from superposition.storage.provenance import differences

MAX_SHARDS = 20_000  # the manifest lists them all, and is written anew with each


class CacheWriter:
    """A cache of `rows` rows of activations in `directory`, new or to be continued; use it in a `with`.

    about: JSON that says which numbers these are (model, tokenizer, text, each with a hash, ctx ...). hooks: the
    width at every hook. The same directory opened again with the same settings continues: `sequence` is where.
    Rows come in the order of (sequence, position). A kill loses at most the shard in work.
    Raises ConfigError for other settings than those there, by their difference, and for what does not fit;
    StoreError while another process writes, where the disk refuses, and on leaving with fewer rows than promised
    (which are kept).

    >>> import tempfile
    >>> from superposition.activations.cache import Cache
    >>> rows, position = {"mlp.hook_post": np.ones((4, 3), np.float32)}, np.arange(4)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with CacheWriter(Path(folder), {"model": "mine"}, {"mlp.hook_post": 3}, rows=4) as writer:
    ...         writer.append(rows, sequence=np.zeros(4, int), position=position)
    ...     len(Cache(Path(folder)).rows("mlp.hook_post"))
    4
    """

    def __init__(
        self,
        directory: Path,
        about: dict[str, Any],
        hooks: dict[str, int],
        *,
        rows: int,
        dtype: str = "float32",
        rows_per_shard: int = 65_536,
    ) -> None:
        validate.integer("rows", rows, 1, 2**31)
        validate.integer("rows_per_shard", rows_per_shard, 1, 2**31)
        validate.choice("dtype", dtype, DTYPES)
        if not hooks or {SEQUENCE, POSITION} & hooks.keys():
            raise ConfigError(f"hooks must name at least one hook point and its width; got {hooks}")
        for hook, width in hooks.items():
            validate.integer(f"width of {hook}", width, 1, 2**31)
        if rows > rows_per_shard * MAX_SHARDS:
            raise ConfigError(f"rows_per_shard must be at least rows / {MAX_SHARDS}; got {rows_per_shard}")
        self.directory, self._size = Path(directory), rows_per_shard
        settings = {
            "about": about,
            "hooks": hooks,
            "dtype": dtype,
            "rows_per_shard": rows_per_shard,
            "superposition": __version__,
        }
        try:
            settings = json.loads(json.dumps(settings, allow_nan=False))
        except (TypeError, ValueError) as error:
            raise ConfigError(f"about must be JSON: {error}") from error
        self._manifest, self._stack = Manifest(settings, rows), ExitStack()
        self._held: dict[str, np.ndarray] = {}
        self._count = 0
        self._last = -1

    def __enter__(self) -> "CacheWriter":
        with atomic.system(self.directory):
            others = sorted(p.name for p in self.directory.iterdir()) if self.directory.is_dir() else []
        if not is_cache(self.directory) and any(n != "lock" and not n.startswith(TEMPORARY) for n in others):
            raise ConfigError(f"{self.directory} holds {others[0]} and is no cache; choose another directory")
        with ExitStack() as stack:
            stack.enter_context(held(self.directory, self.directory))
            self._open()
            self._stack = stack.pop_all()
        return self

    def _open(self) -> None:
        """Go on where the manifest ends; a last shard that is not full is made again if more rows are wanted."""
        if not is_cache(self.directory):
            write(self.directory, self._manifest)
        stored, wanted = read(self.directory), self._manifest
        if lines := differences(stored.settings, wanted.settings):
            raise ConfigError(
                f"{self.directory} was begun with other settings: {'; '.join(lines)}; give those, or another directory"
            )
        if stored.rows > wanted.promised:
            raise ConfigError(f"{self.directory} has {stored.rows} rows already; rows must be at least that")
        self._sweep(stored)
        shards = stored.shards
        if shards and shards[-1].rows < self._size and stored.rows < wanted.promised:
            shards = shards[:-1]
        self._manifest = replace(stored, promised=wanted.promised, shards=shards)
        if shards:
            self._last = int(order_of(*(np.array([n]) for n in shards[-1].last))[0])
        size = min(self._size, max(1, self.missing))
        hooks = self._manifest.settings["hooks"]
        self._held = {hook: np.empty((size, width), self._manifest.dtype) for hook, width in hooks.items()}
        self._held |= {name: np.empty(size, np.int32) for name in (SEQUENCE, POSITION)}

    @property
    def rows(self) -> int:
        """Rows taken so far, those on disk included."""
        return self._manifest.rows + self._count

    @property
    def missing(self) -> int:
        """Rows that are still wanted."""
        return self._manifest.promised - self.rows

    @property
    def sequence(self) -> int:
        """The sequence to continue with: that of the last row taken, which may have more."""
        return 0 if self._last < 0 else self._last >> 32

    def append(self, rows: Mapping[str, np.ndarray], sequence: np.ndarray, position: np.ndarray) -> None:
        """Add rows {hook: (r, width)} from `position` (r,) of `sequence` (r,).

        Rows at or before the last one taken are passed over, as are those beyond the rows promised.
        Raises ConfigError for rows of another shape, out of order, or not finite in the cache's dtype.
        """
        order = order_of(np.asarray(sequence), np.asarray(position))
        if len(order) > 1 and (np.diff(order) <= 0).any():
            raise ConfigError("rows must come in the order of (sequence, position), each once")
        arrays = self._cast(rows, len(order))
        start = int(np.searchsorted(order, self._last, "right"))
        stop = min(len(order), start + self.missing)
        check_finite(arrays, order, slice(start, stop))
        while True:
            if self._count == len(self._held[SEQUENCE]):  # maybe since the disk refused it before
                self._flush()
            if start == stop:
                return
            taken = min(stop - start, len(self._held[SEQUENCE]) - self._count)
            into, source = slice(self._count, self._count + taken), slice(start, start + taken)
            for hook, array in arrays.items():
                self._held[hook][into] = array[source]
            self._held[SEQUENCE][into], self._held[POSITION][into] = np.divmod(order[source], 2**32)
            self._count, start, self._last = self._count + taken, start + taken, int(order[source][-1])

    def rewrite(
        self, index: int, rows: Mapping[str, np.ndarray], sequence: np.ndarray, position: np.ndarray
    ) -> None:
        """Make a damaged shard again; rows before its first and after its last are passed over."""
        validate.integer("index", index, 0, len(self._manifest.shards))
        old = self._manifest.shards[index]
        order = order_of(np.asarray(sequence), np.asarray(position))
        first, last = (int(order_of(*(np.array([n]) for n in place))[0]) for place in (old.first, old.last))
        inside = (order >= first) & (order <= last)
        kept = order[inside]
        if len(kept) != old.rows or (np.diff(kept) <= 0).any() or kept[0] != first or kept[-1] != last:
            raise ConfigError(
                f"shard {index} holds {old.rows} rows from {tuple(old.first)} to {tuple(old.last)}; got {len(kept)}"
            )
        arrays = {hook: array[inside] for hook, array in self._cast(rows, len(order)).items()}
        check_finite(arrays, kept, slice(0, len(kept)))
        where = zip((SEQUENCE, POSITION), np.divmod(kept, 2**32), strict=True)
        self._publish(index, arrays | {name: n.astype(np.int32) for name, n in where})

    def save_tokens(self, tokens: np.ndarray) -> None:
        """Save the tokens (n_sequences, ctx), once. Raises ConfigError if others are there."""
        array = np.ascontiguousarray(tokens, np.int32)
        if array.ndim != 2:
            raise ConfigError(f"tokens must be (n_sequences, ctx); got shape {array.shape}")
        data = safetensors.numpy.save({"tokens": array})
        wanted = Tokens(len(data), hashlib.sha256(data).hexdigest(), array.shape)
        stored = self._manifest.tokens
        if stored not in (None, wanted):
            raise ConfigError(f"{self.directory} holds other tokens; choose another directory")
        publish(self.directory / TOKENS, data)
        self._manifest = replace(self._manifest, tokens=wanted)
        write(self.directory, self._manifest)

    def _cast(self, rows: Mapping[str, np.ndarray], count: int) -> dict[str, np.ndarray]:
        hooks = self._manifest.settings["hooks"]
        if rows.keys() != hooks.keys():
            raise ConfigError(f"rows must be given for the hooks {', '.join(hooks)}; got {', '.join(rows)}")
        arrays = {}
        for hook, width in hooks.items():
            if np.shape(rows[hook]) != (count, width):
                raise ConfigError(f"{hook} must be ({count}, {width}); got {np.shape(rows[hook])}")
            with np.errstate(over="ignore"):  # what overflows is looked for, and named
                arrays[hook] = np.asarray(rows[hook]).astype(self._manifest.dtype, copy=False)
        return arrays

    def _flush(self) -> None:
        held = {name: array[: self._count] for name, array in self._held.items()}
        self._publish(len(self._manifest.shards), held)
        self._count = 0

    def _publish(self, index: int, arrays: dict[str, np.ndarray]) -> None:
        label = json.dumps(self._manifest.label(index), sort_keys=True)
        data = safetensors.numpy.save(
            {name: np.ascontiguousarray(array) for name, array in arrays.items()}, {LABEL: label}
        )
        places = np.stack([arrays[SEQUENCE], arrays[POSITION]], 1)[[0, -1]].tolist()
        shard = Shard(
            len(data),
            hashlib.sha256(data).hexdigest(),
            len(arrays[SEQUENCE]),
            Place(*places[0]),
            Place(*places[1]),
            {hook: norm_sum(arrays[hook]) for hook in self._manifest.settings["hooks"]},
        )
        publish(self.directory / shard_name(index, shard.rows), data)
        self._manifest = self._manifest.with_shard(index, shard)
        write(self.directory, self._manifest)

    def _sweep(self, manifest: Manifest) -> None:
        """Remove what a kill left: files half written, and shards that no manifest names."""
        named = {manifest.name(i) for i in range(len(manifest.shards))}
        with atomic.system(self.directory):
            for path in self.directory.iterdir():
                if path.name.startswith(TEMPORARY) or (SHARD.fullmatch(path.name) and path.name not in named):
                    path.unlink()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._stack:
            if kind is not None:
                return
            have, want = self.rows, self._manifest.promised
            if self._count:
                self._flush()
            self._sweep(self._manifest)
            if have < want:
                raise StoreError(
                    f"{self.directory}: have {have} rows, want {want}; what is there is kept: give more text, or"
                    f" promise {have}"
                )
