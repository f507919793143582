"""The claims of `l1_penalty`, each held against what was measured."""

from typing import Any

import numpy as np

from experiments.lab.claim import Claim, Source, less_than, more_than
from experiments.toy_models.l1_penalty.config import THRESHOLD, Config
from superposition import geometry

SOURCE = "Elhage 2022, discussion"


def _listed(config: Config, values: Any, form: str) -> str:
    return ", ".join(f"{p:.3g}: {v:{form}}" for p, v in zip(config.penalties(), values, strict=True))


def removed_claim(config: Config, interference: np.ndarray, there: np.ndarray, found: list[str]) -> Claim:
    """Where as many features as dimensions, or fewer, are above the threshold."""
    worst = np.where(there, interference, 0).max(1)
    strong = np.array([np.inf, *config.left]) <= config.n_hidden
    return Claim(
        SOURCE,
        f"a penalty that leaves {config.n_hidden} features or fewer removes superposition (interference < 0.01 of every "
        "feature represented; without a penalty > 0.5)",
        "it is quite easy to get rid of superposition in toy models",
        f"largest interference at lambda = {_listed(config, worst, '.4f')}; {'; '.join(found)}",
        (more_than(worst[0], 0.5), less_than(worst[strong].max(initial=0), 0.01), bool(there.any(1).all())),
        source=Source.PAPER,
    )


def costs_claim(config: Config, loss: np.ndarray) -> Claim:
    """A larger penalty costs a higher loss."""
    return Claim(
        SOURCE,
        "at the cost of a higher loss, the higher the larger the penalty (exact loss, penalty left out)",
        "at the cost of a higher loss",
        f"times the unpenalised model's, at lambda = {_listed(config, loss / loss[0], '.2f')}",
        bool((np.diff(loss) > 0).all()),
        source=Source.PAPER,
    )


def threshold_claim(config: Config, there: np.ndarray) -> Claim:
    """The penalty removes the features whose importance is below a threshold in closed form."""
    kept = [set(np.flatnonzero(row).tolist()) for row in there[1:]]
    above = [set(range(k)) for k in config.left]
    few = [len(own) <= config.n_hidden for own in above]
    return Claim(
        SOURCE,
        f"it kills features below a threshold of importance: none with I < {THRESHOLD:.3f} lambda, the closed form for "
        f"one feature active, is kept (norm > 1/2), and all above it where they are {config.n_hidden} or fewer",
        "in terms of killing features below a certain importance threshold; no number",
        "; ".join(
            f"lambda {p:.3g}: {len(own & all_)} of {len(all_)} above it, {len(own - all_)} below"
            for p, own, all_ in zip(config.penalties()[1:], kept, above, strict=True)
        ),
        all(own <= all_ and (own == all_ or not f) for own, all_, f in zip(kept, above, few, strict=True)),
        source=Source.READING,
    )


def lengths_claim(lengths: np.ndarray, expected: np.ndarray, there: np.ndarray) -> Claim:
    """A feature that is kept has the length it would have alone."""
    off = np.abs(lengths - expected)[1:][there[1:] & (expected[1:] > 0)]
    return Claim(
        "this lab",
        "a feature that is kept is as long as one alone would be, 4 w (1 - w^2) = 3 lambda / (2 I) (within 0.05)",
        "not in the paper",
        f"{len(off)} features; largest difference {off.max(initial=0):.3f}, median {np.median(off) if len(off) else 0:.3f}",
        bool(len(off) and off.max() < 0.05),
    )


def along_axes_claim(aligned: np.ndarray, there: np.ndarray) -> Claim:
    """Kept features lie along the axes of the hidden layer."""
    with_penalty = aligned[1:][there[1:]]
    without = aligned[0][there[0]]
    return Claim(
        SOURCE,
        "what is kept lies along the axes of the hidden layer (|cos| > 0.98 with one), which nothing asks for without "
        "the penalty",
        "especially if they're not basis aligned",
        f"least |cos| with the nearest axis {with_penalty.min(initial=1):.3f} of {len(with_penalty)} features; without a "
        f"penalty {without.min(initial=1):.2f}",
        bool(len(with_penalty) and with_penalty.min() > 0.98 and without.min(initial=1) < 0.9),
        source=Source.READING,
    )


def pairs_claim(config: Config, W: np.ndarray, there: np.ndarray, found: list[str]) -> Claim:
    """Antipodal features on one axis cost each other nothing while one feature is active."""
    m, words, holds = config.n_hidden, [], []
    for k, w, kept, name in zip(config.left, W[1:], there[1:], found[1:], strict=True):
        if m < k <= 2 * m:
            lost = int(kept.sum()) - m
            paired = len(geometry.antipodal_pairs(w[:, kept], threshold=-0.98))
            words.append(f"{int(kept.sum())} kept: {name}")
            holds.append(paired == lost > 0)
    return Claim(
        "this lab",
        f"it does not remove antipodal pairs: as many axes are shared by two as there are features kept beyond {m}",
        "not in the paper",
        "; ".join(words) or "not tried",
        bool(holds) and all(holds),
    )


def stuck_claim(config: Config, excess: np.ndarray) -> Claim:
    """At 0 the penalty is of first order in a feature's length, the gain of second."""
    many = np.array(config.left) > config.n_hidden
    words = ", ".join(f"{100 * e:.2f} % for {k}" for e, k in zip(excess, config.left, strict=True))
    return Claim(
        "this lab",
        f"the features missing where more than {config.n_hidden} are above the threshold are training's failure, 0 being a "
        "minimum for each of them: all above it along axes, in pairs, cost over 1 % less; elsewhere training is within 1 %",
        "not in the paper",
        f"penalised loss of the best seed above that by hand, by features above the threshold: {words}",
        bool(many.any() and excess[many].min() > 0.01 and np.abs(excess[~many]).max(initial=0) < 0.01),
    )
