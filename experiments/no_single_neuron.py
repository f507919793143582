"""No single neuron fires on all Arabic text, and only there; are SAE latents better detectors? (Bricken et al. 2023).

The small language model's 512 neurons, and the latents of TopK SAEs of several widths and seeds trained on them, each
unit alone as a detector of one script or format: it says yes where it exceeds a threshold, a fraction of its own
maximum. Unit and threshold are chosen on half of the test rows and judged on the other half; every usable token of a
row counts, spaces and punctuation too. Specificity is asked as well: what share of the units fires nine times in ten
on one kind of text alone. The text is sampled from the model after our own sentences and generated formats;
`--text FOLDER` takes real text instead.

Command:  python -m experiments.no_single_neuron
Time:     about two minutes on two free cores
Expect:   no neuron detects Arabic or Hebrew well, and no single latent of a wide SAE does either, as it splits
          them; but latents fire on one kind of text alone far more often than neurons
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import numpy as np
from matplotlib.figure import Figure

from experiments._base import Claim, Result, main
from experiments._detectors import PURE, TOP, activations, encode, judged, second_half
from experiments._small_lm import HOOK, labels, material, small_lm
from experiments.sae_zoo import spread
from superposition._internal import validate
from superposition.errors import ConfigError
from superposition.llm.stream import lm_stream
from superposition.plot.detectors import detectors
from superposition.sae import TopK
from superposition.training import SAERun, fit
from superposition.training.optimizer import Adam

SCRIPTS = ("arabic", "hebrew")  # the lecture's

SHARED = "200 rows of sampled text"


@dataclass(frozen=True)
class Config:
    """Text, SAEs and their training."""

    text: tuple[Path, ...] = ()
    rows: int = 200
    test_rows: int = 60
    widths: tuple[int, ...] = (64, 256, 1024)
    ks: tuple[int, ...] = (4, 8, 16)
    """Active latents at each width."""
    seeds: int = 3
    steps: int = 600
    batch_size: int = 1000
    learning_rate: float = 3e-3

    def __post_init__(self) -> None:
        if len(self.ks) != len(self.widths):
            raise ConfigError(
                f"ks must be as many as widths, one for each; got {len(self.ks)} for {len(self.widths)} widths"
            )
        validate.integer("seeds", self.seeds, 2)  # intervals are of their spread

    @classmethod
    def quick(cls) -> "Config":
        """A small version: structure, not science."""
        return cls(rows=4, test_rows=4, widths=(16, 64), ks=(2, 4), seeds=2, steps=4, batch_size=100)


def run(config: Config) -> Result:
    """Train the SAEs, then choose and judge the best neuron and latents for every kind of text."""
    lm = small_lm()
    train, test = material(lm, config.text, rows=config.rows, test_rows=config.test_rows)
    stream = lm_stream(jax.random.key(2), lm, train, HOOK)
    neurons, truth, half = activations(lm, test), labels(test), second_half(test)
    arrays = {f"neuron_{k}": v for k, v in judged(lambda x: x, neurons, truth, half).items()}
    found = []
    for width, k in zip(config.widths, config.ks, strict=True):
        sae = TopK(d_in=stream.source.d_in, d_sae=width, k=k)
        recipe = SAERun(sae, Adam(config.learning_rate), steps=config.steps, batch_size=config.batch_size)
        saes = fit(recipe, stream, {"seed": range(config.seeds)})
        found.append([judged(partial(encode, one.sae, one.params), neurons, truth, half) for one in saes])
    for name in found[0][0]:
        arrays[f"latent_{name}"] = np.array([[one[name] for one in row] for row in found])
    kinds = list(test.sources)
    claims = [
        claim
        for kind in SCRIPTS
        if kind in kinds
        for claim in _claims(config, kind, kinds.index(kind), arrays)
    ]
    return Result(config, [*claims, *_overall(config, kinds, arrays)], arrays, {"kinds": kinds})


def _claims(config: Config, kind: str, i: int, a: dict[str, np.ndarray]) -> list[Claim]:
    neuron, latent = float(a["neuron_f1"][i]), a["latent_f1"][..., i]
    said = (
        f"best neuron (number {int(a['neuron_unit'][i])}): F1 {neuron:.3f}, sensitivity {a['neuron_recall'][i]:.3f}, "
        f"precision {a['neuron_precision'][i]:.3f}; {100 * a['neuron_top'][i, i]:.0f} % of its {TOP} strongest "
        f"tokens are {kind}"
    )
    widths = "; ".join(
        f"{w} latents {spread(row)}, {100 * top.mean():.0f} % of the strongest"
        for w, row, top in zip(config.widths, latent, a["latent_top"][..., i, i], strict=True)
    )
    return [
        Claim(
            "Bricken 2023",
            f"no single neuron fires on all {kind} text and only there (F1 below 0.9)",
            "no neuron is such a detector",
            said,
            neuron < 0.9,
        ),
        Claim(
            "Bricken 2023",
            f"one SAE latent detects {kind} text better than the best neuron (some width, every seed)",
            "a feature fires on it, mostly and only",
            f"F1 by width: {widths}; {said}",
            bool((latent > neuron).all(1).any()),
            expected=False,
        ),
    ]


def _overall(config: Config, kinds: list[str], a: dict[str, np.ndarray]) -> list[Claim]:
    listed = "; ".join(
        f"{k} {n:.2f} -> {', '.join(f'{v:.2f}' for v in m)}"
        for k, n, m in zip(kinds, a["neuron_f1"], a["latent_f1"].mean(1).T, strict=True)
    )
    mean = a["latent_f1"].mean((1, 2))
    pure = "; ".join(f"{w} latents {spread(p)}" for w, p in zip(config.widths, a["latent_pure"], strict=True))
    return [
        Claim(
            "Bricken 2023",
            f"latents are specific: a larger share of them than of neurons fires {100 * PURE:.0f} % of the time on one "
            "kind of text, at every width and seed",
            "features are more specific than neurons",
            f"neurons {float(a['neuron_pure']):.3f}; {pure}",
            bool((a["latent_pure"] > a["neuron_pure"]).all()),
        ),
        Claim(
            "Bricken 2023",
            "the wider the SAE, the less a single latent covers of a kind of text (mean F1 falls from the narrowest "
            "to the widest)",
            "features split",
            f"mean F1 by width {', '.join(f'{m:.3f}' for m in mean)}; neuron -> latents: {listed}",
            bool(mean[-1] < mean[0]),
        ),
    ]


def draw(result: Result) -> Figure:
    """F1 by kind, neuron against latents of every width, and what the strongest tokens of both are."""
    a, widths = result.arrays, result.config.widths
    latents = dict(zip([f"best latent of {w}" for w in widths], a["latent_f1"], strict=True))
    return detectors(
        result.numbers["kinds"],
        a["neuron_f1"],
        latents,
        a["neuron_top"],
        a["latent_top"][-1].mean(0),
        top=TOP,
    )


def alt(result: Result) -> str:
    """Alt text from the numbers."""
    a = result.arrays
    parts = [
        f"{k} {n:.2f}; {', '.join(f'{v:.2f}' for v in m)}"
        for k, n, m in zip(result.numbers["kinds"], a["neuron_f1"], a["latent_f1"].mean(1).T, strict=True)
    ]
    return f"F1 of the best neuron, and of the best SAE latent by width, for each kind of text: {' | '.join(parts)}."


if __name__ == "__main__":
    main(__name__)
