"""Every feature's dimensionality against sparsity, which polytopes it comes from, and what lies near 4/9.

Elhage et al. 2022, "The Geometry of Superposition": D_i = ||W_i||^2 / sum_j (What_i . W_j)^2 clusters at 1, 3/4, 2/3,
1/2, 2/5, 3/8 and 0, as features arrange in tegum products of uniform polytopes. Models are those of
`experiments/_uniform.py` (n=400, m=30, I=1; 30 densities from 1 to 0.01, five seeds), which says how they are
trained. Components: |cos| > 0.1 between features of norm > 1/2; names within 10 degrees. Readers of the paper
(Lorxus; koayon) found features near 4/9 and guessed at nine vectors in four dimensions: the models with most of
these are polished on the exact loss (120 steps of Adam, 3e-3 falling to 0).

Command:  python -m experiments.feature_dimensionality
Time:     ten seconds after three minutes of training, which it shares with dimensions_per_feature
Expect:   pairs and pentagons; near 4/9 pairs that share dimensions with other pairs, not nine in four
"""

from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from matplotlib.figure import Figure

from experiments._base import Claim, Result, main
from experiments._blocks import SHAPES, blocks
from experiments._check import several
from experiments._uniform import UniformSweep, trained
from superposition import ToyParams, geometry, theory
from superposition.expected_loss import expected_loss
from superposition.geometry import Arrangement, Component
from superposition.geometry.polytopes import TOLERANCE
from superposition.plot.dimensionality import KINDS, Graph, feature_dimensionality
from superposition.theory import kgons

SHARED = trained.__module__  # one training for three figures
GUIDES = {"3/4": 3 / 4, "2/3": 2 / 3, "1/2": 1 / 2, "2/5": 2 / 5, "3/8": 3 / 8}
LABELS = (
    (1.0, "1: dedicated"), (3 / 4, "3/4: tetrahedron"), (2 / 3, "2/3: triangle"), (1 / 2, "1/2: digon"),
    (2 / 5, "2/5: pentagon"), (3 / 8, "3/8: square antiprism"), (0.0, "0: not learned"),
)  # fmt: skip
CLUSTER = (0.43, 0.46)
SMALL = 12  # vectors in a component that is drawn as small
STRONG = 0.4  # features whose cosine is more are drawn side by side
BIN, NEAR, FEWEST = 0.005, 0.01, 20


@dataclass(frozen=True)
class Config:
    """What is trained, polished and drawn."""

    uniform: UniformSweep = field(default_factory=UniformSweep)
    polished: int = 2
    polish_steps: int = 120
    insets: tuple[float, ...] = (1.0, 2.3, 3.0, 4.2, 4.9, 5.7, 9.0)

    def __post_init__(self) -> None:
        several("uniform.densities", self.uniform.densities)

    @classmethod
    def quick(cls) -> "Config":
        """A small version: structure, not science."""
        return cls(
            UniformSweep(40, 6, (1.0, 0.5, 0.2, 0.05), 2, 60, 32, slow_steps=60, slow_batch_size=32),
            1,
            2,
            (1.0, 5.0),
        )


