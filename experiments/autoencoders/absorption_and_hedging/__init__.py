"""Sparse SAEs absorb a parent into its children, narrow ones mix children into it (Chanin et al. 2024, 2025).

Absorption (arXiv 2409.14507), in PLANTED["hierarchy"]: 8 parents of probability 0.25, each with 4 exclusive children
of 0.05, all 40 orthogonal in 64 dimensions, 3.6 active. At L0 = 2 an SAE of 40 latents, one for every feature, can
spare the parent's latent where a child fires, if the child's decoder row holds the parent too. The rate is
P(parent's latent silent | parent and a child) - P(silent | parent alone), a child being any of the four: where each
is absorbed, what one child does cannot be seen against the others. Hedging (arXiv 2505.11756), in
PLANTED["correlated"]: 32 features of probability 0.125, pairs correlated by up to 0.3. An SAE of fewer latents
than features mixes correlated ones into a row (`metrics.hedging`, |correlation| > 0.1 being related; ReLU with one
small penalty at every width, so that only the width changes). Matryoshka's inner prefix is a narrow SAE too.

Command:  python -m experiments absorption_and_hedging
Time:     under two minutes on two free cores
Expect:   absorption 0.70 for BatchTopK, 0.37 for Gated, 0.20 for TopK, 0.12 +- 0.21 for ReLU; none by this number
          for JumpReLU, which ends at L0 = 1.3 to 1.6 and whose parents' latents are silent even alone, though its
          children's rows hold the parent too (cosine 0.6); no clear gain from Matryoshka, 0.47 +- 0.33.
          Hedging 0.53 with 4 and 8 latents, falling to 0.05 with 32; 0.28 in Matryoshka's inner prefix
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np

from experiments.autoencoders.absorption_and_hedging.claims import absorption_claims, hedging_claims
from experiments.autoencoders.absorption_and_hedging.config import CHILDREN, PARENTS, Config
from experiments.autoencoders.absorption_and_hedging.draw import alt, draw
from experiments.lab.architectures import CONTROLLER, JUMPRELU
from experiments.lab.claim import Result
from superposition import metrics
from superposition.activations import Batch, Stream, planted_stream
from superposition.features import PLANTED
from superposition.sae import ARCHITECTURES, ReLU
from superposition.training import SAERun, Trained, fit
from superposition.training.optimizer import Adam

__all__ = ["Config", "alt", "draw", "run"]
INNER = 8  # Matryoshka's inner prefix: the parents, or a quarter of the correlated features
PAIRS = np.array([(p, PARENTS + CHILDREN * p + c) for p in range(PARENTS) for c in range(CHILDREN)])


def run(config: Config) -> Result:
    """Train in both worlds, and measure."""
    names = (*config.flat, "matryoshka")
    stream = planted_stream(jax.random.key(1), PLANTED["hierarchy"])
    truth = np.asarray(stream.dictionary)
    sample = stream.sample(config.examples, batch=min(4096, config.examples))
    with ThreadPoolExecutor(2) as pool:  # small programs: two on a core each beat one on two
        later = pool.submit(_hedged, config)
        found = pool.map(lambda name: _fit(config, stream, name, config.l0, 40), names)
        trained = dict(zip(names, found, strict=True))
        hedged, inner, flat = later.result()
    rate = {name: np.array([_absorption(t, sample, truth) for t in trained[name]]) for name in names}
    cosines = np.array([[_cosines(t, truth) for t in trained[name]] for name in names])
    claims = [*absorption_claims(config, rate, cosines), *hedging_claims(config, hedged, inner, flat)]
    arrays = {
        "rate": np.array(list(rate.values())),
        "cosines": cosines,
        "hedging": hedged,
        "inner": inner,
        "flat": flat,
    }
    return Result(config, claims, arrays=arrays)


def _fit(config: Config, stream: Stream, name: str, l0: float, d_sae: int) -> list[Trained]:
    special: dict[str, Any] = (
        {} if ARCHITECTURES[name].penalised else {"k": l0, "dead_after": 200 * config.batch_size}
    )
    if name == "matryoshka":
        special["prefixes"] = (INNER, d_sae)
    elif name == "jumprelu":
        special = JUMPRELU
    sae = ARCHITECTURES[name](d_in=64, d_sae=d_sae, **special)
    run = SAERun(sae, Adam(config.learning_rate), steps=config.steps, batch_size=config.batch_size,
                 l0_target=l0 if sae.penalised else None, controller=CONTROLLER)  # fmt: skip
    return fit(run, stream, {"seed": range(config.seeds)})


def _hedged(config: Config) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hedging of ReLU (widths, seeds), of Matryoshka's inner latents, and of as wide a BatchTopK, (seeds,) each."""
    stream = planted_stream(jax.random.key(1), PLANTED["correlated"])
    truth = np.asarray(stream.dictionary)
    features = np.asarray(stream.sample(config.examples, batch=min(4096, config.examples)).features) != 0
    related = np.abs(metrics.correlations(metrics.correlation_sums(features * 1.0, features * 1.0))) > 0.1

    def measure(trained: list[Trained], rows: int | None = None) -> list[float]:
        return [metrics.hedging(np.asarray(t.params["W_dec"])[:rows], truth, related).mean for t in trained]

    run = SAERun(ReLU(d_in=64, d_sae=max(config.widths), penalty=config.hedging_penalty), Adam(config.learning_rate),
                 steps=config.steps, batch_size=config.batch_size)  # fmt: skip
    relu = fit(run, stream, {"width": config.widths, "seed": range(config.seeds)})
    by_width = np.reshape(measure(relu), (len(config.widths), config.seeds))
    inner = measure(_fit(config, stream, "matryoshka", 4.0, len(truth)), INNER)
    return by_width, np.array(inner), np.array(measure(_fit(config, stream, "batch-topk", 4.0, len(truth))))


def _absorption(trained: Trained, sample: Batch, dictionary: np.ndarray) -> float:
    """Mean over parents; "any child" is a feature of its own, that no latent stands for."""
    features = np.asarray(sample.features)
    any_child = (features[:, PARENTS:].reshape(len(features), PARENTS, CHILDREN) != 0).any(2)
    of = metrics.match(trained.params["W_dec"], dictionary).latent_of_feature
    pairs = np.stack([np.arange(PARENTS), len(dictionary) + np.arange(PARENTS)], 1)
    latents = np.asarray(trained.sae.encode(trained.params, sample.x))
    extended = np.append(features, any_child, 1)
    return metrics.absorption_from(
        metrics.absorption_counts(latents, extended, pairs, np.append(of, np.full(PARENTS, -1)))
    ).mean


def _cosines(trained: Trained, dictionary: np.ndarray) -> list[float]:
    """Means over parents: decoder row with parent and with children, encoder the same, child's row with parent."""
    rows, columns = trained.params["W_dec"], trained.params["W_enc"]
    of = metrics.match(rows, dictionary).latent_of_feature
    decoder, encoder = (np.asarray(metrics.cosines(W, dictionary)) for W in (rows, np.asarray(columns).T))
    parent, child = PAIRS.T
    return [
        float(table[of[latent], feature].mean())
        for table, latent, feature in (
            (decoder, parent, parent),
            (decoder, parent, child),
            (encoder, parent, parent),
            (encoder, parent, child),
            (decoder, child, parent),
        )
    ]
