"""The asymmetric superposition motif: how often models that compute |x| build it, and what its inhibition does.

Elhage et al. 2022, "The asymmetric superposition motif": a neuron reads two features with [2, -1/2] and writes them
with [1/2, 2]; the large interference, of the strongly read feature on the output of the other, is cancelled by an
inhibitory neuron. The paper states no settings. Ours: n=10, m=10, I = 0.8^i (ARENA's), AdamW, learning rate 1e-2
falling as a cosine, 1,500 steps of 128 examples, 200 seeds a density; ARENA's density of 0.35 also from a random
start of W2. Motifs are found by superposition.geometry.motif, with its default thresholds, fixed
beforehand. Longer training brings them nearer the paper's: median ratios 2.8 and 3.0 after 1,000 steps, 3.1 and 3.4
after 1,500.

Command:  python -m experiments.asymmetric_motif
Time:     one minute on two cores
Expect:   none where features are dense; in most seeds at 1 - S = 0.2; the cleanest within 10 % of the paper's weights
"""

from dataclasses import dataclass

import jax
import numpy as np
from matplotlib.figure import Figure
from scipy import stats

from experiments._base import Claim, Result, main
from experiments._check import reaches
from superposition import AdamW, SparseUniform, ToyRun
from superposition._internal import validate
from superposition.errors import ConfigError
from superposition.geometry.motif import Motif, motifs
from superposition.plot.motif import Circuit, Frequency, Response, motif
from superposition.toy import AbsoluteValue
from superposition.training import sweep
from superposition.typing import ComputationParams

Found = list[list[Motif]]


@dataclass(frozen=True)
class Config:
    """Data, model, training, the sample that measures a cut weight, and the detector's thresholds."""

    n_features: int = 10
    n_hidden: int = 10
    importance_base: float = 0.8
    densities: tuple[float, ...] = (1.0, 0.35, 0.2, 0.1, 0.05)
    arena_density: float = 0.35
    seeds: int = 200
    steps: int = 1_500
    batch_size: int = 128
    learning_rate: float = 1e-2
    examples: int = 8_192
    ratio: float = 2.0
    effect: float = 0.25
    inhibition: float = 0.5

    def __post_init__(self) -> None:
        if self.arena_density not in self.densities:
            listed = ", ".join(f"{p:g}" for p in self.densities)
            raise ConfigError(f"arena_density must be one of densities, {listed}; got {self.arena_density:g}")
        reaches("densities", self.densities, 0, 0.2)
        validate.integer("n_features", self.n_features, 2)  # a motif is of two features and two neurons
        validate.integer("n_hidden", self.n_hidden, 2)

    @classmethod
    def quick(cls) -> "Config":
        """A small version: structure, not science."""
        return cls(
            densities=(0.35, 0.1),
            seeds=3,
            steps=20,
            batch_size=32,
            examples=64,
            ratio=1.0,
            effect=0.0,
            inhibition=0.0,
        )


def run(config: Config) -> Result:
    """Train, detect, compare with shuffled weights, and cut the inhibiting weights."""
    params = _trained(config, "open", config.densities)
    arena = _trained(config, "xavier", (config.arena_density,))
    rng = np.random.default_rng(0)
    found = [_detect(config, _at(params, k)) for k in range(len(config.densities))]
    chance = np.array(
        [_share(_detect(config, _shuffled(rng, _at(params, k)))) for k in range(len(config.densities))]
    )
    share = np.array([_share(f) for f in found])
    arena_share = _share(_detect(config, _at(arena, 0)))
    where = [
        (each[0].distance, k, seed, each[0])
        for k, f in enumerate(found)
        for seed, each in enumerate(f)
        if each
    ]
    if not where:
        raise ConfigError(
            "no model has a motif, so there is none to draw; give more seeds, steps, or lower densities"
        )
    _, density, seed, cleanest = min(where, key=lambda item: item[0])
    model = ComputationParams._make(a[density, seed] for a in params)
    cuts = np.array([_cut(config, ComputationParams._make(a[k, s] for a in params), m, config.densities[k])
                     for _, k, s, m in where])  # fmt: skip
    which = next(n for n, item in enumerate(where) if item[3] is cleanest)
    drawn = _as_in_the_paper(model, cleanest)
    numbers = np.array([m[4:] for f in found for each in f for m in each])
    arrays = {
        "share": share,
        "interval": np.array([_interval(s, config.seeds) for s in share]),
        "chance": chance,
        "motifs_a_model": np.array([np.mean([len(each) for each in f]) for f in found]),
        "median_numbers": np.median(numbers, 0),
        "read": drawn.read,
        "write": drawn.write,
        "curve": np.stack(_curve(model, cleanest)),
    }
    claims = [
        _found_at_arena(config, share, arena_share),
        _found_often(config, arrays),
        _weights(config, drawn, cleanest, config.densities[density], numbers),
        _function(config, cuts, which),
        _other_way(config, params, where),
    ]
    details = {
        "density": config.densities[density],
        "seed": seed,
        "motif": cleanest._asdict(),
        "arena_start_share": arena_share,
        "motifs": len(numbers),
    }
    return Result(config, claims, arrays=arrays, numbers=details)