def run(config: Config) -> Result:
    """Name every model's components, find the peaks of D_i, and look into the cluster near 4/9."""
    u = config.uniform
    models = trained(u)
    p, W, loss = np.asarray(u.densities), models["W"].astype(float), models["loss"]
    D, there = geometry.dimensionality(W), geometry.norms(W) > 0.5
    among = np.where(there, geometry.dimensionality(W * there[:, :, None]), 0.0)
    found = [[geometry.recognise(model) for model in row] for row in W]
    best = loss.argmin(1)
    rows = np.arange(len(p))
    shown = [min(rows, key=lambda k: abs(np.log(p[k] * x))) for x in config.insets]
    inside = there & (CLUSTER[0] < D) & (CLUSTER[1] > D)
    polished = _polish_most(config, models, inside)
    census = [geometry.census(row) for row in found]
    winners = blocks(p).best()
    return Result(
        config,
        [
            _capacity(D, u.n_hidden),
            _peaks(D[there], "", expected=False),
            _peaks(
                among[there],
                " of 1/2 and 2/5 (interference with unlearned features left out)",
                ("1/2", "2/5"),
            ),
            _named(p, census),
            _cheapest(p, winners),
            _sparse(p, found),
            _nine_in_four(W, inside),
            _pairs(W, inside, p),
            _persists(polished, u.n_hidden),
            _gap(polished),
        ],
        arrays={
            "inverse_density": 1 / p,
            "dimensionality": D[rows, best].round(4),
            "kinds": np.array([_kinds(found[k][s], u.n_features) for k, s in enumerate(best)]),
            "shares": np.array([_shares(row) for row in found]),
            **{f"W{k}": W[k, best[k]][:, there[k, best[k]]].round(3) for k in shown},
        },
        numbers={"census": census, "insets": shown, "polished": polished, "cheapest": winners},
    )


def _kind(component: Component) -> int:
    if component.name in KINDS:
        return KINDS.index(component.name)
    if np.isfinite(component.deviation):
        return KINDS.index("another shape")
    return len(KINDS) - (2 if len(component.features) <= SMALL else 1)


def _kinds(arrangement: Arrangement, n: int) -> np.ndarray:
    kinds = np.full(n, -1)
    for component in arrangement.components:
        kinds[list(component.features)] = _kind(component)
    return kinds


def _shares(row: list[Arrangement]) -> np.ndarray:
    """Of the represented features of all seeds, the part in each kind of component."""
    count = np.zeros(len(KINDS))
    for arrangement in row:
        for component in arrangement.components:
            count[_kind(component)] += len(component.features)
    return count / count.sum() if count.sum() else np.full(len(KINDS), np.nan)


def _capacity(D: np.ndarray, m: int) -> Claim:
    total = D.sum(-1)
    return Claim(
        "F8",
        "the dimensionalities of a model add up to no more than its dimensions, and nearly to them",
        "sum of D_i about m when packed efficiently",
        f"{total.size} models: sum of D_i from {total.min():.3f} to {total.max():.6f}, m = {m}",
        bool(total.max() <= m + 1e-6 and total.min() > 0.98 * m),
    )


def peaks(values: np.ndarray) -> np.ndarray:
    """Centres of bins that hold most within 0.02 either side, and at least FEWEST, in a histogram of bins of BIN."""
    count, edges = np.histogram(values, np.arange(0.15, 1.05, BIN))
    smooth = np.convolve(count, np.ones(3), "same")
    reach = round(0.02 / BIN)
    around = np.array([smooth[max(0, k - reach) : k + reach + 1].max() for k in range(len(smooth))])
    centre = edges[:-1] + BIN / 2
    return centre[(smooth == around) & (smooth >= FEWEST)]


def _peaks(
    values: np.ndarray, which: str, wanted: tuple[str, ...] = tuple(GUIDES), expected: bool = True
) -> Claim:
    at = peaks(values)
    off = {name: float(np.abs(at - GUIDES[name]).min()) if len(at) else np.inf for name in GUIDES}
    near = [name for name in GUIDES if off[name] <= NEAR]
    return Claim(
        "F8",
        "represented features' dimensionalities peak within 0.01"
        + (which or " of 1/2, 2/3, 2/5, 3/4 and 3/8"),
        "lines at 1, 3/4, 2/3, 1/2, 2/5, 3/8, 0",
        f"{len(values)} features over all models; peaks at {', '.join(f'{x:.3f}' for x in at)}: near "
        f"{', '.join(near) or 'none'}; not near {', '.join(n for n in GUIDES if n not in near) or 'none'}",
        all(name in near for name in wanted),
        expected,
    )


