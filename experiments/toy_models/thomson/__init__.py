"""Why these shapes: the interference of single features as a Thomson problem, and what it leaves unexplained.

Elhage et al. 2022, "The Geometry of Superposition": with ||W_i|| = 1 and b = 0, and one feature active at a time,
the loss is a generalised Thomson problem, k points on a sphere that repel each other; models show the solutions
that are not tegum products (triangle, tetrahedron, pentagon, square antiprism), and the others, such as the
bipyramids, as their factors. Here k unit vectors in d dimensions descend that energy, (1/3) sum of (cos_ij)_+^2,
from 48 random starts a case; the classical energy 1/r; and the loss of one active feature with lengths and
biases free, which is what a model trained at 1-S -> 0 descends. 1,200 steps of Adam in float64, rate 0.05
falling to 0 as a cosine. As a check, 16 models a case are trained on samples at 1-S = 0.001 (AdamW, 3,000 steps
of 256 examples that are not all zero, rate 1e-2 falling as a cosine).

Command:  python -m experiments thomson
Time:     half a minute on two cores
Expect:   pentagon, antiprism and bipyramids minimise the energy; triangle and tetrahedron tie with many others
"""

from typing import Any

import jax

from experiments.lab.claim import Result
from experiments.toy_models.thomson.claims import (
    acute_claim,
    classical_claim,
    close_claim,
    explained_claim,
    formula_claim,
    polytopes_minimise_claim,
    samples_claim,
    singled_out_claim,
    tegum_claim,
)
from experiments.toy_models.thomson.config import Config
from experiments.toy_models.thomson.draw import alt, draw
from superposition import AdamW, ReLUOutput, ToyRun, geometry
from superposition.geometry import thomson
from superposition.training import sweep

__all__ = ["Config", "alt", "draw", "run"]


def run(config: Config) -> Result:
    """Minimise the three energies, name what they lead to, and compare."""
    options: dict[str, Any] = {"key": jax.random.key(0), "restarts": config.restarts, "steps": config.steps}
    found = {
        "interference": dict(
            zip(config.cases, thomson.interference_minima(config.cases, **options), strict=True)
        ),
        "coulomb": dict(zip(config.cases, thomson.coulomb_minima(config.cases, **options), strict=True)),
        "trained": dict(zip(config.cases, thomson.one_active_minima(config.cases, **options), strict=True)),
    }
    table = {case: {kind: _summary(found[kind][case]) for kind in found} for case in config.cases}
    sampled = {case: _sampled(config, case) for case in config.trained_cases}
    return Result(
        config,
        [
            formula_claim(),
            polytopes_minimise_claim(found["interference"]),
            singled_out_claim(found["interference"]),
            acute_claim(found["interference"]),
            classical_claim(found["coulomb"]),
            tegum_claim(found["interference"], found["coulomb"]),
            explained_claim(table),
            close_claim(table),
            samples_claim(sampled),
        ],
        arrays={f"{kind} {k} in {d}": m.W[0] for kind, by in found.items() for (k, d), m in by.items()},
        numbers={
            "table": {f"{k} in {d}": row for (k, d), row in table.items()},
            "sampled": {f"{k} in {d}": states for (k, d), states in sampled.items()},
        },
    )


def _summary(minima: thomson.Minima) -> dict[str, Any]:
    """Of the least state: its name and share of the starts, its energies and dimensionalities, and all names."""
    names: dict[str, int] = {}
    for W in minima.W:
        name = geometry.recognise(W).tegum
        names[name] = names.get(name, 0) + 1
    W = minima.W[0]
    return {
        "best": geometry.recognise(W).tegum,
        "least": float(minima.energies[0]),
        "reached": float((minima.energies < minima.energies[0] + thomson.SAME).mean()),
        "interference": float(thomson.interference_energy(W)),
        "dimensionality": sorted({round(float(x), 3) for x in geometry.dimensionality(W)}),
        "names": dict(sorted(names.items(), key=lambda item: -item[1])),
    }


def _sampled(config: Config, case: tuple[int, int]) -> dict[str, int]:
    """Names of models trained on samples, and how many seeds ended in each."""
    recipe = ToyRun(
        ReLUOutput(*case),
        optimizer=AdamW(config.learning_rate, weight_decay=0.0, schedule="cosine"),
        steps=config.training_steps,
        batch_size=config.batch_size,
    )
    data = sweep(recipe, {"density": (config.density,), "seed": range(config.seeds)})
    names: dict[str, int] = {}
    for W in data["W"].values[0]:
        name = geometry.recognise(W).tegum
        names[name] = names.get(name, 0) + 1
    return dict(sorted(names.items(), key=lambda item: -item[1]))