def _trained(config: Config, init: str, densities: tuple[float, ...]) -> ComputationParams:
    recipe = ToyRun(
        AbsoluteValue(config.n_features, config.n_hidden, init=init),
        SparseUniform(density=1.0, signed=True),
        importance_base=config.importance_base,
        optimizer=AdamW(config.learning_rate, weight_decay=0.0, schedule="cosine"),
        steps=config.steps,
        batch_size=config.batch_size,
    )
    data = sweep(recipe, {"density": densities, "seed": range(config.seeds)})
    return ComputationParams._make(data[name].values for name in ComputationParams._fields)


def _at(params: ComputationParams, k: int) -> ComputationParams:
    return ComputationParams._make(a[k] for a in params)


def _detect(config: Config, params: ComputationParams) -> Found:
    thresholds = {"ratio": config.ratio, "effect": config.effect, "inhibition": config.inhibition}
    return [motifs(a, b, **thresholds) for a, b in zip(params.W_in, params.W_out, strict=True)]


def _shuffled(rng: np.random.Generator, params: ComputationParams) -> ComputationParams:
    """Every model's own weights, in random places."""
    W_in, W_out = (rng.permuted(a.reshape(len(a), -1), axis=1).reshape(a.shape) for a in params[:2])
    return ComputationParams._make((W_in, W_out, params.b))


def _share(found: Found) -> float:
    return float(np.mean([bool(each) for each in found]))


def _interval(share: float, count: int) -> tuple[float, float]:
    """Wilson's 95 % interval."""
    found = stats.binomtest(round(share * count), count).proportion_ci(method="wilson")
    return float(found.low), float(found.high)


def _outputs(params: ComputationParams, x: np.ndarray) -> np.ndarray:
    return np.maximum(np.maximum(x @ params.W_in.T, 0) @ params.W_out.T + params.b, 0)


def _without(params: ComputationParams, found: Motif) -> ComputationParams:
    """The model with the inhibitor's weight to the weakly read feature's output cut."""
    W_out = params.W_out.copy()
    W_out[found.weak, found.inhibitor] = 0
    return params._replace(W_out=W_out)


def _cut(config: Config, params: ComputationParams, found: Motif, density: float) -> tuple[float, ...]:
    """Squared error of the weak output, whole and cut, where x_strong turns the neuron on; its s.e.; and elsewhere."""
    law = SparseUniform(density=density, signed=True)
    x = np.array(law.sample(jax.random.key(19), config.n_features, config.examples))
    sign = np.sign(params.W_in[found.neuron, found.strong])
    size = np.random.default_rng(0).uniform(0, 1, len(x)).astype(x.dtype)
    numbers: list[float] = []
    for side in (sign, -sign):
        x[:, found.strong] = side * size
        target = np.abs(x[:, found.weak])
        errors = [(_outputs(p, x)[:, found.weak] - target) ** 2 for p in (params, _without(params, found))]
        rise = errors[1] - errors[0]
        numbers += [*(float(e.mean()) for e in errors), float(rise.std() / np.sqrt(len(x)))]
    return tuple(numbers)


