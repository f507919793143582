"""The tree of latents over several widths: splitting as the dictionary grows, coalescing as it shrinks, and names."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.language_model.shared.detectors import LEAST, Rule, blocks, encode
from superposition import metrics
from superposition.training import Trained

# Decoder rows keep part of their random start after so short a training: the best cosine with another seed's rows is
# 0.7 on average at 256 latents and 0.45 at 1,024; with rows turned at random it is 0.14.
ALIKE, IMPLIED = 0.4, 0.8


class Family(NamedTuple):
    """One seed's SAEs, narrowest first. Steps are from a width to the next, and last from the first to the last.

    parents, rates: by width. numbers, (steps,) each: split, descended (share of wide latents with a parent), children (a
    latent), whole, and of those that two or more coalesce into, merging (how many) and covered (mean).
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
        "merging": float(splitting.children[several].mean()) if several.any() else 0.0,
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


def largest(parents: Sequence[np.ndarray], groups: Sequence[int]) -> np.ndarray:
    """Of every group of the narrowest SAE's latents the one with the most descendants over all widths, groups in order."""
    counts = np.sum(
        [np.bincount(line[line >= 0], minlength=len(groups)) for line in metrics.lineage(parents)], 0
    )
    order = np.argsort(-counts, kind="stable")
    own = np.asarray(groups)[order]
    return np.array([order[own == group][0] for group in np.unique(own)])


def shown(rule: Rule, kinds: Sequence[str]) -> str:
    """A rule and the strongest tokens, as any font can draw them: a token of other letters is left to its kind's name."""
    words = [f"‘{w.replace(' ', '␣')}’" for w in rule.strongest if w.isascii() and w.isprintable()]
    if not rule.is_token:
        return " ".join([rule.name, *words[:2]])
    if not (rule.name.isascii() and rule.name.isprintable()):
        known = {"\n": "newline", "\t": "tab"}.get(rule.name.strip(" "))
        return known or f"{kinds[rule.kind]} token"
    own = f"‘{rule.name.replace(' ', '␣')}’"
    return " ".join([own, *(w for w in words if w != own)][:3])


def trees(
    config: Any,
    x: np.ndarray,
    saes: Mapping[str, list[Trained]],
    named: dict[int, list[Rule]],
    kinds: Sequence[str],
    group: Callable[[str], int],
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays tree_* (steps, seeds), and the first seed's tree, named, with the largest root of each group, for drawing."""
    columns = list(zip(*(saes[f"topk-{w}"] for w in config.widths), strict=True))
    families = [family(column, x) for column in columns]
    key, order = jax.random.key(0), np.arange(len(x))
    shuffled = [
        np.asarray(jax.random.permutation(jax.random.fold_in(key, i), order)) for i in range(config.draws)
    ]
    arrays = {f"tree_{n}": np.array([f.numbers[n] for f in families]).T for n in families[0].numbers}
    arrays["tree_chance"] = np.mean([family(columns[0], x, o).numbers["descended"] for o in shuffled], 0)
    first = families[0]
    groups = [[group(kinds[r.kind]) for r in own] for own in named.values()]
    drawn = {
        "roots": largest(first.parents, groups[0]).tolist(),
        "groups": groups,
        "parents": [p.tolist() for p in first.parents],
        "rates": [np.round(r, 5).tolist() for r in first.rates],
        "labels": [[shown(r, kinds) for r in own] for own in named.values()],
        "rules": [[r.name for r in own] for own in named.values()],
        "f1": [[round(r.f1, 3) for r in own] for own in named.values()],
    }
    return arrays, drawn
