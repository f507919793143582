"""Every trainable SAE architecture at equal L0 on a sixteenth of SynthSAEBench (arXiv 2602.14687).

PLANTED["synth-sae-bench"]: 1,024 features in 256 dimensions, 10.1 active. A quarter of them get a latent, as
there (4,096 of 16,384). L0 is 6, as many as are active among the 256 most frequent, where the published 25 is
the same number of the 4,096. Matching pursuit gets it by 6 iterations and no threshold, TopK and its kin by k,
those with a penalty by the controller. Matryoshka's prefixes are 1/32, 1/8, 1/2 and all of the latents, as there.
Every SAE sees 640,000 samples, 1/310 of the published 200 million, at ten times the learning rate. F1, MCC,
uniqueness and explained variance are SynthSAEBench's, on 65,536 fresh samples; intervals (95 %, Student's t)
are over seeds, which are of the initialisation alone: all SAEs of an architecture see the same batches.

Command:  python -m experiments.sae_zoo
Time:     four minutes on two free cores
Expect:   F1 0.86 Matryoshka, 0.74 Gated, 0.70 BatchTopK, 0.67 JumpReLU, 0.57 TopK, 0.50 matching pursuit and Bricken,
          0.47 ReLU with L1 (so matching pursuit is not last); explained variance 0.71 matching pursuit, 0.70
          BatchTopK; L0 within 3 % of 6, JumpReLU's 7 % above
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import numpy as np
from matplotlib.figure import Figure
from scipy import stats

from experiments._base import Claim, Result, main
from superposition import metrics
from superposition._internal import validate
from superposition.activations import ASIDE, Stream, planted_stream
from superposition.features import PLANTED
from superposition.plot.zoo import dots
from superposition.sae import ARCHITECTURES, SAE
from superposition.training import Controller, SAERun, Trained, fit
from superposition.training.optimizer import Adam

NAMES = {"matryoshka": "Matryoshka", "batch-topk": "BatchTopK", "topk": "TopK", "jumprelu": "JumpReLU",
         "gated": "Gated", "relu": "ReLU + L1", "bricken": "Bricken", "matching-pursuit": "Matching pursuit"}  # fmt: skip
METRICS = {"f1": "$F_1$", "mcc": "MCC", "ev": "Explained variance", "uniqueness": "Uniqueness", "l0": "$L_0$",
           "dead": "Dead latents"}  # fmt: skip
PAPER = {  # at L0 = 25: F1, MCC, explained variance, uniqueness
    "batch-topk": (0.732, 0.757, 0.792, 0.984),
    "matryoshka": (0.879, 0.793, 0.779, 0.999),
    "jumprelu": (0.732, 0.753, 0.795, 0.989),
    "relu": (0.556, 0.604, 0.765, 0.898),
    "matching-pursuit": (0.446, 0.693, 0.835, 0.828),
}
# In a short run thresholds and the controller have to move faster than their defaults, made for a long one.
JUMPRELU: dict[str, Any] = {"penalty": 1.5, "threshold": 1.0, "bandwidth": 2.0}
CONTROLLER = Controller(rate=0.006, window=25.0, lookahead=8.0)
FRESH = ASIDE + 2**20  # steps neither trained on nor used for starting values


@dataclass(frozen=True)
class Config:
    """The world's size, the SAEs', and training."""

    architectures: tuple[str, ...] = tuple(NAMES)
    n_features: int = 1024
    d_in: int = 256
    d_sae: int = 256
    l0: int = 6
    seeds: int = 3
    steps: int = 2_500
    batch_size: int = 256
    learning_rate: float = 3e-3
    examples: int = 65_536

    def __post_init__(self) -> None:
        validate.integer("d_sae", self.d_sae, 32)  # the narrowest of Matryoshka's is a 32nd of it
        validate.integer("seeds", self.seeds, 2)  # intervals are of their spread

    @classmethod
    def quick(cls) -> "Config":
        """A small version: structure, not science."""
        return cls(
            ("matryoshka", "relu", "matching-pursuit"),
            n_features=128,
            d_in=32,
            d_sae=32,
            l0=2,
            seeds=2,
            steps=20,
            batch_size=32,
            examples=256,
        )


def run(config: Config) -> Result:
    """Train and evaluate every architecture; order them."""
    world = PLANTED["synth-sae-bench"].scaled(n_features=config.n_features, d_in=config.d_in)
    stream = planted_stream(jax.random.key(1), world)
    with ThreadPoolExecutor(2) as pool:  # small programs: two on a core each beat one on two
        values = np.array(
            list(
                pool.map(
                    lambda name: _scores(config, stream, _trained(config, stream, name)), config.architectures
                )
            )
        )
    f1, ev = (
        {n: v[:, i] for n, v in zip(config.architectures, values, strict=True) if n in PAPER} for i in (0, 2)
    )
    claims = [
        _first(f1, "matryoshka", "Matryoshka has the best F1", 0, best=True),
        _first(ev, "matching-pursuit", "matching pursuit explains the most variance", 2, best=True),
        _first(
            f1,
            "matching-pursuit",
            "matching pursuit has the worst F1, best reconstruction or not",
            0,
            best=False,
            expected=False,
        ),
        _behind(f1),
    ]
    return Result(config, claims, arrays={"values": values}, numbers={"mean_l0": values[:, :, 4].mean(1)})


def _architecture(config: Config, name: str) -> SAE:
    d_sae, special = config.d_sae, dict[str, Any]()
    if name in ("topk", "batch-topk", "matryoshka"):
        special = {"k": config.l0, "dead_after": 200 * config.batch_size}
    if name == "matryoshka":
        special["prefixes"] = tuple(d_sae // part for part in (32, 8, 2, 1))
    elif name == "matching-pursuit":
        special = {"max_iterations": config.l0, "residual_threshold": 0.0}
    elif name == "jumprelu":
        special = JUMPRELU
    elif name in ("relu", "gated"):
        special = {"penalty": 1.7}
    elif name == "bricken":  # four resamplings in the first half, as many examples each as one had so far
        every = max(1, config.steps // 8)
        special = {"penalty": 1.7, "resample_every": every, "resample_inputs": 8 * config.batch_size,
                   "dead_after": every * config.batch_size // 2}  # fmt: skip
    return ARCHITECTURES[name](d_in=config.d_in, d_sae=d_sae, **special)


def _trained(config: Config, stream: Stream, name: str) -> list[Trained]:
    run = SAERun(
        _architecture(config, name),
        Adam(config.learning_rate),
        steps=config.steps,
        batch_size=config.batch_size,
    )
    if run.sae.penalised:
        run = replace(run, l0_target=config.l0, controller=CONTROLLER)
    return fit(run, stream, {"seed": range(config.seeds)})


@partial(jax.jit, static_argnums=(0, 1, 5))
def _sums(sae: SAE, source: Any, inputs: Any, params: Any, step: Any, size: int) -> metrics.Sums:
    batch = source.batch(inputs, step, size)

    def one(weights: Any, match: Any) -> metrics.Sums:
        latents, x_hat = sae.reconstruct(weights, batch.x)
        return metrics.accumulate(batch.x, x_hat, latents, batch.features, match)

    return jax.vmap(one)(*params)


def _scores(config: Config, stream: Stream, trained: list[Trained]) -> np.ndarray:
    """(seed, metric) on fresh examples."""
    assert stream.dictionary is not None
    decoders = [t.params["W_dec"] for t in trained]
    matches = np.array([metrics.nearest(W, stream.dictionary) for W in decoders])
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *(t.params for t in trained))
    size = min(2048, config.examples)
    parts = [
        jax.tree.map(np.asarray, _sums(trained[0].sae, stream.source, stream.inputs, (stacked, matches),
                                       np.uint32(FRESH + i), size))
        for i in range(config.examples // size)
    ]  # fmt: skip
    rows = []
    for i, W in enumerate(decoders):
        sums = jax.tree.map(lambda leaf, i=i: leaf[i], parts[0])
        for part in parts[1:]:
            sums = metrics.add(sums, jax.tree.map(lambda leaf, i=i: leaf[i], part))
        quality, detected = metrics.reconstruction_from(sums), metrics.classify_from(sums)
        rows.append((detected.f1, metrics.mcc(W, stream.dictionary), quality.explained_variance,
                     metrics.uniqueness(W, stream.dictionary), quality.l0, quality.dead_fraction))  # fmt: skip
    return np.array(rows)


def above(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether the mean of a exceeds that of b by more than the seeds' spread (Welch's t, 95 %, two-sided)."""
    if max(a.std(), b.std()) < 1e-6:  # no spread to measure by
        return bool(a.mean() > b.mean())
    return bool(stats.ttest_ind(a, b, equal_var=False, alternative="greater").pvalue < 0.025)


