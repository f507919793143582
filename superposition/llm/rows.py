"""Batches of a model's activations from rows of tokens: which rows, and which of their tokens. Models differ in `run`."""

from abc import abstractmethod
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from superposition.activations import Batch, Source, Stream
from superposition.activations.array import permuted
from superposition.activations.mixing import mixed_stream
from superposition.errors import ConfigError
from superposition.features import key_words
from superposition.features._draw import mix
from superposition.llm.packing import Tokens
from superposition.typing import PRNGKey, PyTree

MIXED = 16  # batches in the buffer


def some_usable(tokens: Tokens) -> Tokens:
    """The rows that have a usable token: a batch of rows with none would have nothing to give. ConfigError for none."""
    some = tokens.usable.any(1)
    if not some.any():
        raise ConfigError("tokens have no usable position; every one is special: give text")
    return tokens.rows(some)


@dataclass(frozen=True)
class RowActivations(Source):
    """x at one hook point, y at another for a transcoder, heads flattened, of the usable tokens of rows of text.

    Each batch runs as many rows as hold `size` usable tokens on average and takes `size` of those, so a few
    of the last row are left out, and where there are too few some come twice. Every row is read once an epoch,
    in a new random order. inputs: tokens, usable and (where some are padding) valid (n_rows, ctx), words, and what
    `run` needs.
    """

    hook: str
    width: int
    n_rows: int
    ctx: int
    usable_per_row: float
    target: str | None = None
    target_width: int | None = None

    @property
    def d_in(self) -> int:
        """Width of the hook point."""
        return self.width

    @property
    def d_out(self) -> int | None:
        """Width of the target, if that is another hook point."""
        return self.target_width

    @property
    def hooks(self) -> tuple[str, ...]:
        """The hook point, and the target's."""
        return (self.hook,) if self.target is None else (self.hook, self.target)

    def rows(self, size: int) -> int:
        """Rows of text run for one batch."""
        return int(np.ceil(size / self.usable_per_row))

    def check(self, size: int) -> None:
        """A batch has to fit into an epoch."""
        if self.rows(size) > self.n_rows:
            raise ConfigError(
                f"a batch of {size} takes {self.rows(size)} rows of {self.ctx} tokens; the text has {self.n_rows}: "
                "give more text, or a smaller batch_size"
            )

    @abstractmethod
    def run(self, inputs: PyTree, tokens: Array, valid: Array | None) -> list[Array]:
        """Activations (rows, ctx, ...) at each of `hooks`; valid: False at padding, None where there is none."""

    def batch(self, inputs: PyTree, step: Array, size: int) -> Batch:
        """Activations of the rows that are batch number `step`."""
        rows = self.rows(size)
        per_epoch = np.uint32(self.n_rows // rows)
        step = step.astype(jnp.uint32)
        words = inputs["words"]
        at = (step % per_epoch) * np.uint32(rows) + jax.lax.iota(jnp.uint32, rows)
        at = permuted(words, step // per_epoch, at, self.n_rows)
        tokens, usable = inputs["tokens"][at].astype(jnp.int32), inputs["usable"][at].reshape(-1)
        kept = jnp.nonzero(usable, size=rows * self.ctx, fill_value=0)[0]
        count = jnp.maximum(usable.sum(), 1)
        first = (mix(step ^ words[0]) % count.astype(jnp.uint32)).astype(jnp.int32)
        kept = kept[(jnp.arange(size) + first) % count]
        valid = inputs["valid"][at] if "valid" in inputs else None
        seen = self.run(inputs, tokens, valid)
        x, *target = (a.reshape(rows * self.ctx, -1)[kept].astype(jnp.float32) for a in seen)
        return Batch(x, *(target or [x]))


def row_stream(key: PRNGKey, source: RowActivations, tokens: Tokens, mixing: int, **more: PyTree) -> Stream:
    """The stream of `source` over `tokens`, mixed over `mixing` batches, 0 for none; `more` are inputs for `run`."""
    rows = {"tokens": jnp.asarray(tokens.tokens), "usable": jnp.asarray(tokens.usable)}
    rows |= {} if tokens.valid is None else {"valid": jnp.asarray(tokens.valid)}
    stream = Stream(source, {**rows, "words": key_words(key), **more})
    return mixed_stream(key, stream, mixing) if mixing else stream
