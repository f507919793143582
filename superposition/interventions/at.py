"""Edits by position, and the ablations that an SAE is measured against."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from superposition.llm.hooks import Context


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class At:
    """`edit` where `where` (batch, pos) is True; elsewhere the activation stays as it is."""

    edit: Any
    where: Array

    def __call__(self, x: Array, context: Context) -> Array:
        """The activation (batch, pos, ...)."""
        where = self.where.reshape(*self.where.shape, *[1] * (x.ndim - 2))
        return jnp.where(where, self.edit(x, context), x)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Replace:
    """The activation replaced by `value`, which broadcasts: 0 for zero ablation, a mean for mean ablation."""

    value: Any

    def __call__(self, x: Array, context: Context) -> Array:
        """value, in the shape of x."""
        del context
        return jnp.broadcast_to(jnp.asarray(self.value, x.dtype), x.shape)
