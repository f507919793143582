"""Rows of tokens in batches that memory is meant for, each of one shape, so that one program is compiled."""

from collections.abc import Iterator
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from superposition.llm.forward import positions
from superposition.llm.model import LanguageModel
from superposition.llm.tokens import Tokens

CELLS = 2**25  # numbers in the widest array of a batch (logits or latents)


class Rows(NamedTuple):
    """Rows of tokens (rows, ctx) as the model is run on them; scored (rows, ctx - 1): next tokens that count."""

    tokens: Array
    usable: Array
    scored: Array
    positions: Array
    valid: Array | None


def batches(lm: LanguageModel, tokens: Tokens, width: int) -> Iterator[Rows]:
    """As many rows at once as memory is meant for; the last batch is filled up with rows that are not usable.

    width: size per token of the widest array besides the logits, such as d_sae.
    """
    n, ctx = tokens.tokens.shape
    size = int(np.clip(CELLS // (ctx * max(width, lm.spec.d_vocab)), 1, n))
    for start in range(0, n, size):
        part = tokens.rows(slice(start, start + size))
        fill = ((0, size - len(part.tokens)), (0, 0))
        ids, usable, scored = (jnp.asarray(np.pad(a, fill)) for a in (part.tokens, part.usable, part.scored))
        valid = None if part.valid is None else jnp.asarray(np.pad(part.valid, fill))
        yield Rows(ids.astype(jnp.int32), usable, scored, positions(ids, valid), valid)
