"""A ReLU in the hidden layer makes neurons mean something: one feature each, then codes (n=10, m=5, best of 1,000).

Elhage et al. 2022, "Superposition in a privileged basis": h = ReLU(W x), x' = ReLU(W^T h + b), I_i = 0.75^i; 1,000
models a sparsity, of which the one with the lowest loss is shown. The paper states no training settings. Ours: AdamW
without decay, 1,500 steps of 64 examples, learning rate 0.04 falling to 0 as a cosine; the best 24 of each sparsity
train on for 2,000 steps of 512 examples from 0.03, and the best one of each structure among them is judged on
3,145,728 common examples with two or more active features (fewer are exact). A feature's code is the set of neurons
it turns on: those whose weight is over half of its largest. A negative weight silences a neuron: it is in no code.

Command:  python -m experiments.privileged_basis
Time:     two minutes on two cores
Expect:   five monosemantic neurons; a binary code; 5 features in 3 neurons; 8 or 9 in 5; ten pairs of neurons
"""

from collections import Counter
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Any, NamedTuple

import jax
import numpy as np
from matplotlib.figure import Figure

from experiments._base import Claim, Result, main
from superposition import AdamW, ToyRun, geometry
from superposition.expected_loss.stratified import stratified_loss
from superposition.geometry.neurons import Group, Neurons, neurons
from superposition.plot.neurons import neurons as stacks
from superposition.refine import refine
from superposition.sweep import sweep
from superposition.toy import ReLUHidden

MODEL = ReLUHidden(10, 5)
ALL = tuple(range(MODEL.n_hidden))
SIX = "1 monosemantic + 6 pairs of 4"


@dataclass(frozen=True)
class Config:
    """Data, model and training."""

    densities: tuple[float, ...] = (0.75, 0.5, 0.35, 0.2, 0.15, 0.12, 0.08, 0.05, 0.035, 0.02, 0.01)
    importance_base: float = 0.75
    seeds: int = 1000
    steps: int = 1_500
    batch_size: int = 64
    learning_rate: float = 0.04
    kept: int = 24
    finalists: int = 3
    refine_steps: int = 2_000
    refine_batch_size: int = 512
    refine_learning_rate: float = 0.03
    draws: tuple[int, int] = (8, 96)
    examples: int = 32_768

    @classmethod
    def quick(cls) -> "Config":
        """A small version: structure, not science."""
        small = {"steps": 100, "batch_size": 32, "refine_steps": 16, "refine_batch_size": 32}
        return cls(seeds=6, kept=3, draws=(2, 2), examples=64, **small)  # type: ignore[arg-type]

    def recipe(self, steps: int, batch_size: int, learning_rate: float) -> ToyRun:
        """Training with these settings, at any density."""
        optimizer = AdamW(learning_rate, weight_decay=0.0, schedule="cosine")
        return ToyRun(
            MODEL,
            importance_base=self.importance_base,
            optimizer=optimizer,
            steps=steps,
            batch_size=batch_size,
        )


class _Models(NamedTuple):
    """Parameters of models on the host, W (density, model, m, n) and b (density, model, n)."""

    W: np.ndarray
    b: np.ndarray


class Finalist(NamedTuple):
    """The best model of one structure, and by how much its loss is above the winner's, as a fraction, +- `error`."""

    W: np.ndarray
    b: np.ndarray
    loss: float
    gap: float
    error: float


@dataclass(frozen=True)
class Found:
    """What is known of one density: the best model of each structure, the winner first, and of how many models."""

    density: float
    finalists: dict[str, Finalist]
    every: Counter[str]  # structures of all models, before any was trained on
    gain: float  # by how much training on lowered the least loss, as a fraction

    @property
    def best(self) -> Finalist:
        """The winner."""
        return next(iter(self.finalists.values()))

    @property
    def neurons(self) -> Neurons:
        """The winner's codes and groups."""
        return neurons(self.best.W)

    @property
    def rival(self) -> str:
        """The best other structure; "" if none was among the models trained on."""
        return list(self.finalists)[1] if len(self.finalists) > 1 else ""

    @property
    def share(self) -> float:
        """Models that end in the winner's structure, of all."""
        return self.every[self.neurons.name] / self.every.total()


