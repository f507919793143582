"""The claims of `basins`, each held against what was measured."""

from collections import Counter

import numpy as np

from experiments.lab.claim import Claim, Source, at_least, at_most, less_than
from experiments.toy_models.basins.config import Config
from superposition.theory.best_of import binomial_interval, models_needed, success


def claims(
    config: Config,
    density: np.ndarray,
    good: np.ndarray,
    pentagon: np.ndarray,
    arrays: dict[str, np.ndarray],
    levels: list[dict[int, float]],
    loss: np.ndarray,
    names: list[list[str]],
    others: list[tuple[str, float]],
) -> list[Claim]:
    """How often seeds find the best end state, how many it takes, and whether the most frequent one is best."""
    sparse = density <= 0.05
    share = pentagon.mean(1)
    five = success(1 - share, 5)  # at least one of five is no pentagon
    low, high = binomial_interval(pentagon.sum(1), pentagon.shape[1])
    best = good.mean(1)
    needed = np.array([models_needed(float(b)) for b in best])
    hardest = int(best.argmin())
    common = [Counter(row).most_common(1)[0][0] for row in names]
    agree = np.array([c == o for c, o in zip(common, arrays["optimum"], strict=True)])
    at_level = [loss[d][pentagon[d]] / levels[d][5] - 1 for d in range(len(density)) if pentagon[d].any()]
    off = float(np.median(np.concatenate(at_level))) if at_level else float("inf")
    below = density < float(arrays["crossing"])
    ten = success(best, 10)

    def each(values: np.ndarray, digits: int, where: np.ndarray) -> str:
        return ", ".join(
            f"{p:.3g}: {v:.{digits}f}" for p, v in zip(density[where], values[where], strict=True)
        )

    return [
        Claim(
            "sardines-mlp",
            "n=5, m=2: a pentagon in all five seeds once 1-S <= 0.05 (chance of five in five at least 95 % at every density)",
            "pentagon in all five seeds once 1-S <= 0.05",
            f"chance of five in five by density: {each(1 - five, 3, sparse)}; one seed, with 95 % intervals: "
            + "; ".join(
                f"{p:.3g}: {s:.3f} [{a:.3f}, {b:.3f}]"
                for p, s, a, b in zip(density[sparse], share[sparse], low[sparse], high[sparse], strict=True)
            ),
            bool((1 - five[sparse] >= 0.95).all()),
            source=Source.PAPER,
        ),
        Claim(
            "this lab",
            "n=5, m=2: a pentagon in at least 85 % of seeds once 1-S <= 0.05, and most often near 1-S = 0.05, not at the "
            "sparsest",
            "not asked",
            f"least {share[sparse].min():.3f}; largest {share.max():.3f} at 1-S = {density[share.argmax()]:.3g}",
            (at_least(share[sparse].min(), 0.85), share.argmax() != len(share) - 1),
            source=Source.RESTATED,
            restates="n=5, m=2: a pentagon in all five seeds",
        ),
        Claim(
            "this lab",
            "n=5, m=2: a few seeds find the best loss known: ten, as many as the paper trains in its phase diagram, come "
            "within 1 % of it with 95 % chance at every density",
            "the best of several fits is kept; how many it takes is not stated",
            f"share of seeds within 1 %: {each(best, 3, best >= 0)}; chance in ten at the hardest, 1-S = {density[hardest]:.3g}: "
            f"{ten[hardest]:.4f}; seeds needed for 95 %: {', '.join(f'{k:g}' for k in needed)}",
            bool((ten >= 0.95).all()),
        ),
        Claim(
            "this lab",
            "n=5, m=2: the end state most seeds find is the best one, at every density",
            "not asked",
            f"at {int(agree.sum())} of {len(agree)} densities; not at "
            + (
                "; ".join(
                    f"{density[d]:.3g}: best {arrays['optimum'][d]}, most often {common[d]}"
                    for d in np.flatnonzero(~agree)
                )
                or "none"
            ),
            bool(agree.all()),
        ),
        Claim(
            "this lab",
            "n=5, m=2: the pentagon is the best state from where its exact loss falls below two digons'",
            "below some sparsity pentagons appear",
            f"levels cross at 1-S = {float(arrays['crossing']):.4f}; best by density: "
            + ", ".join(f"{p:.3g}: {o}" for p, o in zip(density, arrays["optimum"], strict=True)),
            bool(
                (arrays["optimum"][below] == "pentagon").all()
                and (arrays["optimum"][~below] != "pentagon").all()
            ),
        ),
        Claim(
            "this lab",
            "n=5, m=2: pentagons found are the regular pentagon of least exact loss (median within 1 % of it)",
            "not asked",
            f"median {100 * off:.3f} % above it, all densities",
            less_than(abs(off), 0.01),
        ),
        Claim(
            "this lab",
            "other sizes: ten seeds come within 1 % of the least loss of all with 95 % chance",
            "the best of several fits is kept; how many it takes is not stated",
            f"not so: {'; '.join(f'{line}, {k:g} needed' for line, k in others if k > 10) or 'none'}",
            all(k <= 10 for _, k in others),
        ),
        Claim(
            "this lab",
            "other sizes: twenty seeds do",
            "not asked",
            "; ".join(f"{line}, {k:g} needed" for line, k in others),
            all(k <= 20 for _, k in others),
            source=Source.RESTATED,
            restates="other sizes: ten seeds",
        ),
    ]


def hexagon_claim(densities: tuple[float, ...], loss: np.ndarray, names: list[list[str]]) -> Claim:
    """Six independent features in a plane: how often seeds end as a hexagon, and where it is the least loss."""
    found = np.array([[name == "hexagon" for name in row] for row in names])
    share, worst = found.mean(1), int(found.mean(1).argmax())
    low, high = (float(end[worst]) for end in binomial_interval(found.sum(1), found.shape[1]))
    best = [p for p, row, hexagon in zip(densities, loss, found, strict=True) if hexagon[row.argmin()]]
    return Claim(
        "F11",
        "models will not embed 6 independent features as a hexagon (n=6, m=2: no seed at any density)",
        "models will not embed 6 independent features as a hexagon",
        f"hexagons {', '.join(f'{100 * s:.1f} % at {p:g}' for p, s in zip(densities, share, strict=True))}; at "
        f"{densities[worst]:g} 95 % interval {100 * low:.1f} to {100 * high:.1f} %; the least loss of all seeds is a hexagon "
        f"at {', '.join(f'{p:g}' for p in best) or 'no density'}",
        at_most(share[worst], 0, interval=(low, high)),
        source=Source.PAPER,
    )
