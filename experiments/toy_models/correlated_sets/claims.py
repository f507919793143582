"""The claims of `correlated_sets`, each held against what was measured."""

import numpy as np

from experiments.lab.claim import Claim, Source
from experiments.toy_models.correlated_sets.config import HEXAGON
from experiments.toy_models.shared.sets import Found, partners
from superposition import geometry

COLLAPSED = 0.98
FAILURE = 0.07  # density at which the exact minimum of three correlated pairs gets a collapsed one


def claims(what: str, paper: str, f: Found, good: object) -> list[Claim]:
    """In four of five seeds, in the best seed and in the exact minimum, at every density."""
    assert callable(good)
    seeds = good(partners(f.W)).all(-1).mean(1)
    best, exact = good(partners(f.best())).all(-1), good(partners(f.exact.W)).all(-1)
    cosines = partners(f.exact.W)
    return [
        Claim(
            "F11",
            f"{what}, at the exact minimum and in the best seed",
            paper,
            f"cosines {np.nanmin(cosines):.3f} to {np.nanmax(cosines):.3f} at the exact minimum; best seed "
            f"{int(best.sum())} of {len(best)} densities, {_above(f)}",
            bool(best.all() and exact.all()),
            source=Source.RESTATED,
            restates=f"{what}, in at least 80 %",
        ),
        Claim(
            "F11",
            f"{what}, in at least 80 % of seeds at every density",
            paper,
            f"{_shares(f, seeds)}",
            bool((seeds >= 0.8).all()),
            source=Source.READING,
        ),
    ]


def _above(f: Found) -> str:
    """How far training is from the exact minimum."""
    excess = f.excess()
    return (
        f"its loss at most {100 * excess.min(1).max():.4f} % of E|x|^2 above it (median seed "
        f"{100 * np.median(excess):.3f} %)"
    )


def _shares(f: Found, share: np.ndarray) -> str:
    return ", ".join(f"{100 * s:.0f} % at {p:g}" for s, p in zip(share, f.density, strict=True))


def hexagon_claims(f: Found) -> list[Claim]:
    """Three correlated pairs make a hexagon with partners side by side, and sometimes a pair collapses."""
    sparse = f.density <= HEXAGON
    cosines, whole = partners(f.exact.W), _side_by_side(f.exact.W)
    angle = np.degrees(np.arccos(np.clip(cosines[sparse], -1, 1)))
    seeds, best = _side_by_side(f.W).mean(1), _side_by_side(f.best())
    never = (~(partners(f.W) < -0.5).any(-1)).mean(1)
    never_best = ~(partners(np.stack([f.exact.W, f.best()])) < -0.5).any()
    return [
        Claim(
            "F11",
            f"three correlated pairs make a hexagon, partners side by side (60 +- 10 degrees), at densities up to "
            f"{HEXAGON:g}: the exact minimum and the best seed",
            "partners side by side",
            f"partners {angle.min():.1f} to {angle.max():.1f} degrees apart; best seed "
            f"{int(best[sparse].sum())} of {int(sparse.sum())} densities, {_above(f)}",
            bool(whole[sparse].all() and best[sparse].all()),
            source=Source.RESTATED,
            restates="the same in at least 80 %",
        ),
        Claim(
            "F11",
            f"the same in at least 80 % of seeds at every density up to {HEXAGON:g}",
            "partners side by side",
            _shares(f, seeds),
            bool((seeds[sparse] >= 0.8).all()),
            source=Source.READING,
        ),
        Claim(
            "F11",
            "partners are never opposite (cos < -0.5): the exact minimum, the best seed, and at least 80 % of seeds at "
            "every density",
            "side by side, not opposite",
            f"exact minima and best seeds: {'none' if never_best else 'some'} opposite; seeds without: "
            + _shares(f, never),
            bool(never_best and (never >= 0.8).all()),
            source=Source.PAPER,
        ),
        *_collapse_claims(f),
    ]


def _collapse_claims(f: Found) -> list[Claim]:
    """Two reasons why a pair collapses: below a density of about 0.07 training fails, above it the optimum has it."""
    collapsed = (partners(f.exact.W) > COLLAPSED).sum(-1)
    by_seed = (partners(f.W) > COLLAPSED).any(-1).mean(1)
    low, high = f.density < FAILURE, f.density >= FAILURE
    said = "collapsed pairs at the exact minimum " + ", ".join(
        f"{c} at {p:g}" for c, p in zip(collapsed, f.density, strict=True)
    )
    return [
        Claim(
            "F11",
            f"sometimes a pair collapses into one direction (cos > {COLLAPSED}) though the optimum has none: a failure of "
            f"optimisation, at densities below {FAILURE:g}",
            "sometimes collapsed; optimisation is hard",
            f"{said}; seeds with one {_shares(f, by_seed)}",
            bool((collapsed[low] == 0).all() and (by_seed[low] > 0).any()),
            source=Source.PAPER,
        ),
        Claim(
            "F11",
            f"from a density of {FAILURE:g} on a collapsed pair is no failure: the exact minimum has one",
            "not told apart",
            said,
            bool((collapsed[high] > 0).all() and high.any()),
        ),
    ]


def _side_by_side(W: np.ndarray) -> np.ndarray:
    """Whether all six are there and every pair is 50 to 70 degrees apart, (...)."""
    angle = np.degrees(np.arccos(np.clip(partners(W), -1, 1)))
    there = (geometry.norms(W) > 0.5).all(-1)
    return np.asarray(there & (np.abs(angle - 60) <= 10).all(-1))
