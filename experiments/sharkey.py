"""An autoencoder with an L1 penalty takes features out of superposition: MMCS over penalty and width.

Sharkey, Braun and Millidge 2022: 512 features in 256 dimensions, decay 0.99, 5 active. The band is shown at
that size, at twice the true width (2,500 steps of 1,024 examples, Adam 2e-3); the whole map at a quarter of
it in every direction (128 in 64, decay 0.99^4, 1.25 active: the same firing rates; 4,000 steps of 256, 3e-3).
They had 1e-3 and batches of 4,096. Their autoencoder: untied, bias in the encoder, unit decoder rows, L1
(architecture "bricken", never resampled).

Command:  python -m experiments.sharkey
Time:     three minutes on two cores
Expect:   MMCS above 0.97 in a band of penalties at twice the true width, below 0.7 under the true width
"""

import itertools
from dataclasses import dataclass

import jax
import numpy as np
from matplotlib.figure import Figure
from scipy.stats import spearmanr

from experiments._base import Claim, Result, main
from superposition import metrics, plot
from superposition.activations import Stream, planted_stream
from superposition.features import PLANTED
from superposition.sae import Bricken
from superposition.training import SAERun, fit
from superposition.training.optimizer import Adam

FULL = PLANTED["sharkey"]
WORK = "Sharkey 2022"
BAR = 0.97


