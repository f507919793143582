"""The claims of `phase_by_activation`, each held against what was measured."""

from typing import Any

import numpy as np

from experiments.lab.claim import Claim, Source, less_than, more_than
from experiments.toy_models.phase_by_activation.config import NAMES, Config
from experiments.toy_models.shared import phase_figure
from superposition import ToyParams
from superposition.expected_loss import quadrature, reference_loss

SOURCE = "Elhage 2022, comments"


def shares(arrays: Any) -> np.ndarray:
    """Share of cells of every class, (activation, class)."""
    classes = phase_figure.classify(arrays["norm"], arrays["interference"])
    return np.stack([(classes == k).mean((1, 2)) for k in range(3)], 1)


def claims(config: Config, arrays: dict[str, np.ndarray], last: int) -> list[Claim]:
    """How the phase diagram differs from one activation to the next."""
    names = [NAMES[a] for a in config.activations]
    share = dict(zip(config.activations, shares(arrays)[:, 2], strict=True))
    classes = phase_figure.classify(arrays["norm"], arrays["interference"])
    unlike = (classes != classes[0]).mean((1, 2))
    superposed = 100 * np.array(list(share.values()))
    order = np.argsort(-superposed, kind="stable")
    opposite = (arrays["W"][..., 0] * arrays["W"][..., 1] < 0)[classes == 2]
    return [
        Claim(
            SOURCE,
            f"the phase diagram depends on the activation (another class than {names[0]}'s in over 10 % of cells)",
            "the phase diagrams look quite different",
            "; ".join(f"{name} {100 * u:.0f} %" for name, u in zip(names[1:], unlike[1:], strict=True)),
            more_than(unlike.max(), 0.1),
            source=Source.READING,
        ),
        Claim(
            SOURCE,
            "some activations induce more superposition than others (share of cells, by over 10 %)",
            "some induce more polysemanticity than others",
            ", ".join(f"{names[i]} {superposed[i]:.0f} %" for i in order),
            more_than(superposed.max() - superposed.min(), 10),
            source=Source.READING,
        ),
        _boundaries(config, arrays, classes),
        Claim(
            "this lab",
            "odd activations (identity: a theorem; tanh: measured) show no superposition, all others do",
            "not asked",
            ", ".join(f"{NAMES[a]} {100 * s:.1f} %" for a, s in share.items()),
            all((s == 0) == (a in ("linear", "tanh")) for a, s in share.items()),
        ),
        Claim(
            "this lab",
            "where two features share the dimension they are antipodal, whatever the activation",
            "not asked",
            f"weights of opposite sign in {100 * opposite.mean() if opposite.size else 0:.1f} % of {opposite.size} cells "
            "in superposition",
            bool(opposite.size and opposite.all()),
        ),
        _checked(config, arrays, last),
    ]


def _boundaries(config: Config, arrays: dict[str, np.ndarray], classes: np.ndarray) -> Claim:
    """Where superposition ends beside r = 1, and in the sparsest row."""
    r, p = arrays["relative_importance"], arrays["density"]
    column = len(r) // 2 - 1
    ends = [p[c[:, column] == 2].max(initial=0) for c in classes]
    least = [r[c[-1] == 2].min(initial=np.inf) for c in classes]
    parts = [
        f"{NAMES[a]} {f'to 1-S = {e:.2f} (sparsest: r from {x:.2g})' if e else 'never'}"
        for a, e, x in zip(config.activations, ends, least, strict=True)
    ]
    end = dict(zip(config.activations, ends, strict=True))
    return Claim(
        "this lab",
        f"at equal importance (r = {r[column]:.2f}) GELU and softplus share the dimension at greater densities than ReLU",
        "not asked",
        "; ".join(parts),
        more_than(min(end.get("gelu", 1), end.get("softplus", 1)), end.get("relu", 0)),
    )


def _checked(config: Config, arrays: dict[str, np.ndarray], last: int) -> Claim:
    """Integration against twice the nodes in random cells; the search against its neighbours."""
    rng = np.random.default_rng(0)
    r, p = arrays["relative_importance"], arrays["density"]
    worst = 0.0
    for number, activation in enumerate(config.activations):
        if activation not in quadrature.SMOOTH:
            continue
        for _ in range(config.checks):
            i, j = int(rng.integers(len(p))), int(rng.integers(len(r)))
            params: Any = ToyParams(arrays["W"][number, i, j][None], arrays["b"][number, i, j])  # type: ignore[arg-type]
            again = reference_loss(params, np.array([1, r[j]]), p[i], activation=activation)
            worst = max(worst, abs(arrays["loss"][number, i, j] / again - 1))
    return Claim(
        "this lab",
        "losses are integrated to 1e-8, and no cell is improved by starting from its neighbours' minima",
        "not asked",
        f"relative error at most {worst:.0e} in {config.checks} random cells of each smooth activation, against twice the "
        f"nodes; the last round improved {last} cells",
        (less_than(worst, 1e-8), last == 0),
    )