def _curve(params: ComputationParams, found: Motif) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The weak output over x_strong, drawn with the sign that turns the neuron on to the right."""
    t = np.linspace(-1, 1, 41)
    x = np.zeros((len(t), params.W_in.shape[1]))
    x[:, found.strong] = t * np.sign(params.W_in[found.neuron, found.strong])
    whole, cut = (_outputs(p, x)[:, found.weak] for p in (params, _without(params, found)))
    return t, whole, cut


def _as_in_the_paper(params: ComputationParams, found: Motif) -> Circuit:
    """The four weights in and out: |reading| of the strong feature 2 and 1, features signed so that it is [2, -1/2]."""
    features, neurons = [found.strong, found.weak], [found.neuron, found.inhibitor]
    read, write = params.W_in[np.ix_(neurons, features)], params.W_out[np.ix_(features, neurons)]
    scale = np.abs(read[:, 0]) / np.array([2, 1])
    read, write = read / scale[:, None], write * scale
    return Circuit(
        read * np.sign(read[0]) * [1, -1], write, (found.strong, found.weak), (found.neuron, found.inhibitor)
    )


def _found_at_arena(config: Config, share: np.ndarray, arena: float) -> Claim:
    ours = float(share[config.densities.index(config.arena_density)])
    six = [1 - (1 - s) ** 6 for s in (ours, arena)]
    parts = [
        f"{name}: {100 * s:.1f} % of seeds (95 % interval {100 * low:.1f} to {100 * high:.1f}), so in six seeds "
        f"{100 * p:.0f} %"
        for name, s, (low, high), p in (
            ("open start", ours, _interval(ours, config.seeds), six[0]),
            ("random start", arena, _interval(arena, config.seeds), six[1]),
        )
    ]
    return Claim(
        "F19",
        f"six seeds at 1-S = {config.arena_density:g} are enough to meet the motif (ARENA's settings)",
        "found by eye among 6 seeds",
        "; ".join(parts),
        max(six) > 0.5,
        expected=False,
    )


def _found_often(config: Config, arrays: dict[str, np.ndarray]) -> Claim:
    share, interval, chance = arrays["share"], arrays["interval"], arrays["chance"]
    sparse = np.array(config.densities) <= 0.2
    return Claim(
        "F19",
        "models build the motif: at 1-S <= 0.2 in most seeds, and far more often than the same weights shuffled",
        "it occurs",
        "; ".join(
            f"{p:g}: {100 * s:.1f} % ({100 * a:.0f} to {100 * b:.0f}), shuffled {100 * c:.1f} %"
            for p, s, (a, b), c in zip(config.densities, share, interval, chance, strict=True)
        ),
        bool((interval[sparse, 0] > 0.5).all() and (interval[sparse, 0] > 2 * chance[sparse]).all()),
    )


def _weights(config: Config, drawn: Circuit, cleanest: Motif, density: float, numbers: np.ndarray) -> Claim:
    read, write = drawn.read[0], drawn.write[:, 0]
    off = np.abs(np.array([*read, *write]) / (2, -0.5, 0.5, 2) - 1).max()
    ratios = np.median(numbers[:, :2], 0)
    return Claim(
        "F19",
        "the shared neuron reads [2, -1/2] and writes [1/2, 2] (the cleanest within 10 %; median ratios within 25 % of 4)",
        "[2, -1/2] and [1/2, 2]",
        f"[{read[0]:.2f}, {read[1]:.2f}] and [{write[0]:.2f}, {write[1]:.2f}] at 1-S = {density:g}, inhibition "
        f"{cleanest.inhibition:.2f} of the interference; median ratios of {len(numbers)} motifs "
        f"{ratios[0]:.2f} and {ratios[1]:.2f}",
        bool(off < 0.1) and bool((np.abs(ratios / 4 - 1) < 0.25).all()),
    )


def _function(config: Config, cuts: np.ndarray, which: int) -> Claim:
    whole, cut, error, off_whole, off_cut, _ = cuts[which]
    rise = cuts[:, 1] / cuts[:, 0]
    return Claim(
        "F19",
        "the inhibitory weight cancels the interference of the strongly read feature on the other's output: cut, the "
        "squared error there more than doubles where that feature turns the neuron on",
        "an inhibitory neuron",
        f"cleanest: {whole:.4f} to {cut:.4f} (s.e. of the rise {error:.4f}), for the other sign of the feature "
        f"{off_whole:.4f} to {off_cut:.4f}; median over {len(cuts)} models x {np.median(rise):.1f}, "
        f"in {100 * np.mean(rise > 2):.0f} % more than doubled",
        bool(cut > 2 * whole) and bool(cut - whole > 10 * error) and bool(np.median(rise) > 2),
    )


def _other_way(
    config: Config, params: ComputationParams, where: list[tuple[float, int, int, Motif]]
) -> Claim:
    taken = []
    for _, k, seed, found in where:
        W_in, W_out = params.W_in[k, seed], params.W_out[k, seed]
        together = W_in[:, found.weak] * np.sign(W_in[found.neuron, found.weak])
        back = np.where(together > 0, -together * W_out[found.strong], 0.0)
        back[found.neuron] = 0
        small = abs(W_in[found.neuron, found.weak]) * W_out[found.strong, found.neuron]
        taken.append(back.max() > 0.5 * small)
    return Claim(
        "this lab",
        "the inhibition is one-sided: the small interference, 1/4, of the weakly read feature on the strong one's output "
        "has an inhibitor of its own in fewer than half of the motifs",
        "not stated",
        f"in {100 * np.mean(taken):.0f} % of {len(taken)} (the nearest motif of every model that has one)",
        bool(np.mean(taken) < 0.5),
    )


def draw(result: Result) -> Figure:
    """The cleanest motif as a circuit, the effect of its inhibition, and the frequency by density."""
    arrays, found = result.arrays, result.numbers["motif"]
    circuit = Circuit(arrays["read"], arrays["write"], (found["strong"], found["weak"]),
                      (found["neuron"], found["inhibitor"]))  # fmt: skip
    frequency = Frequency(result.config.densities, arrays["share"], arrays["interval"], arrays["chance"])
    return motif(circuit, Response(*arrays["curve"]), frequency)


def alt(result: Result) -> str:
    """Alt text from the numbers."""
    read, write = result.arrays["read"], result.arrays["write"]
    shares = ", ".join(
        f"{100 * s:.0f} % at density {p:g}"
        for p, s in zip(result.config.densities, result.arrays["share"], strict=True)
    )
    return (
        f"A neuron reads two features with {read[0, 0]:.2f} and {read[0, 1]:.2f} and writes them with {write[0, 0]:.2f} "
        f"and {write[1, 0]:.2f}; an inhibitor writes {write[1, 1]:.2f}. Seeds with such a motif: {shares}."
    )


if __name__ == "__main__":
    main(__name__)