def run(config: Config) -> Result:
    """Train, keep the best of each density, train those on, choose among them, and read off their codes."""
    short = config.recipe(config.steps, config.batch_size, config.learning_rate)
    axes = {"density": config.densities, "seed": range(config.seeds)}
    data = sweep(short, axes, share_draws=False)
    every, first = data["W"].values, data["loss"].values
    order = first.argsort(1)[:, : config.kept]
    rows = np.arange(len(order))[:, None]
    kept = _Models(every[rows, order], data["b"].values[rows, order])
    long = config.recipe(config.refine_steps, config.refine_batch_size, config.refine_learning_rate)
    flat = _Models(*(a.reshape(-1, *a.shape[2:]) for a in kept))
    refined = refine(long, flat, density=np.repeat(config.densities, order.shape[1]))
    better = _Models(*(a.reshape(b.shape) for a, b in zip(refined, kept, strict=True)))
    before, after = (_losses(config, models, 0).mean(2) for models in (kept, better))
    chosen, structures = _finalists(config, better, after)
    last = _Models(better.W[rows, chosen], better.b[rows, chosen])
    final = _losses(config, last, 1)
    found = []
    for k, density in enumerate(config.densities):
        names = [neurons(w).name for w in every[k] if np.isfinite(w).all()]
        ranked = _ranked(structures[k], last.W[k], last.b[k], final[k])
        gain = float(before[k].min() / after[k].min() - 1)
        found.append(Found(density, ranked, Counter(names), gain))
    best = [f.best for f in found]
    return Result(
        config,
        [*_regimes(found), *_statistics(config, found)],
        arrays={
            "W": np.stack([one.W for one in best]),
            "b": np.stack([one.b for one in best]),
            "loss": np.array([one.loss for one in best]),
            "share_of_models": np.array([f.share for f in found]),
            "loss_quantiles": np.nanquantile(first, (0.0, 0.01, 0.1, 0.5), axis=1).T,
        },
        numbers={
            "structure": [f.neurons.name for f in found],
            "above_the_best": [{k: one.gap for k, one in f.finalists.items()} for f in found],
            "structures_of_all_models": [dict(f.every.most_common(4)) for f in found],
        },
    )


@partial(jax.jit, static_argnums=0)
def _evaluate(examples: int, keys: Any, importance: Any, models: Any, density: Any) -> jax.Array:
    """Loss of every model on draws that all of them share, one a key, (model, key)."""

    def one(params: Any, p: jax.Array) -> jax.Array:
        def draw(key: jax.Array) -> jax.Array:
            return stratified_loss(MODEL, params, importance, p, key=key, examples=examples).loss

        return jax.lax.map(draw, keys)

    return jax.lax.map(lambda args: one(*args), (models, density))


def _losses(config: Config, models: _Models, stage: int) -> np.ndarray:
    """Loss of models (density, model, ...) on common draws: (density, model, draws)."""
    importance = config.importance_base ** np.arange(MODEL.n_features)
    count, each = models.b.shape[:2]
    density = np.repeat(np.asarray(config.densities, np.float32), each)
    flat = _Models(*(a.reshape(-1, *a.shape[2:]) for a in models))
    keys = jax.random.split(jax.random.key(stage), config.draws[stage])
    found = _evaluate(config.examples, keys, importance, flat, density)
    return np.asarray(found, np.float64).reshape(count, each, -1)


def _finalists(config: Config, models: _Models, losses: np.ndarray) -> tuple[np.ndarray, list[list[str]]]:
    """The best model of each structure, at most `finalists` of them (density, finalists), and the structures."""
    chosen, structures = [], []
    for W, loss in zip(models.W, losses, strict=True):
        best: dict[str, int] = {}
        for j in loss.argsort():
            best.setdefault(neurons(W[j]).name, int(j))
        names = list(best)[: config.finalists]
        rows = [best[name] for name in names]
        chosen.append(rows + rows[:1] * (config.finalists - len(rows)))
        structures.append(names)
    return np.array(chosen), structures


def _ranked(names: list[str], W: np.ndarray, b: np.ndarray, losses: np.ndarray) -> dict[str, Finalist]:
    """Finalists by loss on the final draws, (finalist, draws); gaps are of paired draws."""
    ranking = losses[: len(names)].mean(1).argsort()
    least = losses[ranking[0]]
    result = {}
    for j in ranking:
        excess = (losses[j] - least) / least.mean()
        error = float(excess.std(ddof=1) / np.sqrt(len(excess)))
        result[names[j]] = Finalist(W[j], b[j], float(losses[j].mean()), float(excess.mean()), error)
    return result