def _named(p: np.ndarray, census: list[dict[str, int]]) -> Claim:
    """The stretch where theory has pairs, 1/(1-S) = 3 to 4.2, and the next, to 5, where pentagons cost less."""
    words, share = [], []
    for low, high, name in ((3.0, 4.2, "digon"), (4.2, 5.0, "pentagon")):
        counts: Counter[str] = Counter()
        for density, names in zip(p, census, strict=True):
            if low <= 1 / density <= high:
                counts.update({k: v for k, v in names.items() if k != "not represented"})
        total = max(sum(counts.values()), 1)
        share.append(counts[name] / total)
        parts = ", ".join(f"{100 * v / total:.0f} % {k}" for k, v in counts.most_common(3))
        words.append(f"1/(1-S) from {low} to {high}: of {total} represented features {parts or 'none'}")
    return Claim(
        "F8",
        "on the plateau at 1/2 components are antipodal pairs (over 90 %), and pentagons come as it ends",
        "digons, then pentagons",
        "; ".join(words),
        share[0] > 0.9 and share[1] > 0,
    )


def _cheapest(p: np.ndarray, winners: list[str]) -> Claim:
    x = 1 / p
    order = list(dict.fromkeys(winners[k] for k in np.argsort(x)))
    spans = [
        f"{name} {x[[w == name for w in winners]].min():.1f} .. {x[[w == name for w in winners]].max():.1f}"
        for name in order
    ]
    sparse = [w for w, density in zip(winners, p, strict=True) if density < 4 / 7]
    never = [name for name in SHAPES if name not in sparse]
    return Claim(
        "this lab",
        "triangles and tetrahedra are missing for a reason: where superposition pays, they never gain most per dimension",
        "the paper's models show them",
        f"exact losses, one length and bias a shape; most is gained, at 1/(1-S) = {', '.join(spans)}; above 7/4 never "
        f"by {', '.join(never)}",
        bool(sparse) and "triangle" in never and "tetrahedron" in never,
    )


def _sparse(p: np.ndarray, found: list[list[Arrangement]]) -> Claim:
    parts, first = {}, np.inf
    for density, row in zip(p, found, strict=True):
        share = _shares(row)[-1]
        parts[1 / density] = float(share)
    above = [x for x, share in parts.items() if x > 6]
    first = min((x for x in parts if all(parts[y] > 0.95 for y in parts if y >= x)), default=np.inf)
    return Claim(
        "this lab",
        "with more sparsity features no longer fall into separate polytopes: nearly all join one component",
        "polytopes up to high sparsity",
        f"components of more than {SMALL} vectors hold {100 * min((parts[x] for x in above), default=0):.0f} % or more of "
        f"the represented features for 1/(1-S) > 6 (95 % from {first:.2f} on)",
        bool(above) and min(parts[x] for x in above) > 0.95,
    )


def _nine_in_four(W: np.ndarray, inside: np.ndarray) -> Claim:
    """At several edges, so that neither noise that joins nor an edge that parts decides."""
    total, words, most = int(inside.sum()), [], 0
    for edge in (0.05, 0.1, 0.2):
        count = 0
        for k, s in np.argwhere(inside.any(-1)):
            for c in geometry.recognise(W[k, s], edge=edge, tolerance=5.0).components:
                if (len(c.features), c.rank) == (9, 4):
                    count += int(inside[k, s][list(c.features)].sum())
        words.append(f"{count} at |cos| > {edge:g}")
        most = max(most, count)
    return Claim(
        "Elhage 2022, comments",
        "features near 4/9 belong to components of nine vectors in four dimensions",
        "conjectured by readers",
        f"of {total} features with D in {CLUSTER[0]} .. {CLUSTER[1]}: " + ", ".join(words),
        most > total / 2,
        expected=False,
    )


