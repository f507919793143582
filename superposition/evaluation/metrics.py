"""Every metric of a trained model, once: its name, what it needs, its column's title, and how it is computed.

A new metric of an SAE is one entry here: `evaluate`, the command line's tables and the stored results have it then.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from superposition import metrics
from superposition.metrics import Sums
from superposition.metrics.reconstruction import Reconstruction
from superposition.sae import SAE, Params

DATA, TRUTH, MODEL = "data", "truth", "language model"


@dataclass(frozen=True)
class Measured:
    """What the metrics of an SAE are computed from; dictionary: the true directions (n_features, d_in), if known."""

    sae: SAE
    params: Params
    sums: Sums
    dictionary: np.ndarray | None = None

    @cached_property
    def reconstruction(self) -> Reconstruction:
        """The metrics of reconstruction and sparsity."""
        return metrics.reconstruction_from(self.sums)

    @cached_property
    def recovery(self) -> dict[str, float]:
        """The metrics of the recovery of the true directions."""
        return metrics.recovery_scores(self.params["W_dec"], self.dictionary)


@dataclass(frozen=True)
class Metric:
    """One number of an evaluation.

    needs: "data", "truth" (the true features), or "language model" (in which case the splice computes it).
    column: its title in tables, None for what is stored and not printed.

    >>> from superposition.evaluation import METRICS
    >>> METRICS["fvu"].needs, METRICS["mmcs"].needs, METRICS["dead_fraction"].column
    ('data', 'truth', 'dead')
    """

    needs: str
    column: str | None = None
    compute: Callable[[Measured], float] | None = None


def _reconstruction(name: str, column: str | None = None) -> Metric:
    return Metric(DATA, column, lambda m: float(getattr(m.reconstruction, name)))


def _recovery(name: str, column: str | None = None) -> Metric:
    return Metric(TRUTH, column, lambda m: m.recovery[name])


# What `evaluate` measures: name -> what it needs, its column in tables, and how it is computed. A metric is a line here.
METRICS: dict[str, Metric] = {
    "l0": _reconstruction("l0", "l0"),
    "mse": Metric(DATA, None, lambda m: float(m.sums.squared_error) / float(m.sums.examples)),
    "fvu": _reconstruction("fvu", "fvu"),
    "explained_variance": _reconstruction("explained_variance"),
    "cosine": _reconstruction("cosine", "cosine"),
    "relative_norm": _reconstruction("relative_norm"),
    "dead_fraction": _reconstruction("dead_fraction", "dead"),
    "dense_fraction": _reconstruction("dense_fraction", "dense"),
    "examples": Metric(DATA, None, lambda m: float(m.sums.examples)),
    "mmcs": _recovery("mmcs", "mmcs"),
    "mmcs_of_latents": _recovery("mmcs_of_latents", "of latents"),
    "mcc": _recovery("mcc", "mcc"),
    "uniqueness": _recovery("uniqueness"),
    "found": _recovery("found", "found"),
    "f1": Metric(TRUTH, "F1", lambda m: metrics.classify_from(m.sums).f1),
    "ce": Metric(MODEL, "CE"),
    "ce_spliced": Metric(MODEL, "CE spliced"),
    "kl": Metric(MODEL, "KL"),
    "ce_recovered": Metric(MODEL, "recovered (zero)"),
    "ce_recovered_mean": Metric(MODEL, "(mean)"),
    "decoder_norm": Metric(MODEL, "norm"),
    "tokens": Metric(MODEL, "tokens"),
}


def computed(measured: Measured) -> dict[str, float]:
    """Every metric that can be computed from what was measured, by name."""
    needs = {DATA} if measured.dictionary is None else {DATA, TRUTH}
    return {
        name: metric.compute(measured)
        for name, metric in METRICS.items()
        if metric.compute is not None and metric.needs in needs
    }