def _at(found: list[Found], low: float, high: float) -> list[Found]:
    return [f for f in found if low <= f.density <= high]


def _said(found: list[Found]) -> str:
    return "; ".join(f"{f.neurons.name} at {f.density:g}" for f in found)


def _regimes(found: list[Found]) -> list[Claim]:
    """The paper's six regimes, by the structure of the best model."""
    dense, binary, five, six, eight, pairs = (
        _at(found, *ends)
        for ends in ((0.5, 1), (0.2, 0.49), (0.15, 0.15), (0.12, 0.12), (0.05, 0.08), (0, 0.04))
    )
    sparsest, between = _at(found, 0, 0.02), _at(found, 0.1, 0.4)
    codes = [g for f in found for g in f.neurons.groups if g.name == "binary code" and f.density >= 0.2]
    angles = [_binary_cosines(f.best.W, g) for f in found for g in f.neurons.groups if g in codes]
    flags = [_important(f.neurons) for f in eight]
    middle = [_important(neurons(f.finalists[SIX].W)) for f in six if SIX in f.finalists]
    absolute = [neurons(f.best.W, sign="absolute").name for f in pairs]
    wanted = {frozenset(pair) for pair in combinations(ALL, 2)}
    distinct = [len(_words(f.neurons) & wanted) for f in pairs]
    return [
        Claim(
            "F17",
            "1-S >= 0.5: every feature that is represented has a neuron to itself",
            "5 monosemantic neurons",
            _said(dense),
            all(f.neurons.name == "5 monosemantic" for f in dense),
        ),
        Claim(
            "F17",
            "1-S from 0.2 to 0.5: the three most important features have a neuron each, the next three share two",
            "3 monosemantic neurons and a binary code",
            _said(binary),
            all(_holds_most_important(f, "3 monosemantic + binary code", 6) for f in binary),
        ),
        Claim(
            "F17",
            "in the binary code the (1,1) feature is orthogonal to the others, which are antipodal (|cos| < 0.15, cos < -0.9)",
            "(1,1) orthogonal; the other two an antipodal pair",
            "; ".join(f"cos {a:.2f} and {b:.2f}, {c:.2f}" for a, b, c in angles) or "no binary code",
            bool(angles) and all(abs(a) < 0.15 and abs(b) < 0.15 and c < -0.9 for a, b, c in angles),
        ),
        Claim(
            "F17",
            "1-S = 0.15: two monosemantic neurons, and five features in the other three",
            "5 in 3",
            _said(five) + "".join(f", {_margin(f)}" for f in five),
            all(f.neurons.name == "2 monosemantic + 5 in 3" for f in five),
        ),
        Claim(
            "F17",
            "1-S = 0.12: one monosemantic neuron, and six features in the other four",
            "6 in 4",
            _said(six) + "".join(f", {_margin(f)}" for f in six),
            all(f.neurons.name == SIX for f in six),
            expected=False,
        ),
        Claim(
            "F17",
            "1-S = 0.12: six features in four neurons come within 1 % of the least loss",
            "6 in 4",
            "; ".join(
                f"{100 * f.finalists[SIX].gap:.2f} % above it" if SIX in f.finalists else "not met"
                for f in six
            ),
            all(SIX in f.finalists and f.finalists[SIX].gap < 0.01 for f in six),
        ),
        Claim(
            "F17",
            "six in four: one neuron tells important features, each two of the other three, from unimportant ones, one each",
            "a neuron for importance; pairs of the other three, or one of them",
            "; ".join(said for said, _, _ in middle) or "not met",
            bool(middle) and all(swapped == 0 for _, _, swapped in middle),
        ),
        Claim(
            "F17",
            "1-S from 0.05 to 0.08: eight features in five neurons, a flag and one other or three others than it",
            "8 in 5; one neuron tells important from unimportant, then three of the others or one",
            _said(eight) + "".join(f"; at {f.density:g} {_margin(f)}" for f in eight),
            all(f.neurons.name == "8 in 5, flagged" for f in eight),
            expected=False,
        ),
        Claim(
            "F17",
            "1-S from 0.05 to 0.08: that code it is, but a ninth feature may have the flag alone",
            "8 in 5",
            _said(eight),
            all(f.neurons.groups[0].flag is not None and f.neurons.groups[0].neurons == ALL for f in eight),
        ),
        Claim(
            "F17",
            "1-S from 0.05 to 0.08: the flag's features are exactly the less important of the eight",
            "one neuron tells important from unimportant",
            "; ".join(said for said, _, _ in flags),
            all(swapped == 0 for _, _, swapped in flags),
            expected=False,
        ),
        Claim(
            "F17",
            "1-S from 0.05 to 0.08: but for one exchange they are, and less important on average",
            "one neuron tells important from unimportant",
            "; ".join(f"ranks {on:.1f} on average, the others {off:.1f}" for _, (on, off), _ in flags),
            all(swapped <= 1 and on > off for _, (on, off), swapped in flags),
        ),
        Claim(
            "F17",
            "1-S <= 0.04: every feature is a pair of neurons, all C(5, 2) = 10 of them distinct",
            "10 pairs",
            "; ".join(
                f"{k} of 10 pairs at {f.density:g} ({f.neurons.name})"
                for k, f in zip(distinct, pairs, strict=True)
            )
            + f"; |W| in place of its positive part, which counts inhibition too, would give {', '.join(absolute)}",
            all(k == 10 for k in distinct),
            expected=False,
        ),
        Claim(
            "F17",
            "1-S <= 0.02: every feature is a pair of neurons, all C(5, 2) = 10 of them distinct",
            "10 pairs at 1-S <= 0.04",
            _said(sparsest),
            all(f.neurons.name == "10 pairs of 5" for f in sparsest),
        ),
        Claim(
            "F17",
            "as sparsity grows, monosemantic neurons only ever become fewer",
            "there's a shift from monosemantic to polysemantic neurons as sparsity increases",
            ", ".join(f"{len(f.neurons.monosemantic)} at {f.density:g}" for f in found),
            _never_more([len(f.neurons.monosemantic) for f in found]),
            expected=False,
        ),
        Claim(
            "F17",
            "all neurons are monosemantic for 1-S >= 0.5, none for 1-S <= 0.02; both kinds meet in one model from 0.1 to 0.4",
            "monosemantic neurons in some regimes, polysemantic in others, both in the same model",
            ", ".join(
                f"{len(f.neurons.monosemantic)} at {f.density:g}" for f in (*dense, *between, *sparsest)
            ),
            all(len(f.neurons.monosemantic) == MODEL.n_hidden for f in dense)
            and all(f.neurons.monosemantic and f.neurons.polysemantic for f in between)
            and not any(f.neurons.monosemantic for f in sparsest),
        ),
    ]