def _pairs(W: np.ndarray, inside: np.ndarray, p: np.ndarray) -> Claim:
    """Half of an antipodal pair: another feature within 10 degrees of the opposite direction."""
    paired = other = 0
    where: Counter[float] = Counter()
    crowd: list[float] = []
    for k, s in np.argwhere(inside.any(-1)):
        kept = geometry.norms(W[k, s]) > 0.5
        C, mine = geometry.cosines(W[k, s][:, kept]), inside[k, s][kept]
        opposite = -np.cos(np.radians(TOLERANCE)) > C
        paired += int((mine & opposite.any(1)).sum())
        other += int((mine & ~opposite.any(1)).sum())
        where[round(1 / float(p[k]), 2)] += int(mine.sum())
        others = (np.where(opposite, 0, C) ** 2).sum(1) - 1
        crowd.extend(others[mine & opposite.any(1)].tolist())
    share = paired / max(paired + other, 1)
    return Claim(
        "this lab",
        "features near 4/9 are antipodal pairs that overlap a little with many other pairs",
        "unexplained",
        f"{100 * share:.0f} % of them have an opposite within 10 degrees; most at 1/(1-S) = "
        + ", ".join(f"{x} ({n})" for x, n in where.most_common(3))
        + f"; squared cosines with all others but that add up to {np.mean(crowd) if crowd else 0:.2f}",
        share > 0.5,
    )


def _polish_most(config: Config, models: dict[str, np.ndarray], inside: np.ndarray) -> list[dict[str, Any]]:
    """The represented features of the models with most of them near 4/9, on the exact loss."""
    count = inside.sum(-1)
    order = np.argsort(-count, axis=None, kind="stable")[: config.polished]
    chosen = [tuple(int(i) for i in np.unravel_index(k, count.shape)) for k in order]
    kept = [np.flatnonzero(geometry.norms(models["W"][at]) > 0.5) for at in chosen]
    size = max(1, *(len(features) for features in kept))
    return [
        _polish(config, models, k, s, features, size) for (k, s), features in zip(chosen, kept, strict=True)
    ]


