"""The claims of `sae_zoo`, each held against what was measured."""

import numpy as np

from experiments.autoencoders.sae_zoo.config import PAPER
from experiments.lab.architectures import NAMES
from experiments.lab.claim import Claim, Source
from experiments.lab.seeds import above, spread


def _listed(values: dict[str, np.ndarray]) -> str:
    ordered = sorted(values, key=lambda n: -values[n].mean())
    return "; ".join(f"{NAMES[n]} {spread(values[n])}" for n in ordered)


def first_claim(values: dict[str, np.ndarray], name: str, text: str, column: int, *, best: bool) -> Claim:
    """One architecture has the best, or the worst, value in a column of the benchmark."""
    others = [v for n, v in values.items() if n != name]
    ahead = [above(values[name], v) if best else above(v, values[name]) for v in others]
    paper = "; ".join(
        f"{NAMES[n]} {PAPER[n][column]:.3f}" for n in sorted(PAPER, key=lambda n: -PAPER[n][column])
    )
    return Claim(
        "SynthSAEBench",
        text,
        paper,
        _listed(values),
        ahead,
        source=Source.PAPER,
    )


def behind_claim(f1: dict[str, np.ndarray]) -> Claim:
    """An L1 penalty detects features worse than BatchTopK and JumpReLU do."""
    rivals = [n for n in ("batch-topk", "jumprelu") if n in f1]
    return Claim(
        "SynthSAEBench",
        "an L1 penalty detects features worse than BatchTopK and JumpReLU (F1)",
        "0.556 against 0.732 and 0.732",
        _listed({n: f1[n] for n in ("relu", *rivals)}),
        [above(f1[n], f1["relu"]) for n in rivals],
        source=Source.PAPER,
    )
