"""The phase diagram of one extra feature under other activations: n=2, m=1, x' = f(W^T W x + b).

Elhage et al. 2022, K. Sachan's comment (Redwood Research), which gives no figure. Exact minima over weights
and biases, nothing trained: the expected loss is integrated for every activation and descended from random
starts, as in phase_diagram. Importance 0.1 to 1 is computed, the rest mirrored (exchanging the features).
Classes are the paper's: represented from norm 1/2 on, in superposition from interference 1/2 on.

Command:  python -m experiments.phase_by_activation
Time:     one minute on two cores
Expect:   no superposition with tanh and the identity; the rest of the diagram differs from one activation to the next
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments import _phase
from experiments._base import Claim, Result, main
from experiments.phase_diagram import DIAGRAM
from superposition import ToyParams, geometry, plot, theory
from superposition._internal import validate
from superposition.expected_loss import quadrature, reference_loss

SOURCE = "Elhage 2022, comments"
NAMES = {
    "relu": "ReLU",
    "gelu": "GELU",
    "softplus": "Softplus",
    "square": "Square",
    "tanh": "tanh",
    "linear": "Identity",
}


@dataclass(frozen=True)
class Config:
    """Activations in the order drawn, cells of density (twice as many of importance), and the search."""

    activations: tuple[str, ...] = tuple(NAMES)
    cells: int = 22
    restarts: int = 32
    coarsening: int = 3
    rounds: int = 3
    checks: int = 12

    def __post_init__(self) -> None:
        for name in self.activations:
            validate.choice("activations", name, tuple(NAMES))
        validate.integer("cells", self.cells, 2)

    @classmethod
    def quick(cls) -> "Config":
        """A small version: structure, not science."""
        return cls(activations=("square", "linear"), cells=6, restarts=4, rounds=1, checks=1)


class _Half(_phase.Grid):
    """The half of the grid with r < 1."""

    def axes(self, cells: int) -> tuple[np.ndarray, np.ndarray]:
        r, p = np.geomspace(0.1, 10, 2 * cells), np.geomspace(1, 0.01, cells)
        return r[:cells], p


def run(config: Config) -> Result:
    """Minimise for every activation, mirror, classify."""
    half = _Half(restarts=config.restarts, coarsening=config.coarsening, rounds=config.rounds)
    cells = config.cells
    r, p = half.axes(cells)
    found: dict[str, list[np.ndarray]] = {"W": [], "b": [], "loss": []}
    last = 0
    for activation in config.activations:
        best, improved = _phase.minimum(replace(DIAGRAM, activation=activation), half, cells)
        last = max(last, improved[-1])
        W, b = best.W.reshape(cells, cells, 2), best.b.reshape(cells, cells, 2)
        loss = best.loss.reshape(cells, cells)
        # Exchanging the features turns importances (1, r) into r (1, 1 / r).
        found["W"].append(np.concatenate([W, W[:, ::-1, ::-1]], 1))
        found["b"].append(np.concatenate([b, b[:, ::-1, ::-1]], 1))
        found["loss"].append(np.concatenate([loss, (loss / r)[:, ::-1]], 1))
    arrays = {k: np.stack(v) for k, v in found.items()}
    arrays |= {"relative_importance": np.concatenate([r, 1 / r[::-1]]), "density": p}
    W = arrays["W"][..., None, :]
    arrays |= {"norm": geometry.norms(W)[..., 1], "interference": geometry.interference(W)[..., 1]}
    return Result(
        config, _claims(config, arrays, last), arrays, numbers={"improved_by_last_neighbours": last}
    )


def _shares(arrays: Any) -> np.ndarray:
    """Share of cells of every class, (activation, class)."""
    classes = _phase.classify(arrays["norm"], arrays["interference"])
    return np.stack([(classes == k).mean((1, 2)) for k in range(3)], 1)


def _claims(config: Config, arrays: dict[str, np.ndarray], last: int) -> list[Claim]:
    names = [NAMES[a] for a in config.activations]
    share = dict(zip(config.activations, _shares(arrays)[:, 2], strict=True))
    classes = _phase.classify(arrays["norm"], arrays["interference"])
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
            bool(unlike.max() > 0.1),
        ),
        Claim(
            SOURCE,
            "some activations induce more superposition than others (share of cells, by over 10 %)",
            "some induce more polysemanticity than others",
            ", ".join(f"{names[i]} {superposed[i]:.0f} %" for i in order),
            bool(superposed.max() - superposed.min() > 10),
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
        min(end.get("gelu", 1), end.get("softplus", 1)) > end.get("relu", 0),
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
        worst < 1e-8 and last == 0,
    )


def draw(result: Result) -> Figure:
    """One diagram per activation, ReLU's borders laid over, beside the paper's theory."""
    arrays: Any = result.arrays
    r, p = arrays["relative_importance"], arrays["density"]
    classes = _phase.classify(arrays["norm"], arrays["interference"])
    panels: list[Any] = [
        plot.Theory("Theory (ReLU, the paper's)", _theory(r, p), plot.TWO_IN_ONE),
        *(
            plot.Measured(
                f"{NAMES[a]}: {100 * share:.0f} % in superposition",
                arrays["norm"][k],
                arrays["interference"][k],
                classes[0] if k else None,
            )
            for k, (a, share) in enumerate(zip(result.config.activations, _shares(arrays)[:, 2], strict=True))
        ),
    ]
    return plot.phase_diagram(panels, r, p)


def _theory(r: np.ndarray, p: np.ndarray) -> np.ndarray:
    best: np.ndarray = theory.phase_losses(theory.PHASES_2_1, r[None, :], p[:, None]).argmin(0)
    return best


def alt(result: Result) -> str:
    """Alt text from the numbers."""
    parts = [
        f"{NAMES[a]} {100 * absent:.0f}, {100 * alone:.0f} and {100 * shared:.0f} %"
        for a, (absent, alone, shared) in zip(result.config.activations, _shares(result.arrays), strict=True)
    ]
    return (
        "Phase diagrams of an extra feature at the exact minimum, n=2, m=1, one per activation, over relative importance "
        "0.1 to 10 and density 1 to 0.01. Cells in which it is not represented, dedicated and in superposition: "
        + "; ".join(parts)
        + "."
    )


if __name__ == "__main__":
    main(__name__)
