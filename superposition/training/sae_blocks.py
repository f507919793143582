"""How SAEs share programs: the run that a program is made of, and how many SAEs train in one."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from superposition.activations import Stream
from superposition.errors import ConfigError
from superposition.training import loop
from superposition.training.sae import SAERun, bytes_per_sae, is_small, sized


def ready(run: SAERun, stream: Stream, carried: Mapping[str, Sequence[Any]]) -> SAERun:
    """The run without data, which a program holds none of, and with static slots for every k; or ConfigError.

    carried: the values of the axes that the program is to carry.
    """
    source = stream.source
    sae = sized(run.sae, source)
    if sae.d_in != source.d_in:
        raise ConfigError(f"d_in must be the width of the activations, {source.d_in}; got {sae.d_in}")
    if sae.d_out != source.d_out:
        raise ConfigError(f"d_out must be the width of the target, {source.d_out}; got {sae.d_out}")
    if sae.normalize_activations != "none":
        got = f"got normalize_activations={sae.normalize_activations!r}"
        raise ConfigError(
            f"losses know no run-time norm: train with 'none', normalize=True sets the scale; {got}"
        )
    source.check(run.batch_size)
    least, most = min(carried.get("width", (sae.d_sae,))), max(carried.get("k", (getattr(sae, "k", 0),)))
    if most > least:
        raise ConfigError(f"k must be at most the width, {least} at the narrowest; got {most}")
    if "k" in carried:
        most = max(carried["k"])
        sae = replace(sae, slots=int(np.ceil(most)), k=most)  # type: ignore[call-arg]
    return replace(run, data=None, sae=sae)


def block_size(run: SAERun, count: int, memory_gb: float) -> int:
    """SAEs in one program: what fits; small ones in halves or sixteens, for a thread each."""
    size = max(1, int(memory_gb * 1e9 / bytes_per_sae(run)))
    return min(size, 16, max(1, -(-count // 2))) if is_small(run.sae) else size


def workers(run: SAERun) -> int:
    """Blocks to train at once: one a core, of SAEs that leave cores idle."""
    return loop.worker_count() if is_small(run.sae) else 1


def chunk_shape(lengths: Sequence[int], size: int) -> list[int]:
    """The largest chunks of an array that blocks of `size` entries in product order are made of.

    A chunk is a run of entries in that order and divides both `size` and the axes, so that each is in one block.
    """
    shape = [1] * len(lengths)
    for k in reversed(range(len(lengths))):
        shape[k] = math.gcd(size, lengths[k])
        size //= shape[k]
        if shape[k] < lengths[k]:
            break
    return shape
