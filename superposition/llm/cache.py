"""A cache of a model's activations at any hook points, all of them from one forward pass over the text."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from superposition.activations.cache import Cache, CacheWriter
from superposition.errors import ConfigError
from superposition.llm.hooks import stop_after
from superposition.llm.model import LanguageModel
from superposition.llm.packing import Tokens
from superposition.llm.place import digest

LARGEST = 2**24  # numbers in the widest array of a batch
SHARD_BYTES = 2**28


def write_cache(
    lm: LanguageModel,
    tokens: Tokens,
    hooks: Sequence[str],
    out: str | Path,
    about: dict[str, Any] | None = None,
    *,
    dtype: str = "float32",
    progress: Callable[[int], None] = lambda rows: None,
    stop: Callable[[], bool] = lambda: False,
) -> bool:
    """Write activations of usable tokens at hook points to the directory `out`, or what is missing of it.

    about: JSON by which a cache that was begun knows its model and text; another is refused. dtype: float32 or
    bfloat16. progress is told how many more rows are done, those that were there before included. stop: whether to stop
    after a batch of rows; what is done is kept. Returns whether the cache is complete. `open_activations` reads it.
    Raises ConfigError for a directory of other settings, StoreError for the disk.

    >>> import tempfile
    >>> from superposition.activations.cache import Cache
    >>> from superposition.llm.reading import read_tokens
    >>> lm = LanguageModel.from_hf()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_cache(lm, read_tokens(lm, ctx=16, max_tokens=64), ["blocks.0.mlp.hook_post"], folder + "/cache")
    ...     Cache(folder + "/cache").rows("blocks.0.mlp.hook_post").width
    True
    512
    """
    out, widths = Path(out), {lm.resolve(hook): lm.width(hook) for hook in hooks}
    n, ctx = tokens.tokens.shape
    stop_at, spec, total = stop_after(widths, lm.spec.n_layers), lm.spec, sum(widths.values())
    widest = max(total, spec.d_mlp, spec.n_heads * ctx, spec.d_vocab if stop_at is None else 0)
    size = int(np.clip(LARGEST // (ctx * widest), 1, n))
    shard = int(np.clip(SHARD_BYTES // (4 * total), 1024, 65_536))
    usable = int(tokens.usable.sum())
    try:
        with CacheWriter(out, about or {}, widths, rows=usable, dtype=dtype, rows_per_shard=shard) as writer:
            writer.save_tokens(tokens.tokens)
            first = writer.sequence
            progress(first)
            for begin, acts in _captured(lm, list(widths), tokens, first, size, stop_at):
                row, position = np.nonzero(tokens.usable[begin : begin + size])
                writer.append({hook: a[row, position] for hook, a in acts.items()}, begin + row, position)
                progress(min(size, n - begin))
                if stop() and writer.missing:
                    raise _Stopped
    except _Stopped:
        return False
    return True


class _Stopped(Exception):
    """Leaves the writer without what is missing, which it would refuse to finish."""


def _captured(
    lm: LanguageModel, hooks: list[str], tokens: Tokens, first: int, size: int, stop_at: int | None
) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
    """From row `first` on, `size` rows at a time: where they begin, and activations (rows, pos, width) by hook."""
    for begin in range(first, len(tokens.tokens), size):
        part = tokens.rows(slice(begin, begin + size))
        rows, fill = part.tokens, ((0, size - len(part.tokens)), (0, 0))  # one shape, one compilation
        mask = None if part.valid is None else np.pad(part.valid, fill, mode="edge")
        _, acts = lm.run_with_cache(np.pad(rows, fill, mode="edge"), hooks, mask=mask, stop_at_layer=stop_at)
        yield begin, {hook: np.asarray(a)[: len(rows)].reshape(*rows.shape, -1) for hook, a in acts.items()}


def cached_tokens(cache: Cache, lm: LanguageModel) -> Tokens:
    """The tokens that a cache has activations of; ConfigError for a cache without tokens or of another model."""
    about = cache.manifest.settings["about"]
    if (theirs := about.get("model_sha256")) is not None and theirs != digest(lm):
        raise ConfigError(
            f"{cache.directory} was written with {about.get('model')} in {about.get('dtype')}; give that --model and --dtype"
        )
    ids = cache.tokens()
    usable = np.zeros(ids.shape, bool)
    usable[cache.places()] = True
    sources = about.get("sources") or []
    source = (sources[0] if len(sources) == 1 else "cache",)
    return Tokens(ids, usable, np.zeros(len(ids), np.int32), source, lm.token_facts.valid(ids))
