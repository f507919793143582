"""The claims of `sharkey`, each held against what was measured."""

import numpy as np
from scipy.stats import spearmanr

from experiments.autoencoders.sharkey.config import BAR, Config
from experiments.lab.claim import Claim, Source, at_least, at_most, less_than, more_than

WORK = "Sharkey 2022"


def full_claim(config: Config, mmcs: list[float]) -> Claim:
    """The band of penalties with a high MMCS exists at the post's own size."""
    penalties = 10.0 ** (np.array(config.full_penalty_steps) / 4)
    reached = ", ".join(f"{m:.3f} at {p:.2g}" for m, p in zip(mmcs, penalties, strict=True))
    return Claim(
        WORK,
        f"at the post's own size, 512 features in 256 dimensions, with 1,024 latents: a band with MMCS > {BAR}",
        "MMCS close to 1 in a band",
        f"{reached}",
        at_least(sum(m > BAR for m in mmcs), 2),
        source=Source.PAPER,
    )


def all_claims(arrays: dict[str, np.ndarray], n: int) -> list[Claim]:
    """MMCS over the whole map of penalties and widths, and what can be told without the truth."""
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
            at_least(len(band), 2),
            source=Source.PAPER,
        ),
        Claim(
            WORK,
            "it falls at the wrong penalty and with fewer latents than features",
            "band with edges",
            f"{ends:.2f} at the better end of the penalties, at most {under:.2f} below the true width",
            (less_than(ends, mmcs.max() - 0.1), less_than(under, mmcs.max() - 0.1)),
            source=Source.PAPER,
        ),
        Claim(
            WORK,
            f"with as many latents as features the true dictionary is found as well (MMCS > {BAR})",
            "the band begins at the true width",
            f"largest MMCS {mmcs[widths == n].max(initial=0):.3f} at width {n}",
            bool((mmcs[widths == n] > BAR).any()),
            source=Source.PAPER,
        ),
        Claim(
            WORK,
            "dead latents tell the true number: none up to the true width, the surplus beyond it (within 10 %)",
            f"living latents = {n} in wider dictionaries",
            f"{int(spared.max(initial=0))} dead up to width {n}; {at_best} of {widths[best[0]]} alive at the best penalty",
            (spared.max(initial=0) == 0, at_most(abs(at_best - n), 0.1 * n)),
            source=Source.READING,
        ),
        Claim(
            WORK,
            "without the truth, similarity to the next larger dictionary tells where all features are found",
            "the two MMCS maps look alike",
            f"rank correlation with the first map {_ranks(larger, mmcs[:-1]):.2f} over {larger.size} dictionaries",
            more_than(_ranks(larger, mmcs[:-1]), 0.8),
            source=Source.READING,
        ),
        Claim(
            WORK,
            "what it does tell is how far the latents of a dictionary are features, however few they are",
            "(our reading)",
            f"rank correlation with MMCS of latents with the truth {_ranks(larger, real):.2f}",
            more_than(_ranks(larger, real), 0.8),
            source=Source.RESTATED,
            restates="without the truth, similarity",
        ),
    ]


def _ranks(a: np.ndarray, b: np.ndarray) -> float:
    return float(spearmanr(a.ravel(), b.ravel()).statistic)


def _span(penalties: np.ndarray) -> str:
    return f"penalties {penalties[0]:.2g} to {penalties[-1]:.2g}" if len(penalties) else "no penalty"