def spread(values: np.ndarray) -> str:
    """Mean +- half of the 95 % confidence interval."""
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
    return f"{values.mean():.3f} +- {half:.3f}"


def _listed(values: dict[str, np.ndarray]) -> str:
    ordered = sorted(values, key=lambda n: -values[n].mean())
    return "; ".join(f"{NAMES[n]} {spread(values[n])}" for n in ordered)


def _first(
    values: dict[str, np.ndarray], name: str, text: str, column: int, *, best: bool, expected: bool = True
) -> Claim:
    others = [v for n, v in values.items() if n != name]
    holds = all(above(values[name], v) if best else above(v, values[name]) for v in others)
    paper = "; ".join(
        f"{NAMES[n]} {PAPER[n][column]:.3f}" for n in sorted(PAPER, key=lambda n: -PAPER[n][column])
    )
    return Claim("SynthSAEBench", text, paper, _listed(values), holds, expected)


def _behind(f1: dict[str, np.ndarray]) -> Claim:
    rivals = [n for n in ("batch-topk", "jumprelu") if n in f1]
    return Claim(
        "SynthSAEBench",
        "an L1 penalty detects features worse than BatchTopK and JumpReLU (F1)",
        "0.556 against 0.732 and 0.732",
        _listed({n: f1[n] for n in ("relu", *rivals)}),
        all(above(f1[n], f1["relu"]) for n in rivals),
    )


def draw(result: Result) -> Figure:
    """A panel a metric, a row an architecture: seeds, their mean and interval, the published value."""
    names = result.config.architectures
    published = np.full((len(names), len(METRICS)), np.nan)
    for i, name in enumerate(names):
        published[i, :4] = PAPER.get(name, np.nan)
    return dots(result.arrays["values"], [NAMES[n] for n in names], list(METRICS.values()), published)


def alt(result: Result) -> str:
    """Alt text from the numbers."""
    f1, ev = result.arrays["values"].mean(1)[:, [0, 2]].T
    names = [NAMES[n] for n in result.config.architectures]
    parts = [f"{n} {a:.2f}, {b:.2f}" for n, a, b in zip(names, f1, ev, strict=True)]
    return f"Dot plots of SAE architectures at equal L0; mean F1 and explained variance: {'; '.join(parts)}."


if __name__ == "__main__":
    main(__name__)
