"""Edits by position, and the ablations that an SAE is measured against."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from superposition.llm.hooks import Context


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class At:
    """`edit` where `where` (batch, pos) is True; elsewhere the activation stays as it is.

    >>> from superposition.llm import Context
    >>> edit = At(Replace(0.0), jnp.array([[False, True]]))
    >>> edit(jnp.ones((1, 2, 1)), Context("hook_embed", jnp.arange(2)[None], None)).ravel().tolist()
    [1.0, 0.0]
    """

    edit: Any
    where: Array

    def __call__(
        self, x: Float[Array, "batch pos *width"], context: Context
    ) -> Float[Array, "batch pos *width"]:
        """The activation (batch, pos, ...)."""
        return _where(self.where, self.edit(x, context), x)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class From:
    """`edit` at the absolute positions first to last, both included; to the end of the text without a last.

    Positions count a row's tokens and not its padding, in a prompt and in what is generated after it alike; first and
    last are one number, or one a row as (batch, 1).

    >>> from superposition.llm import Context
    >>> edit = From(Replace(0.0), first=1)
    >>> edit(jnp.ones((1, 3, 1)), Context("hook_embed", jnp.arange(3)[None], None)).ravel().tolist()
    [1.0, 0.0, 0.0]
    """

    edit: Any
    first: Any
    last: Any = None

    def __call__(
        self, x: Float[Array, "batch pos *width"], context: Context
    ) -> Float[Array, "batch pos *width"]:
        """The activation (batch, pos, ...)."""
        inside = context.positions >= jnp.asarray(self.first)
        if self.last is not None:
            inside &= context.positions <= jnp.asarray(self.last)
        return _where(inside, self.edit(x, context), x)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Replace:
    """The activation replaced by `value`, which broadcasts: 0 for zero ablation, a mean for mean ablation.

    >>> from superposition.llm import LanguageModel
    >>> logits = LanguageModel.from_hf()("Once upon a time", edits={"blocks.0.hook_mlp_out": Replace(0.0)})
    >>> logits.shape
    (1, 5, 3072)
    """

    value: Any

    def __call__(
        self, x: Float[Array, "batch pos *width"], context: Context
    ) -> Float[Array, "batch pos *width"]:
        """value, in the shape of x."""
        del context
        return jnp.broadcast_to(jnp.asarray(self.value, x.dtype), x.shape)


def _where(where: Array, new: Array, x: Array) -> Array:
    """In x's own precision, so that what is not edited keeps its bits."""
    return jnp.where(where.reshape(*where.shape, *[1] * (x.ndim - 2)), new.astype(x.dtype), x)
