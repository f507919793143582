"""`superposition llm activations`: a cache of activations at any hook points, all of them from one forward pass."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from superposition._internal.memory import enough_memory
from superposition.activations.cache import CacheWriter, manifest
from superposition.cli.llm.config import ActivationsConfig
from superposition.cli.llm.data import about_text, hook_of, open_model, place_of, put_together
from superposition.cli.llm.text import read_tokens
from superposition.cli.sae.training import progress
from superposition.llm.hooks import stop_after
from superposition.llm.model import LanguageModel
from superposition.llm.packing import RanDryError, Tokens
from superposition.training import loop

CELLS = 2**24  # numbers in the widest array of a batch
SHARD_BYTES = 2**28


def write_activations(config: ActivationsConfig) -> str:
    """Write the cache, or what is missing of it, and say what is there.

    Raises ConfigError for settings, models and text, StoreError for the disk, Interrupted after SIGINT, SIGTERM or SIGHUP;
    where the text runs dry, RanDryError once the cache of what there was is finished.
    """
    assert config.out is not None
    with enough_memory("give a smaller --ctx or fewer hook points; --resume goes on from what was saved"):
        lm = open_model(config)
        hooks = [hook_of(lm, name) for name in dict.fromkeys(config.hook or (None,))]
        dry = None
        try:
            tokens = read_tokens(config, lm)
        except RanDryError as error:
            tokens, dry = error.tokens, error
        _write(config, config.out, lm, {hook: lm.width(hook) for hook in hooks}, tokens)
    if dry is not None:
        raise RanDryError(f"{dry}; {config.out} holds the activations of what there is", tokens) from dry
    return (
        f"{put_together(config, lm, tokens)}\n"
        f"{int(tokens.usable.sum())} tokens at {', '.join(hooks)} in {config.out}; train on them with: "
        f"superposition llm train-sae --cache {config.out} --hook {hooks[0]}"
    )


def _write(
    config: ActivationsConfig, out: Path, lm: LanguageModel, widths: dict[str, int], tokens: Tokens
) -> None:
    place = place_of(config, lm, tokens)
    if manifest.is_cache(
        out
    ):  # which rows they are is in the rest; another version may have said this otherwise
        place = manifest.read(out).settings["about"].get("place", place)
    about = {**about_text(config, lm, tokens), "place": place}
    n, ctx = tokens.tokens.shape
    stop_at = stop_after(widths, lm.spec.n_layers)
    width = max(
        sum(widths.values()), lm.spec.d_mlp, lm.spec.n_heads * ctx, lm.spec.d_vocab if stop_at is None else 0
    )
    size = int(np.clip(CELLS // (ctx * width), 1, n))
    shard = int(np.clip(SHARD_BYTES // (4 * sum(widths.values())), 1024, 65_536))
    writer = CacheWriter(
        out, about, widths, rows=int(tokens.usable.sum()), dtype=config.dtype, rows_per_shard=shard
    )
    with (
        loop.interruptible() as stop,
        writer,
        progress(-(-n // size), size * ctx, "tokens", "capturing") as advance,
    ):
        writer.save_tokens(tokens.tokens)
        first = writer.sequence
        advance(first // size)
        for begin, acts in captured(lm, list(widths), tokens, first, size, stop_at):
            row, position = np.nonzero(tokens.usable[begin : begin + size])
            writer.append({hook: a[row, position] for hook, a in acts.items()}, begin + row, position)
            advance(1)
            if stop() and writer.missing:
                raise stop.interrupted(f"{out} holds what is done; run the same with --resume to continue")


def captured(
    lm: LanguageModel, hooks: list[str], tokens: Tokens, first: int, size: int, stop_at: int | None
) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
    """From row `first` on, `size` rows at a time: where they begin, and activations (rows, pos, width) by hook."""
    for begin in range(first, len(tokens.tokens), size):
        part = tokens.rows(slice(begin, begin + size))
        rows, fill = part.tokens, ((0, size - len(part.tokens)), (0, 0))  # one shape, one compilation
        mask = None if part.valid is None else np.pad(part.valid, fill, mode="edge")
        _, seen = lm.run_with_cache(np.pad(rows, fill, mode="edge"), hooks, mask=mask, stop_at_layer=stop_at)
        yield begin, {hook: np.asarray(a)[: len(rows)].reshape(*rows.shape, -1) for hook, a in seen.items()}
