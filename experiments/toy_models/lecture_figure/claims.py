"""The claims of `lecture_figure`, each held against what was measured."""

import numpy as np

from experiments.lab.claim import Claim, Source, less_than, more_than
from experiments.toy_models.lecture_figure.config import Config
from superposition import geometry

PAPER_DEDICATED = (5, 3, 1, 0, 0, 0, 0)


def relu_claims(config: Config, found: dict[str, np.ndarray]) -> list[Claim]:
    """What the ReLU model represents, and how it is arranged, from dense features to sparse ones."""
    W, b = found["relu_W"], found["relu_b"]
    norms, interference = geometry.norms(W), geometry.interference(W)
    dense, m = config.densities.index(1.0), config.n_hidden
    kept = norms[dense] > 0.5
    bias = b[dense][~kept]
    top = bool(kept[:m].all() and not kept[m:].any())
    dedicated = [int(((norms[k] > 0.5) & (interference[k] < 0.1)).sum()) for k in range(len(W))]
    paired = config.densities.index(0.1)
    pairs = geometry.antipodal_pairs(W[paired], threshold=-0.95)
    sparse = config.densities.index(0.01)
    gram = geometry.gram(W)
    off = gram - gram * np.eye(config.n_features)
    represented = (norms[..., None] > 0.5) & (norms[:, None, :] > 0.5)
    positive = np.where(represented, off, 0).max((1, 2))
    lowest = b.min(1)
    return [
        Claim(
            "F2",
            "in the dense regime the ReLU model also keeps the top m, and predicts the mean of the rest",
            "top 5; b = E x = 0.5 on the rest",
            f"top {m}: {'yes' if top else 'no'}; "
            + (f"b = {bias.min():.3f} to {bias.max():.3f}" if bias.size else "none left out"),
            (top, less_than(np.abs(bias - 0.5).max(), 0.03)),
            source=Source.PAPER,
        ),
        Claim(
            "F2",
            "the most important features are the last to share a dimension (dedicated: norm > 1/2, interference < 0.1; within 1)",
            ", ".join(map(str, PAPER_DEDICATED)),
            ", ".join(map(str, dedicated)),
            all(abs(a - c) <= 1 for a, c in zip(dedicated, PAPER_DEDICATED, strict=True)),
            source=Source.PAPER,
        ),
        Claim(
            "F2",
            "early superposition is organised in antipodal pairs (1-S = 0.1: cosine < -0.95)",
            "4 pairs and feature 0 alone",
            f"{len(pairs)} pairs {pairs}; {dedicated[paired]} dedicated",
            len(pairs) == 4 and dedicated[paired] == 1,
            source=Source.PAPER,
        ),
        Claim(
            "F2",
            "positive interference and negative biases appear in the high sparsity regime only (1-S <= 0.01)",
            "none at 1-S = 0.1; both at 0.01 and below",
            f"at 0.1: max W_i.W_j = {positive[paired]:.2f}, min b = {lowest[paired]:.2f}; "
            f"at 0.01: {positive[sparse]:.2f}, {lowest[sparse]:.2f}",
            (
                less_than(positive[paired], 0.1),
                more_than(lowest[paired], -0.05),
                bool((positive[sparse:] > 0.1).all()),
                bool((lowest[sparse:] < -0.05).all()),
            ),
            source=Source.PAPER,
        ),
    ]