def _words(one: Neurons) -> set[frozenset[int]]:
    return {frozenset(code) for group in one.groups for code in group.codes}


def _holds_most_important(found: Found, name: str, count: int) -> bool:
    """The structure is `name`, on the `count` most important features, the first ones being monosemantic."""
    own = found.neurons
    alone = {group.features[0] for group in own.groups if group.name == "monosemantic"}
    return (
        own.name == name
        and alone == set(range(len(alone)))
        and own.dropped == tuple(range(count, MODEL.n_features))
    )


def _binary_cosines(W: np.ndarray, group: Group) -> tuple[float, float, float]:
    """Cosines of the (1,1) feature with the two others, and of those with each other."""
    both, *others = sorted(
        group.features, key=lambda i: -len(group.codes[group.features.index(i)])
    )  # codes 11, 10, 01
    cosines = geometry.cosines(W)
    return (
        float(cosines[both, others[0]]),
        float(cosines[both, others[1]]),
        float(cosines[others[0], others[1]]),
    )


def _important(one: Neurons) -> tuple[str, tuple[float, float], int]:
    """How well one neuron of the largest group parts important features from unimportant ones.

    Of the neurons that may be the flag the one whose features are the least important. Returns words, the mean rank
    of the features on and off it, and how many would have to be exchanged for an exact split; a feature that has the
    neuron alone is left out.
    """
    group = one.groups[0] if one.groups else Group((), (), (), "")
    words = {i: set(code) for i, code in zip(group.features, group.codes, strict=True)}
    best = ("no neuron that parts them", (0.0, 0.0), MODEL.n_features)
    for k in group.neurons if group.flag is None else (group.flag,):
        on = sorted(i for i, word in words.items() if k in word and len(word) > 1)
        off = sorted(i for i, word in words.items() if k not in word)
        swapped = sum(i not in sorted(on + off)[len(off) :] for i in on)
        if on and off and swapped < best[2]:
            said = f"neuron {k} is on for features {on}, off for {off}"
            best = (said, (float(np.mean(on)), float(np.mean(off))), swapped)
    return best


