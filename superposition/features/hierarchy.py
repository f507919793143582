"""A forest of features: a child fires only where its parent does, siblings perhaps one at a time.

Features are numbered breadth first: all roots, then the children of root 0, of root 1, ..., then the next level;
features past the last node are loose. So a level is one slice and siblings are neighbours, and a whole batch passes
a level with reshapes alone, no index arrays.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Float, Float64, Int32

from superposition._internal import validate
from superposition._internal.recipe import Recipe
from superposition.errors import ConfigError
from superposition.typing import Rate

TRACED_ROUNDS = (
    200  # of the fixed-point iteration where nothing can be looked at; converges to float32 but for crowds
)


@dataclass(frozen=True)
class Forest(Recipe):
    """`roots` trees, `branching` children a node, `depth` levels below the roots; no trees when roots = 0.

    `exclusive`: of the siblings whose own coins fell heads one, uniformly chosen, fires. Raises ConfigError.
    Source: SynthSAEBench (arXiv 2602.14687), "Hierarchy"; its published worlds number features the same way.

    >>> Forest(roots=1, branching=2, depth=1).parents(4).tolist()  # feature 3 is in no tree
    [-1, 0, 0, -1]
    """

    roots: int = 0
    branching: int = 4
    depth: int = 3
    exclusive: bool = True

    def __post_init__(self) -> None:
        validate.settle(self)
        validate.integer("roots", self.roots, 0)
        validate.integer("branching", self.branching, 1)
        validate.integer("depth", self.depth, 0, 32)

    def ancestors(self, n_features: int) -> list[list[int]]:
        """The ancestors of every feature, parent first."""
        parent = self.parents(n_features)
        result: list[list[int]] = []
        for p in parent:  # a parent comes before its children
            result.append([] if p < 0 else [int(p), *result[p]])
        return result

    def joint(
        self, marginal: Float[np.ndarray, "n_features"]
    ) -> Float64[np.ndarray, "n_features n_features"]:
        """P(i and j fire), float64 (n_features, n_features), where own coins are independent; from P(i fires), (n,).

        Of features that meet in a common ancestor a it is P_i P_j / P_a, or 0 where their branches exclude each other;
        of a feature and its descendant it is the descendant's; else P_i P_j.
        """
        lines = [[i, *above] for i, above in enumerate(self.ancestors(len(marginal)))]
        result = np.outer(marginal, marginal)
        for i, mine in enumerate(lines):
            for j, other in enumerate(lines[:i]):
                common = next((a for a in mine if a in other), None)
                if common is None:
                    continue
                if common in (i, j):
                    result[i, j] = marginal[max(i, j)]
                else:
                    result[i, j] = 0.0 if self.exclusive else result[i, j] / marginal[common]
                result[j, i] = result[i, j]
        np.fill_diagonal(result, marginal)
        return result

    @property
    def n_nodes(self) -> int:
        """Features in trees: roots (1 + b + ... + b^depth)."""
        return self.roots * sum(self.branching**level for level in range(self.depth + 1))

    @property
    def n_inner(self) -> int:
        """Features that have children."""
        return self.n_nodes - self.roots * self.branching**self.depth

    def levels(self) -> Iterator[tuple[slice, slice]]:
        """(parents, children) of every level below the roots, as slices of the feature axis."""
        start, count = 0, self.roots
        for _ in range(self.depth if self.roots else 0):
            middle, size = start + count, count * self.branching
            yield slice(start, middle), slice(middle, middle + size)
            start, count = middle, size

    def parents(self, n_features: int) -> Int32[np.ndarray, "{n_features}"]:
        """The parent of every feature, -1 for roots and loose features; int32 (n_features,)."""
        if self.n_nodes > n_features:
            raise ConfigError(
                f"the forest must fit in n_features; {self.roots} roots with branching {self.branching} and depth "
                f"{self.depth} take {self.n_nodes} features, there are {n_features}. Take fewer roots or levels"
            )
        parent = np.full(n_features, -1, np.int32)
        for above, below in self.levels():
            parent[below] = np.repeat(np.arange(above.start, above.stop), self.branching)
        return parent

    def level_rates(
        self, n_features: int, high: float, ratio: float, loose: float
    ) -> Float64[np.ndarray, "{n_features}"]:
        """High ratio^level for nodes (roots are level 0) and `loose` for the rest, float64 (n_features,)."""
        rates = np.full(n_features, float(loose))
        rates[: self.roots] = high
        for above, below in self.levels():
            rates[below] = np.repeat(rates[above] * ratio, self.branching)
        return rates

    def gate(
        self, coins: Bool[Array, "n_features batch"], u: Float[Array, "inner batch"]
    ) -> Bool[Array, "n_features batch"]:
        """Which features fire, bool (n_features, batch), from their own coins, bool (n_features, batch).

        u (inner nodes, batch), uniform: it chooses among exclusive siblings, the floor(u K)-th of K heads.
        """
        fires = [coins[: self.roots]]
        for above, below in self.levels():
            heads = coins[below].reshape(-1, self.branching, coins.shape[1])
            siblings = [heads[:, child] for child in range(self.branching)]
            if self.exclusive and self.branching > 1:
                siblings = _choose(siblings, u[above])
            level = jnp.stack([heads & fires[-1] for heads in siblings], 1)
            fires.append(level.reshape(-1, coins.shape[1]))
        return jnp.concatenate([*fires, coins[self.n_nodes :]])

    def marginals(
        self, coins: Float[np.ndarray, "*batch n_features"]
    ) -> Float64[np.ndarray, "*batch n_features"]:
        """P(feature fires) when coins with P(heads) = coins (..., n_features) are independent; exact, float64.

        P_child = P_parent c_child w_child with w = E 1/(1 + heads among its siblings), 1 when not exclusive.
        """
        result = np.array(coins, float)
        for above, below in self.levels():
            heads = result[..., below].reshape(*result.shape[:-1], -1, self.branching)
            chosen = heads * _undefeated(heads) if self.exclusive else heads
            result[..., below] = (chosen * result[..., above, None]).reshape(result[..., below].shape)
        return result

    def published(self, rates: Rate) -> Rate:
        """SynthSAEBench's compensated coins, (n_features,): c = (p / P) (1 + sum_siblings p / P), at most 1.

        P is the parent's p. Exact for siblings that do not exclude each other (the bracket is then absent). For
        exclusive ones it overshoots: two heads are shared evenly, so the bracket should begin 1 + sum / 2, and the
        marginals come out (1 + sum / 2) p for rare siblings, and too small where they crowd their parent.
        """

        def coins(share: Any, first_parent: int) -> Any:
            del first_parent
            others = share.sum(1, keepdims=True) - share if self.exclusive else 0.0
            return (share * (1 + others)).clip(max=1.0)

        return self._level_by_level(rates, coins)

    def compensated(self, rates: Rate) -> Rate:
        """Coins whose marginals are `rates` exactly (independent coins); rates and result (n_features,).

        Solves c w(c) = p / P for every set of siblings by fixed-point iteration. Raises ConfigError where no coins
        can: a child more frequent than its parent, or exclusive siblings that together are not rarer than it. Traced
        rates are not looked at.
        """
        exclusive = self.exclusive and self.branching > 1

        def coins(share: Any, first_parent: int) -> Any:
            if validate.is_traced(share):
                rounds = TRACED_ROUNDS if exclusive else 0
                return jax.lax.fori_loop(
                    0, rounds, lambda _, c: jnp.minimum(share / _undefeated(c), 1.0), share
                )
            total = np.sum(share, 1) if exclusive else np.max(share, 1)
            limit = 0.999 if exclusive else 1.0
            if np.any(total > limit + 1e-12):
                worst = int(np.argmax(total))
                raise ConfigError(
                    f"compensation needs children of feature {first_parent + worst} that fire (together, when "
                    f"exclusive) at most {limit:g} times as often as it does; got {total[worst]:.4g} times. Lower the "
                    'children\'s rates, or take compensate="published", which only approximates'
                )
            c = share.copy()
            while self.exclusive and np.max(np.abs(c * _undefeated(c) - share)) > 1e-12:
                c = np.minimum(share / _undefeated(c), 1.0)
            return c

        return self._level_by_level(rates, coins)

    def _level_by_level(
        self, rates: np.ndarray | Array, coins: Callable[[Any, int], Any]
    ) -> np.ndarray | Array:
        """Roots and loose features keep their rates; children get coins(p / P, first parent), by (parent, child)."""
        traced = validate.is_traced(rates)
        rates = rates if traced else np.asarray(rates, float)
        parts = [rates[: self.roots]]
        for above, below in self.levels():
            share = rates[below].reshape(-1, self.branching) / rates[above, None]
            parts.append(coins(share, above.start).reshape(-1))
        return (jnp if traced else np).concatenate([*parts, rates[self.n_nodes :]])


def _choose(heads: list[Array], u: Array) -> list[Array]:
    """The floor(u K)-th of the K heads alone."""
    count = sum(h.astype(u.dtype) for h in heads)  # floats, as u: small integers vectorise worse here
    chosen = jnp.floor(u * count)
    before, result = jnp.zeros_like(u), []
    for h in heads:
        result.append(h & (before == chosen))
        before = before + h
    return result


def _undefeated(coins: Any) -> Any:
    """E 1 / (1 + K_i), K_i the heads among the siblings of i, for coins (..., branching).

    It is the integral over t in [0, 1] of prod_{j != i} (1 - c_j + c_j t), a polynomial: Gauss-Legendre is exact.
    """
    xp: Any = jnp if validate.is_traced(coins) else np
    branching = coins.shape[-1]
    node, weight = np.polynomial.legendre.leggauss((branching + 1) // 2)
    factors = 1 - coins[..., None] * (0.5 - 0.5 * node).reshape(*(1 for _ in coins.shape), -1)
    others = [[j for j in range(branching) if j != child] for child in range(branching)]
    return xp.stack(
        [xp.prod(xp.take(factors, np.array(rest, int), -2), -2) @ (0.5 * weight) for rest in others], -1
    )
