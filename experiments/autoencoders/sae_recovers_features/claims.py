"""The claims of `sae_recovers_features`, each held against what was measured."""

import numpy as np

from experiments.autoencoders.sae_recovers_features.config import BASELINES, FOUND, REPRESENTED, Config
from experiments.lab.claim import Claim, Source, at_least, at_most, more_than

WORK = "Bricken 2023"


def claims(
    best: dict[str, np.ndarray], norms: np.ndarray, config: Config, l0: dict[str, float]
) -> list[Claim]:
    """SAEs find the represented features; PCA, ICA and random directions find clearly fewer."""
    kept = norms > REPRESENTED
    # By the seed that finds fewest: an architecture has found a feature when every seed has.
    hits = {name: (values > FOUND).all(0) & kept for name, values in best.items()}
    counts = {name: int(found.sum()) for name, found in hits.items()}
    by = sum(hits[name].astype(int) for name in config.architectures)
    total, least = int(kept.sum()), int(np.asarray(by)[kept].min(initial=99))
    words = ", ".join(f"{name} {counts[name]}" for name in config.architectures)
    return [
        Claim(
            WORK,
            "every feature the model represents (norm > 1/2, density <= 0.05) is found by two architectures or more",
            "sparse autoencoders take features out of superposition",
            f"{total} features in {config.n_hidden} dimensions, each found by {least} or more; in every seed: {words}",
            (at_least(least, 2), at_most(config.density, 0.05), more_than(total, config.n_hidden)),
            source=Source.READING,
        ),
        Claim(
            WORK,
            "methods that return at most as many directions as dimensions find clearly fewer (half, or less)",
            "PCA and the like cannot find more features than dimensions",
            ", ".join(f"{name} {counts[name]}" for name in BASELINES if name != "random") + f" of {total}",
            at_most(max(counts[name] for name in ("ica", "pca", "identity")), total / 2),
            source=Source.READING,
        ),
        Claim(
            WORK,
            "as many random directions as latents find clearly fewer (half, or less)",
            "(our measurement)",
            f"random {counts['random']} of {total}",
            at_most(counts["random"], total / 2),
        ),
        Claim(
            WORK,
            f"at an L0 of {min(l0.values()):.1f} to {max(l0.values()):.1f} every architecture finds every represented feature",
            "(our measurement)",
            words,
            all(counts[name] == total for name in config.architectures),
        ),
    ]
