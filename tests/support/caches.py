"""Rows of made-up sequences, and a cache of activations written of them."""

import numpy as np

from superposition.activations.cache import CacheWriter

N, CTX = 23, 8  # sequences, and positions of each, of which the first is left out


HOOKS = {"blocks.0.hook_resid_post": 5, "blocks.0.mlp.hook_post": 3}


RESID, MLP = HOOKS


ABOUT = {"model": "tiny", "weights": "a1", "tokenizer": "b2", "text": "c3", "ctx": CTX}


ROWS, SHARD = N * (CTX - 1), 40


TOKENS = np.arange(N * CTX, dtype=np.int32).reshape(N, CTX)


def captured(first, last=None):
    """Rows of sequences first to last, a function of their places alone."""
    sequence = np.repeat(np.arange(first, N if last is None else last), CTX - 1)
    position = np.tile(np.arange(1, CTX), len(sequence) // (CTX - 1))
    place = (sequence * CTX + position)[:, None]
    rows = {hook: np.sin(place * (1 + np.arange(w)) * (1 + i)) for i, (hook, w) in enumerate(HOOKS.items())}
    return {hook: a.astype(np.float32) for hook, a in rows.items()}, sequence, position


def writer(directory, about=ABOUT, hooks=HOOKS, **options):
    return CacheWriter(directory, about, hooks, **{"rows": ROWS, "rows_per_shard": SHARD} | options)


def filled(directory, step=3, **options):
    with writer(directory, **options) as cache:
        cache.save_tokens(TOKENS)
        while cache.missing:
            first = cache.sequence
            cache.append(*captured(first, first + step))
    return directory


def files(directory):
    return {p.name: p.read_bytes() for p in sorted(directory.iterdir()) if p.name != "lock"}
