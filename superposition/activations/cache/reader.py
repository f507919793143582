"""Reading a cache: any number of readers, while a writer goes on or not."""

import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import safetensors.numpy

from superposition.activations import Stream
from superposition.activations.cache.manifest import (
    POSITION,
    SEQUENCE,
    TOKENS,
    Manifest,
    Place,
    check,
    offsets,
    read,
)
from superposition.activations.files import Piece, Rows, file_stream
from superposition.errors import ConfigError, CorruptError
from superposition.typing import PRNGKey


class Cache:
    """The finished shards of a cache, as they were when it was opened; later ones are not seen.

    Raises ConfigError where there is no cache, CorruptError for a file that is damaged, cut, exchanged, of
    another cache or missing. Without `verify` sizes and headers are looked at, but not every byte.

    >>> import tempfile
    >>> from superposition.activations.cache import CacheWriter
    >>> rows, position = {"mlp.hook_post": np.ones((4, 3), np.float32)}, np.arange(4)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with CacheWriter(Path(folder), {"model": "mine"}, {"mlp.hook_post": 3}, rows=4) as writer:
    ...         writer.append(rows, sequence=np.zeros(4, int), position=position)
    ...     Cache(Path(folder)).hooks
    {'mlp.hook_post': 3}
    """

    def __init__(self, directory: Path, *, verify: bool = True) -> None:
        self.directory, self.manifest = Path(directory), read(Path(directory))
        shards = range(len(self.manifest.shards))
        checked = [_shard(self.directory, self.manifest, i, verify=verify) for i in shards]
        self._stamps, self._begins = [c[0] for c in checked], [c[1] for c in checked]
        if self.manifest.tokens is not None:
            check(self.directory / TOKENS, self.manifest.tokens, verify=verify)

    @property
    def hooks(self) -> dict[str, int]:
        """Width of the activations by hook."""
        return dict(self.manifest.settings["hooks"])

    def rows(self, hook: str) -> Rows:
        """The activations at a hook, (rows, width). Raises ConfigError for an unknown hook or no rows yet."""
        if hook not in self.hooks:
            raise ConfigError(f"{self.directory}: no hook {hook!r}; it holds {', '.join(self.hooks)}")
        if not self.manifest.shards:
            raise ConfigError(
                f"{self.directory}: no shard is finished yet; wait for the writer, or run it again"
            )
        digest = hashlib.sha256(hook.encode())
        pieces = []
        for i, shard in enumerate(self.manifest.shards):
            digest.update(bytes.fromhex(shard.sha256))
            path = self.directory / self.manifest.name(i)
            pieces.append(Piece(path, self._begins[i][hook], shard.rows, self._stamps[i]))
        return Rows(pieces, self.hooks[hook], self.manifest.dtype, digest.hexdigest()[:32])

    def tokens(self) -> np.ndarray:
        """The tokens (n_sequences, ctx)."""
        if self.manifest.tokens is None:
            raise ConfigError(f"{self.directory}: no tokens were saved in this cache")
        return safetensors.numpy.load_file(self.directory / TOKENS)["tokens"]

    def places(self) -> tuple[np.ndarray, np.ndarray]:
        """Sequence and position of every row, int32 (rows,) each."""
        paths = [self.directory / self.manifest.name(i) for i in range(len(self.manifest.shards))]
        found: list[list[np.ndarray]] = [[np.zeros(0, np.int32)] for _ in range(2)]
        for path in paths:
            with safetensors.safe_open(path, framework="numpy") as file:
                for held, name in zip(found, (SEQUENCE, POSITION), strict=True):
                    held.append(file.get_tensor(name))
        return np.concatenate(found[0]), np.concatenate(found[1])


def open_cache(
    key: PRNGKey, directory: Path, hook: str, target: str | None = None, *, verify: bool = True
) -> Stream:
    """The stream over a cache's rows at `hook`, with those at `target` as targets for a transcoder.

    See Cache for what is checked and raised. Rows come in blocks of neighbours, so train on
    `mixed_stream(key, open_cache(key, ...))`.

    >>> import tempfile
    >>> import jax
    >>> from superposition.activations.cache import CacheWriter
    >>> rows, position = {"mlp.hook_post": np.ones((4, 3), np.float32)}, np.arange(4)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with CacheWriter(Path(folder), {"model": "mine"}, {"mlp.hook_post": 3}, rows=4) as writer:
    ...         writer.append(rows, sequence=np.zeros(4, int), position=position)
    ...     open_cache(jax.random.key(0), Path(folder), "mlp.hook_post").batch(step=0, size=2).x.shape
    (2, 3)
    """
    cache = Cache(directory, verify=verify)
    return file_stream(key, cache.rows(hook), None if target is None else cache.rows(target))


class Damage(NamedTuple):
    """What is wrong with a file; of a shard, its number and what it has to hold.

    >>> Damage("shard-000000-4.safetensors: expected 64 bytes, got 60", shard=0, rows=4).fault
    'shard-000000-4.safetensors: expected 64 bytes, got 60'
    """

    fault: str
    shard: int | None = None  # None: the tokens
    rows: int = 0
    first: Place | None = None
    last: Place | None = None


def damaged(directory: Path) -> list[Damage]:
    """Every bad file of a cache, for `CacheWriter.rewrite` and `save_tokens`. Raises CorruptError for the manifest.

    >>> import tempfile
    >>> from superposition.activations.cache import CacheWriter
    >>> rows, position = {"mlp.hook_post": np.ones((4, 3), np.float32)}, np.arange(4)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with CacheWriter(Path(folder), {"model": "mine"}, {"mlp.hook_post": 3}, rows=4) as writer:
    ...         writer.append(rows, sequence=np.zeros(4, int), position=position)
    ...     (Path(folder) / "shard-000000-4.safetensors").unlink()
    ...     [file.shard for file in damaged(Path(folder))]
    [0]
    """
    manifest, found = read(Path(directory)), []
    for i, shard in enumerate(manifest.shards):
        try:
            _shard(Path(directory), manifest, i, verify=True)
        except CorruptError as error:
            found.append(Damage(str(error), i, shard.rows, shard.first, shard.last))
    try:
        if manifest.tokens is not None:
            check(Path(directory) / TOKENS, manifest.tokens, verify=True)
    except CorruptError as error:
        found.append(Damage(str(error)))
    return found


def _shard(
    directory: Path, manifest: Manifest, index: int, *, verify: bool
) -> tuple[tuple[int, int], dict[str, int]]:
    """Stamp of a good shard, and the bytes at which its tensors begin. Raises CorruptError."""
    path, shard, settings = directory / manifest.name(index), manifest.shards[index], manifest.settings
    at = check(path, shard, verify=verify)
    tensors: dict[str, tuple[tuple[int, ...], str]]
    tensors = {hook: ((shard.rows, width), settings["dtype"]) for hook, width in settings["hooks"].items()}
    tensors |= dict.fromkeys((SEQUENCE, POSITION), ((shard.rows,), "int32"))
    return at, offsets(path, tensors, manifest.label(index))
