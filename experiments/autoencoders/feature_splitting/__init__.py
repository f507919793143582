"""Features split as the SAE widens: into what the truth has below them (Bricken et al. 2023).

A planted forest: 8 trees, three exclusive children a node, two levels deep; 104 features, orthogonal in 128
dimensions. A root fires on a quarter of the examples, and nine in ten times a node fires so does one of its
children. BatchTopK and ReLU with L1, of 8 to 128 latents, all at L0 = 2, as many as there are active trees: a
narrow SAE has one latent for a tree, and a wider one can only say more by naming the branch. Descent is
`metrics.split_features` (implication 0.8, cosine 0.5). The truth about a latent is the node it detects with the
best F1; chance is the same measure with one dictionary turned at random (`metrics.against_chance`).

Command:  python -m experiments feature_splitting
Time:     about two minutes on two free cores
Expect:   8 latents have 2.0, 3.8, 6.9 and 8.5 descendants each among 16, 32, 64 and 128; nearly all of them are
          below their ancestor in truth up to 64 latents, 0.73 at 128, more latents than there are features
"""

import itertools
from functools import partial
from typing import Any

import jax
import numpy as np

from experiments.autoencoders.feature_splitting.claims import splitting_claims, universality_claims
from experiments.autoencoders.feature_splitting.config import LAW, SAME, WORLD, Config
from experiments.autoencoders.feature_splitting.draw import alt, draw
from experiments.lab.architectures import CONTROLLER
from experiments.lab.claim import Result
from superposition import metrics
from superposition.activations import Stream, planted_stream
from superposition.sae import BatchTopK, ReLU
from superposition.training import SAERun, Trained, fit
from superposition.training.optimizer import Adam

__all__ = ["Config", "alt", "draw", "run"]


def run(config: Config) -> Result:
    """Train every width and seed of two architectures side by side; trace descent and agreement."""
    stream = planted_stream(jax.random.key(1), WORLD)
    saes = {"batch-topk": BatchTopK(d_in=128, d_sae=max(config.widths), k=config.l0,
                                     dead_after=200 * config.batch_size),
            "relu": ReLU(d_in=128, d_sae=max(config.widths))}  # fmt: skip
    grids = {name: _fit(config, stream, sae) for name, sae in saes.items()}
    sample = stream.sample(config.examples, batch=min(4096, config.examples))
    truth = np.asarray(sample.features)
    families = [_family(list(column), sample.x, truth) for column in zip(*grids["batch-topk"], strict=True)]
    split = np.array([[s.split_fraction for s in f["successive"]] for f in families]).T
    novel = np.array([[s.novel_fraction for s in f["successive"]] for f in families]).T
    whole = np.array([[s.split_fraction for s in f["from_first"]] for f in families]).T
    born = np.array([[s.children[s.narrow_alive].mean() for s in f["from_first"]] for f in families]).T
    true_children = np.array([f["purity"] for f in families]).T
    universality = np.array(
        [_agreement(config, row, other) for row, other in zip(*grids.values(), strict=True)]
    )
    arrays = {"split": split, "novel": novel, "from_first": whole, "children": born, "purity": true_children,
              "universality": universality}  # fmt: skip
    arrays |= {f"label_{w}": label for w, label in zip(config.widths, families[0]["labels"], strict=True)}
    arrays |= {
        f"parent_{w}": s.parent for w, s in zip(config.widths[1:], families[0]["successive"], strict=True)
    }
    claims = [
        *splitting_claims(config, whole, born, true_children),
        *universality_claims(config, universality),
    ]
    return Result(config, claims, arrays=arrays)


def _fit(config: Config, stream: Stream, sae: Any) -> list[list[Trained]]:
    """Rows of seeds, a row a width."""
    run = SAERun(sae, Adam(config.learning_rate), steps=config.steps, batch_size=config.batch_size,
                 l0_target=config.l0 if sae.penalised else None, controller=CONTROLLER)  # fmt: skip
    flat = fit(run, stream, {"width": config.widths, "seed": range(config.seeds)})
    return [flat[i : i + config.seeds] for i in range(0, len(flat), config.seeds)]


def ancestors(node: int) -> set[int]:
    """A node and all above it."""
    parents, line = LAW.forest.parents(WORLD.n_features), {node}
    while parents[node] >= 0:
        node = int(parents[node])
        line.add(node)
    return line


def _family(column: list[Trained], x: Any, truth: np.ndarray) -> dict[str, Any]:
    """Descent between the widths of one seed, and what each latent detects in truth."""
    fired = [np.asarray(t.sae.encode(t.params, x)) for t in column]
    rows = [t.params["W_dec"] for t in column]

    def descent(i: int, j: int) -> metrics.Splitting:
        return metrics.split_features(rows[i], rows[j], metrics.cofiring(fired[i], fired[j]))

    labels = [_detected(a, truth) for a in fired]
    from_first = [descent(0, j) for j in range(1, len(column))]
    purity = []
    for j, s in enumerate(from_first, 1):
        pairs = [(labels[0][p], labels[j][c]) for c, p in enumerate(s.parent) if p >= 0 and s.wide_alive[c]]
        purity.append(np.mean([p in ancestors(c) for p, c in pairs]) if pairs else 0.0)
    return {"successive": [descent(i, j) for i, j in itertools.pairwise(range(len(column)))],
            "from_first": from_first, "labels": labels, "purity": purity}  # fmt: skip


def _detected(latents: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """The node that each latent detects with the best F1, -1 for a latent that never fires."""
    counts = metrics.cofiring(latents, truth)
    f1 = np.asarray(2 * counts.both / np.maximum(counts.narrow[:, None] + counts.wide[None], 1))
    return np.where(counts.narrow > 0, f1.argmax(1), -1)


def _agreement(config: Config, flat: list[Trained], penalised: list[Trained]) -> np.ndarray:
    """(4, seeds) of one width: share of latents the next seed has, by chance, another architecture has, by chance."""
    a, b = ([np.asarray(t.params["W_dec"]) for t in row] for row in (flat, penalised))
    again = a[1:] + a[:1]
    key = jax.random.key(0)

    def measure(W: np.ndarray, other: np.ndarray) -> tuple[float, float]:
        chance = metrics.against_chance(key, partial(_found, other=other), W, n_draws=config.draws)
        return chance.observed, chance.mean

    seeds = [measure(W, other) for W, other in zip(a, again, strict=True)]
    kinds = [measure(W, other) for W, other in zip(a, b, strict=True)]
    return np.array([*np.transpose(seeds), *np.transpose(kinds)])


def _found(W: np.ndarray, *, other: np.ndarray) -> float:
    return float(metrics.shared(W, other, [SAME]).a_in_b[0])
