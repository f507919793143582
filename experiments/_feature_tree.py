"""The tree of latents over several widths: splitting as the dictionary grows, coalescing as it shrinks, and names."""

import itertools
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments._detectors import LEAST, Rule, blocks, encode
from superposition import metrics
from superposition.sae_run import Trained

# Decoder rows keep part of their random start after so short a training: the same latent of two seeds has a cosine of
# 0.6, not 0.9. Random directions have 0.04, and the best of a thousand 0.15.
ALIKE, IMPLIED = 0.4, 0.8


class Family(NamedTuple):
    """One seed's SAEs, narrowest first. Steps are from a width to the next, and last from the first to the last.

    parents, rates: by width. split, descended (share of wide latents with a parent), children (mean), merged, whole,
    covered (mean over those that coalesce): (steps,) each.
    """

    parents: list[np.ndarray]
    rates: list[np.ndarray]
    numbers: dict[str, np.ndarray]


def family(saes: Sequence[Trained], x: np.ndarray, order: np.ndarray | None = None) -> Family:
    """Descent on the activations x (tokens, d_in); `order` shuffles the tokens of each step's wider SAE."""
    steps = [*itertools.pairwise(range(len(saes))), (0, len(saes) - 1)]
    found = [_step(saes[i], saes[j], x, order) for i, j in steps]
    counts = [one[1] for one in found]
    rates = [np.asarray(counts[0].narrow), *(np.asarray(c.wide) for c in counts[:-1])]
    numbers = {k: np.array([one[2][k] for one in found]) for k in found[0][2]}
    return Family([one[0] for one in found[:-1]], [r / len(x) for r in rates], numbers)


def _step(
    narrow: Trained, wide: Trained, x: np.ndarray, order: np.ndarray | None
) -> tuple[np.ndarray, metrics.CoFiring, dict[str, float]]:
    pairs = list(zip(blocks(x), blocks(x if order is None else x[order]), strict=True))
    both = [partial(encode, t.sae, t.params) for t in (narrow, wide)]

    def total(count: Any) -> Any:
        sums: Any = None
        for pair in pairs:
            new = count(*(jnp.asarray(e(b)) for e, b in zip(both, pair, strict=True)))
            sums = new if sums is None else metrics.add(sums, new)
        return sums

    counts = _living(total(_cofiring))
    splitting = metrics.split_features(
        narrow.params["W_dec"], wide.params["W_dec"], counts, implication=IMPLIED, cosine=ALIKE
    )
    covered = total(partial(_coverage, parent=jnp.asarray(splitting.parent)))
    merged = metrics.coalescing(splitting, covered)
    alive = splitting.narrow_alive
    several = alive & (splitting.children >= 2)
    numbers = {
        "split": splitting.split_fraction,
        "descended": 1 - splitting.novel_fraction,
        "children": float(splitting.children[alive].mean()) if alive.any() else 0.0,
        "whole": merged.whole_fraction,
        "covered": float(merged.covered[several].mean()) if several.any() else 0.0,
    }
    return splitting.parent, counts, numbers


_cofiring: Any = jax.jit(metrics.cofiring)
_coverage: Any = jax.jit(metrics.coverage)


def _living(counts: metrics.CoFiring) -> metrics.CoFiring:
    """Latents that fire fewer than LEAST times count as silent: what implies on two tokens implies by chance."""
    narrow, wide = (np.where(np.asarray(n) < LEAST, 0, n) for n in (counts.narrow, counts.wide))
    both = np.where((narrow > 0)[:, None] & (wide > 0), counts.both, 0)
    return metrics.CoFiring(counts.examples, narrow, wide, both)


def largest(parents: Sequence[np.ndarray], width: int, n: int) -> np.ndarray:
    """The latents of the narrowest SAE with the most descendants over all widths, most first."""
    counts = sum(np.bincount(line[line >= 0], minlength=width) for line in metrics.lineage(parents))
    return np.argsort(-np.asarray(counts), kind="stable")[:n]


def shown(rule: Rule, kinds: Sequence[str]) -> str:
    """A rule as any font can draw it: a token of other letters is named by its kind of text."""
    if not rule.is_token:
        return rule.name
    if rule.name.isascii() and rule.name.isprintable():
        return f"‘{rule.name.replace(' ', '␣')}’"
    known = {"\n": "newline", "\t": "tab"}.get(rule.name.strip(" "))
    return known or f"{kinds[rule.kind]} token"


def trees(
    config: Any,
    x: np.ndarray,
    saes: Mapping[str, list[Trained]],
    named: dict[int, list[Rule]],
    kinds: Sequence[str],
    n: int,
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays tree_* (steps, seeds), and the first seed's tree, named, with its n largest roots, for drawing."""
    columns = list(zip(*(saes[f"topk-{w}"] for w in config.widths), strict=True))
    families = [family(column, x) for column in columns]
    key, order = jax.random.key(0), np.arange(len(x))
    shuffled = [
        np.asarray(jax.random.permutation(jax.random.fold_in(key, i), order)) for i in range(config.draws)
    ]
    arrays = {f"tree_{n}": np.array([f.numbers[n] for f in families]).T for n in families[0].numbers}
    arrays["tree_chance"] = np.mean([family(columns[0], x, o).numbers["descended"] for o in shuffled], 0)
    first = families[0]
    drawn = {
        "roots": largest(first.parents, config.widths[0], n).tolist(),
        "parents": [p.tolist() for p in first.parents],
        "rates": [np.round(r, 5).tolist() for r in first.rates],
        "labels": [[shown(r, kinds) for r in own] for own in named.values()],
        "rules": [[r.name for r in own] for own in named.values()],
        "f1": [[round(r.f1, 3) for r in own] for own in named.values()],
        "kind": [[r.kind for r in own] for own in named.values()],
    }
    return arrays, drawn