def _margin(found: Found) -> str:
    if not found.rival:
        return "no other structure among the best"
    rival = found.finalists[found.rival]
    return f"{100 * rival.gap:.2f} +- {100 * rival.error:.2f} % below the best {found.rival}"


def _never_more(counts: list[int]) -> bool:
    return counts == sorted(counts, reverse=True)


def _statistics(config: Config, found: list[Found]) -> list[Claim]:
    """How typical the best model is, and how sure its choice."""
    typical = [f.every.most_common(1)[0][0] == f.neurons.name for f in found]
    needed = [
        np.log(0.1) / np.log1p(-f.share) if 0 < f.share < 1 else (1 if f.share else np.inf) for f in found
    ]
    sure = [not f.rival or f.finalists[f.rival].gap > 3 * f.finalists[f.rival].error for f in found]
    return [
        Claim(
            "F17",
            "the typical solution is like the best one: at half of the densities or more, the most frequent structure is its",
            "typical solutions are often similar to the minimal loss ones",
            f"at {sum(typical)} of {len(found)}; share of models with the best one's structure: "
            + ", ".join(f"{100 * f.share:.1f} % at {f.density:g}" for f in found),
            2 * sum(typical) >= len(found),
            expected=False,
        ),
        Claim(
            "F17",
            "for 1-S >= 0.35 the typical solution is like the best one: the most frequent structure is its",
            "typical solutions are often similar to the minimal loss ones",
            ", ".join(f"{f.every.most_common(1)[0][0]} at {f.density:g}" for f in found if f.density >= 0.35),
            all(same for same, f in zip(typical, found, strict=True) if f.density >= 0.35),
        ),
        Claim(
            "this lab",
            f"{config.seeds:,} short runs meet the best structure with 90 % probability, at all densities but one at most",
            "1,000 models a sparsity",
            "models needed: "
            + ", ".join(f"{np.ceil(k):.0f} at {f.density:g}" for k, f in zip(needed, found, strict=True))
            + " (inf: it appears only in models trained on)",
            bool(sum(k <= config.seeds for k in needed) >= len(found) - 1),
        ),
        Claim(
            "this lab",
            "the best structure beats every other by over three standard errors, at all densities but one at most",
            "not asked",
            "; ".join(f"{f.density:g}: {_margin(f)}" for f in found if f.rival)
            + f"; training on had lowered the least loss by {100 * min(f.gain for f in found):.2f} to "
            f"{100 * max(f.gain for f in found):.1f} %",
            sum(sure) >= len(found) - 1,
        ),
    ]


def draw(result: Result) -> Figure:
    """W and its neurons' stacks of every density's best model, monosemantic neurons first."""
    W = result.arrays["W"]
    found = [neurons(w) for w in W]
    order = [
        sorted(range(len(f.codes)), key=lambda k: (f.codes[k].sum() != 1, *np.flatnonzero(f.codes[k])))
        for f in found
    ]
    return stacks(
        W,
        result.config.densities,
        captions=[f.name for f in found],
        order=np.array(order),
        signed=True,
        matrix=True,
        polysemantic=np.array([f.codes.sum(1) > 1 for f in found]),
    )


def alt(result: Result) -> str:
    """Alt text from the numbers."""
    parts = [
        f"1-S = {p:g}, {name}"
        for p, name in zip(result.config.densities, result.numbers["structure"], strict=True)
    ]
    return (
        "Weights of ten features on five neurons as a matrix and as a stack a neuron, inhibition below the axis, for "
        "the best model of each density: " + "; ".join(parts) + "."
    )


if __name__ == "__main__":
    main(__name__)