@dataclass(frozen=True)
class Config:
    """World, grid and training; penalties are 10^(step / 4) for activations of mean norm sqrt(d_in)."""

    scale: int = 4
    ratios: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0)
    penalty_steps: tuple[int, ...] = (-3, -2, -1, 0, 1, 2, 3, 4, 5)
    steps: int = 4_000
    batch_size: int = 256
    learning_rate: float = 3e-3
    full_penalty_steps: tuple[int, ...] = (0, 1, 2)
    full_steps: int = 2_500
    full_batch_size: int = 1024
    full_learning_rate: float = 2e-3
    seed: int = 0

    @classmethod
    def quick(cls) -> "Config":
        """A small version: structure, not science."""
        return cls(
            scale=16, ratios=(2.0, 4.0), penalty_steps=(0, 2), steps=20, batch_size=64, full_penalty_steps=()
        )

    @property
    def penalties(self) -> np.ndarray:
        """L1 penalties, ascending."""
        return 10.0 ** (np.array(self.penalty_steps) / 4)

    @property
    def widths(self) -> list[int]:
        """Dictionary sizes, ascending."""
        return [int(FULL.d_in // self.scale * ratio) for ratio in self.ratios]

    def stream(self) -> Stream:
        """The world: the post's firing rates on fewer features."""
        world = FULL.scaled(
            FULL.n_features // self.scale,
            FULL.d_in // self.scale,
            decay=FULL.decay**self.scale,
            mean_active=FULL.mean_active / self.scale,
        )
        return planted_stream(jax.random.key(self.seed), world)


def run(config: Config) -> Result:
    """Train a row of penalties per width, side by side, and compare dictionaries with the truth and each other."""
    stream = config.stream()
    assert stream.dictionary is not None
    truth = np.asarray(stream.dictionary)
    fresh = stream.sample(16 * 4096).x
    decoders, dead = [], []
    for width in config.widths:
        sae = Bricken(d_in=truth.shape[1], d_sae=width, resample_times=0)
        recipe = SAERun(sae, Adam(config.learning_rate), steps=config.steps, batch_size=config.batch_size)
        found = fit(recipe, stream, {"penalty": config.penalties.tolist()}, seed=config.seed)
        decoders.append([np.asarray(t.params["W_dec"]) for t in found])
        dead.append(
            [int((np.asarray(t.sae.encode(t.params, fresh)) > 0).any(0).__invert__().sum()) for t in found]
        )
    mmcs = np.array([[metrics.mmcs(W, truth) for W in row] for row in decoders])
    of_latents = np.array([[metrics.mmcs(truth, W) for W in row] for row in decoders])
    larger = np.full_like(mmcs, np.nan)  # the widest dictionary has no larger one
    for i, (row, above) in enumerate(itertools.pairwise(decoders)):
        larger[i] = [metrics.mmcs(b, a) for a, b in zip(row, above, strict=True)]
    arrays = {
        "mmcs": mmcs,
        "mmcs_of_latents": of_latents,
        "mmcs_with_larger": larger,
        "dead": np.array(dead),
        "widths": np.array(config.widths),
        "penalties": config.penalties,
    }
    full = _full_size(config)
    claims = [*_claims(arrays, len(truth)), *([_full_claim(config, full)] if full else [])]
    return Result(config, claims, arrays, {"n_features": len(truth), "full_size_mmcs": full})


def _full_size(config: Config) -> list[float]:
    """MMCS at the post's own size, twice as many latents as features, a penalty each."""
    if not config.full_penalty_steps:
        return []
    stream = planted_stream(jax.random.key(config.seed), FULL)
    sae = Bricken(d_in=FULL.d_in, d_sae=2 * FULL.n_features, resample_times=0)
    rate = Adam(config.full_learning_rate)
    recipe = SAERun(sae, rate, steps=config.full_steps, batch_size=config.full_batch_size)
    penalties = (10.0 ** (np.array(config.full_penalty_steps) / 4)).tolist()
    found = fit(recipe, stream, {"penalty": penalties}, seed=config.seed)
    return [float(metrics.mmcs(np.asarray(t.params["W_dec"]), stream.dictionary)) for t in found]


def _full_claim(config: Config, mmcs: list[float]) -> Claim:
    penalties = 10.0 ** (np.array(config.full_penalty_steps) / 4)
    reached = ", ".join(f"{m:.3f} at {p:.2g}" for m, p in zip(mmcs, penalties, strict=True))
    return Claim(
        WORK,
        f"at the post's own size, 512 features in 256 dimensions, with 1,024 latents: a band with MMCS > {BAR}",
        "MMCS close to 1 in a band",
        f"{reached}",
        sum(m > BAR for m in mmcs) >= 2,
    )


def _claims(arrays: dict[str, np.ndarray], n: int) -> list[Claim]:
    mmcs, widths, penalties, dead = (arrays[k] for k in ("mmcs", "widths", "penalties", "dead"))
    wide, narrow = widths > n, widths < n
    best = np.unravel_index(mmcs.argmax(), mmcs.shape)
    top = mmcs[best[0]]
    band = penalties[top > BAR]
    ends = max(top[0], top[-1])
    alive = widths[:, None] - dead
    at_best = alive[best]
    larger, real = arrays["mmcs_with_larger"][:-1], arrays["mmcs_of_latents"][:-1]
    under = float(mmcs[narrow].max()) if narrow.any() else 0.0
    spared = dead[~wide][:, penalties <= penalties[best[1]]]
    return [
        Claim(
            WORK,
            f"an autoencoder with an L1 penalty recovers the true features in a band of penalties (MMCS > {BAR})",
            "MMCS close to 1 in a band",
            f"{_span(band)} at width {widths[best[0]]} ({n} features); largest MMCS {mmcs.max():.3f}",
            len(band) >= 2,
        ),
        Claim(
            WORK,
            "it falls at the wrong penalty and with fewer latents than features",
            "band with edges",
            f"{ends:.2f} at the better end of the penalties, at most {under:.2f} below the true width",
            ends < mmcs.max() - 0.1 and under < mmcs.max() - 0.1,
        ),
        Claim(
            WORK,
            f"with as many latents as features the true dictionary is found as well (MMCS > {BAR})",
            "the band begins at the true width",
            f"largest MMCS {mmcs[widths == n].max(initial=0):.3f} at width {n}",
            bool((mmcs[widths == n] > BAR).any()),
            expected=False,
        ),
        Claim(
            WORK,
            "dead latents tell the true number: none up to the true width, the surplus beyond it (within 10 %)",
            f"living latents = {n} in wider dictionaries",
            f"{int(spared.max(initial=0))} dead up to width {n}; {at_best} of {widths[best[0]]} alive at the best penalty",
            spared.max(initial=0) == 0 and bool(abs(at_best - n) <= 0.1 * n),
            expected=False,
        ),
        Claim(
            WORK,
            "without the truth, similarity to the next larger dictionary tells where all features are found",
            "the two MMCS maps look alike",
            f"rank correlation with the first map {_ranks(larger, mmcs[:-1]):.2f} over {larger.size} dictionaries",
            _ranks(larger, mmcs[:-1]) > 0.8,
            expected=False,
        ),
        Claim(
            WORK,
            "what it does tell is how far the latents of a dictionary are features, however few they are",
            "(our reading)",
            f"rank correlation with MMCS of latents with the truth {_ranks(larger, real):.2f}",
            _ranks(larger, real) > 0.8,
        ),
    ]


def _ranks(a: np.ndarray, b: np.ndarray) -> float:
    return float(spearmanr(a.ravel(), b.ravel()).statistic)


def _span(penalties: np.ndarray) -> str:
    return f"penalties {penalties[0]:.2g} to {penalties[-1]:.2g}" if len(penalties) else "no penalty"


def draw(result: Result) -> Figure:
    """Three maps over penalty and width: MMCS, dead latents, MMCS with the next larger dictionary."""
    a, n = result.arrays, result.numbers["n_features"]
    share = 100 * a["dead"] / a["widths"][:, None]
    rows = [f"{w}" + (f"  (= {n} features)" if w == n else "") for w in a["widths"]]
    columns = [f"{p:.2g}" for p in a["penalties"]]
    return plot.maps(
        [
            plot.Map("Features found: MMCS with the true dictionary", a["mmcs"], "{:.2f}", BAR),
            plot.Map(
                "Without the truth: MMCS of each dictionary with the next larger",
                a["mmcs_with_larger"],
                "{:.2f}",
            ),
            plot.Map("Dead latents, % of the dictionary", share, "{:.0f}", top=100.0),
        ],
        rows,
        columns,
        ylabel="Latents",
        xlabel="L1 penalty",
    )


def alt(result: Result) -> str:
    """Alt text from the numbers."""
    a = result.arrays
    rows = [f"width {w}, largest MMCS {row.max():.2f}" for w, row in zip(a["widths"], a["mmcs"], strict=True)]
    return (
        "Maps over L1 penalty and dictionary width of recovery, agreement and dead latents: "
        + "; ".join(rows)
        + "."
    )


if __name__ == "__main__":
    main(__name__)
