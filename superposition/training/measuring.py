"""One pass of an SAE over batches, in sums that add up; and in words what a trained SAE falls short in."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import numpy as np

from superposition import metrics
from superposition._internal import validate
from superposition._internal.arrays import native
from superposition.activations import HELD_OUT_STEP, Batch, Source, Stream
from superposition.errors import ConfigError
from superposition.metrics import Sums
from superposition.metrics.reconstruction import DENSE
from superposition.sae import SAE, Params

MEASURED = HELD_OUT_STEP + 2**20  # measuring starts here: apart from training and from the start's estimates
# How many examples an SAE is measured on, where nothing else is said.
EXAMPLES = 65_536
BATCH = 4096
FAR = 0.1  # of an l0_target
MANY = 0.5  # of the latents


def sums_over(sae: SAE, params: Params, batches: Iterable[Batch], nearest: Any = None) -> Sums:
    """What the metrics need of an SAE on all batches together.

    nearest: for every latent the number of the true feature that it is judged against, (d_sae,); None where the truth
    is not known. Raises ConfigError for no batches and for widths that are not the SAE's.
    """
    sae = replace(sae, penalty=1.0) if sae.penalised else sae  # type: ignore[call-arg]
    params = {name: native(value) for name, value in params.items()}
    total: Sums | None = None
    for batch in batches:
        batch = Batch(*map(native, batch))
        if batch.x.shape[1] != sae.d_in or batch.y.shape[1] != sae.target_width:
            got = f"{batch.x.shape[1]} to {batch.y.shape[1]}"
            raise ConfigError(f"the SAE maps {sae.d_in} numbers to {sae.target_width}; the data are {got}")
        sums = _sums(sae, params, batch if nearest is not None else batch._replace(features=None), nearest)
        total = sums if total is None else metrics.add(total, sums)
    if total is None:
        raise ConfigError("there must be at least one example to measure on; got none")
    return total


@partial(jax.jit, static_argnums=0)
def _sums(sae: SAE, params: Params, batch: Batch, nearest: Any) -> Sums:
    latents, y_hat = sae.reconstruct(params, batch.x)
    return metrics.accumulate(batch.y, y_hat, latents, batch.features, nearest)


def held_out(
    stream: Stream, examples: int = EXAMPLES, width: int = 1, available: int | None = None
) -> Iterator[Batch]:
    """Batches of `examples` examples in all that training never sees in that order; at most the `available` ones.

    width is that of what will be computed from them: the wider, the smaller the batches.

    >>> import numpy as np
    >>> from superposition.activations import as_stream
    >>> from superposition.training.measuring import held_out
    >>> [batch.x.shape for batch in held_out(as_stream(np.eye(8)), examples=8)]
    [(8, 8)]
    """
    examples = validate.integer("examples", examples, 1)
    available = _rows(stream.source) if available is None else available
    n_features = 1 if stream.dictionary is None else len(stream.dictionary)
    size = batch_size(max(stream.source.d_in, width, n_features))
    if available is not None:
        examples = min(examples, available)
        size = min(size, examples)
    for number, start in enumerate(range(0, examples, size)):
        batch = stream.batch(MEASURED + number, size)
        rest = min(size, examples - start)
        yield batch if rest == size else jax.tree.map(lambda a, n=rest: a[:n], batch)


def _rows(source: Source) -> int | None:
    """How many examples there are: a batch of stored rows must fit into an epoch of them. None for any number."""
    return getattr(getattr(source, "source", source), "n_examples", None)


def batch_size(widest: int) -> int:
    """Examples to measure at a time, where an example takes `widest` numbers.

    >>> from superposition.training.measuring import batch_size
    >>> batch_size(512), batch_size(2**20)
    (4096, 64)
    """
    return int(np.clip(2**24 // widest, 64, BATCH))


def shortcomings(numbers: Mapping[str, float], l0_target: float | None) -> list[str]:
    """What a trained SAE fell short in, in words: an L0 far from its target, most latents dead or dense.

    >>> from superposition.training.measuring import shortcomings
    >>> shortcomings({"l0": 12.0, "dead_fraction": 0.0, "dense_fraction": 0.0}, l0_target=10.0)
    ['L0 ended at 12, 20 % over l0_target=10; more steps bring it nearer']
    """
    said = []
    if l0_target is not None and abs(numbers["l0"] - l0_target) > (FAR + 1e-9) * l0_target:
        share = 100 * abs(numbers["l0"] / l0_target - 1)
        side = "over" if numbers["l0"] > l0_target else "under"
        said.append(
            f"L0 ended at {numbers['l0']:.3g}, {share:.0f} % {side} l0_target={l0_target:g}; more steps bring it nearer"
        )
    dead, dense = numbers["dead_fraction"], numbers["dense_fraction"]
    if dead + dense > MANY:
        parts = []
        if dead > 0:
            parts.append(
                f"{100 * dead:.3g} % of latents are dead (fired on none of {numbers['examples']:g} examples)"
            )
        if dense > 0:
            parts.append(
                f"{100 * dense:.3g} % of latents are dense (fired on over {100 * DENSE:g} % of examples)"
            )
        said.append(" and ".join(parts))
    return said


def target_l0(sae: SAE, settings: Mapping[str, Any], l0_target: float | None) -> float | None:
    """The L0 that an SAE was trained towards: its place on an axis, its run's, or its quadratic penalty's.

    >>> from superposition.sae import JumpReLU
    >>> from superposition.training.measuring import target_l0
    >>> target_l0(JumpReLU(d_in=3, d_sae=8), {"l0_target": 4.0}, None)
    4.0
    """
    if getattr(sae, "sparsity_loss", None) == "quadratic":
        return sae.l0_target  # type: ignore[attr-defined]
    return settings.get("l0_target", l0_target)