def _polish(
    config: Config, models: dict[str, np.ndarray], k: int, seed: int, kept: np.ndarray, size: int
) -> dict[str, Any]:
    p = config.uniform.densities[k]
    W = np.zeros((config.uniform.n_hidden, size), np.float32)
    b, weight = np.zeros((2, size), np.float32)
    W[:, : len(kept)], b[: len(kept)] = models["W"][k, seed][:, kept], models["b"][k, seed][kept]
    weight[: len(kept)] = 1
    params, losses = _descend(
        config.polish_steps, ToyParams(jnp.asarray(W), jnp.asarray(b)), jnp.asarray(weight), p
    )
    W = np.asarray(params.W, float)[:, : len(kept)]
    dropped = (config.uniform.n_features - len(kept)) * float(theory.variance(p))
    found = geometry.recognise(W)
    names = Counter(c.name for c in found.components)
    return {
        "inverse_density": 1 / p,
        "names": dict(names),
        "dimensions": found.dimensions,
        "features": {n: sum(len(c.features) for c in found.components if c.name == n) for n in names},
        "rank": {n: sum(c.rank for c in found.components if c.name == n) for n in names},
        "dimensionality": {
            n: float(np.mean([c.dimensionality for c in found.components if c.name == n])) for n in names
        },
        "norms": [float(x) for x in np.quantile(geometry.norms(W), [0, 0.5, 1])] if len(kept) else [],
        "trained": float(models["loss"][k, seed]),
        "cut": float(losses[0]) + dropped,
        "polished": float(losses[-1]) + dropped,
        "last_tenth": float(losses[-1 - len(losses) // 10] - losses[-1]),
        "digons": float(kgons.digon_levels(config.uniform.n_features, config.uniform.n_hidden, p).min()),
    }


@partial(jax.jit, static_argnums=0)
def _descend(steps: int, params: ToyParams, weight: Array, p: Array) -> tuple[ToyParams, Array]:
    """Adam on the exact loss; features of weight 0 are padding, never active."""
    optimizer = optax.adam(optax.cosine_decay_schedule(3e-3, steps))

    def loss(q: ToyParams) -> Array:
        return expected_loss(q, weight, p * weight, activation="relu")

    def step(carry: tuple[ToyParams, Any], _: None) -> tuple[tuple[ToyParams, Any], Array]:
        params, state = carry
        value, slope = jax.value_and_grad(loss)(params)
        updates, state = optimizer.update(slope, state, params)
        return (optax.apply_updates(params, updates), state), value

    (params, _), losses = jax.lax.scan(step, (params, optimizer.init(params)), None, length=steps)
    return params, losses


def _persists(polished: list[dict[str, Any]], m: int) -> Claim:
    """The pairs' share of the dimensions that the other factors leave: (m - others) / (2 pairs)."""
    words, holds = [], []
    for row in polished:
        others = sum(rank for name, rank in row["rank"].items() if name != "digon")
        pairs = row["features"].get("digon", 0)
        D, share = row["dimensionality"].get("digon", 0.0), (m - others) / max(pairs, 1)
        names = " + ".join(f"{n} x {name}" for name, n in row["names"].items())
        words.append(
            f"1/(1-S) = {row['inverse_density']:.2f}: {names}, {row['dimensions']} dimensions' worth in {m}; D of pairs "
            f"{D:.4f}, (m - others) / features {share:.4f}"
        )
        holds.append(pairs > 0 and row["dimensions"] > m and abs(D - share) < 0.005)
    return Claim(
        "this lab",
        "it persists at the exact minimum: more polytopes than fit orthogonally, whose pairs share what is left evenly",
        "D of a pair = dimensions left / features in pairs",
        "; ".join(words) or "none polished",
        bool(holds) and all(holds),
    )


def _gap(polished: list[dict[str, Any]]) -> Claim:
    words = [
        f"1/(1-S) = {row['inverse_density']:.2f}: trained {row['trained']:.4f}, unlearned features set to 0 "
        f"{row['cut']:.4f}, polished {row['polished']:.4f} (last tenth of the steps {row['last_tenth']:.0e}), 30 "
        f"orthogonal pairs {row['digons']:.4f}"
        for row in polished
    ]
    excess = max((row["trained"] / row["polished"] - 1 for row in polished), default=np.inf)
    return Claim(
        "this lab",
        "trained models are within 1 % of the minimum they are polished to",
        "no training settings stated",
        "; ".join(words) or "none polished",
        excess < 0.01,
    )


def draw(result: Result) -> Figure:
    """Every D_i of the best seeds, interference graphs above, kinds of components below."""
    a = result.arrays
    graphs = []
    for k in result.numbers["insets"]:
        W = a[f"W{k}"]
        groups = [c.features for c in geometry.recognise(W, edge=STRONG).components]
        title = f"$1/(1-S) = {a['inverse_density'][k]:.1f}$"
        graphs.append(Graph(title, W, groups, _kinds(geometry.recognise(W), W.shape[1])))
    return feature_dimensionality(
        a["inverse_density"], a["dimensionality"], a["kinds"], a["shares"], LABELS, graphs, (*CLUSTER, "4/9?")
    )


def alt(result: Result) -> str:
    """Alt text from the numbers."""
    census = result.numbers["census"]
    parts = []
    for k in result.numbers["insets"]:
        named = [f"{count} in {name}" for name, count in census[k].items()][:3]
        parts.append(f"{result.arrays['inverse_density'][k]:.1f}: {', '.join(named)}")
    return (
        "Dimensionality of every feature against 1 / (1 - S), with interference graphs above and the kinds of components "
        "below; features by component, all seeds, at 1 / (1 - S) = " + "; ".join(parts) + "."
    )


if __name__ == "__main__":
    main(__name__)
