"""Why these shapes: the interference of single features as a Thomson problem, and what it leaves unexplained.

Elhage et al. 2022, "The Geometry of Superposition": with ||W_i|| = 1 and b = 0, and one feature active at a time,
the loss is a generalised Thomson problem, k points on a sphere that repel each other; models show the solutions
that are not tegum products (triangle, tetrahedron, pentagon, square antiprism), and the others, such as the
bipyramids, as their factors. Here k unit vectors in d dimensions descend that energy, (1/3) sum of (cos_ij)_+^2,
from 48 random starts a case; the classical energy 1/r; and the loss of one active feature with lengths and
biases free, which is what a model trained at 1-S -> 0 descends. 1,200 steps of Adam in float64, rate 0.05
falling to 0 as a cosine. As a check, 16 models a case are trained on samples at 1-S = 0.001 (AdamW, 3,000 steps
of 256 examples that are not all zero, rate 1e-2 falling as a cosine).

Command:  python -m experiments.thomson
Time:     half a minute on two cores
Expect:   pentagon, antiprism and bipyramids minimise the energy; triangle and tetrahedron tie with many others
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from experiments._base import Claim, Result, main
from superposition import AdamW, ReLUOutput, ToyParams, ToyRun, geometry
from superposition.errors import ConfigError
from superposition.expected_loss import reference_loss
from superposition.geometry import shapes, thomson
from superposition.plot.polytopes import Row, Solid, polytopes
from superposition.training import sweep

DIGON = shapes.simplex(1)
PAPER = {
    (3, 2): ("triangle", shapes.polygon(3)),
    (5, 2): ("pentagon", shapes.polygon(5)),
    (4, 3): ("tetrahedron", shapes.simplex(3)),
    (5, 3): ("triangular bipyramid", shapes.tegum(shapes.polygon(3), DIGON)),
    (6, 3): ("octahedron", shapes.tegum(DIGON, DIGON, DIGON)),
    (7, 3): ("pentagonal bipyramid", shapes.tegum(shapes.polygon(5), DIGON)),
    (8, 3): ("square antiprism", shapes.OTHERS["square antiprism"]()),
}
"""The shapes the paper names, by (vectors, dimensions)."""

SIZE = (2, 3)  # (d, k) at which the energy is held against the expected loss of the library


@dataclass(frozen=True)
class Config:
    """Cases (vectors, dimensions), starts, and training on samples."""

    cases: tuple[tuple[int, int], ...] = (*PAPER, (6, 2), (7, 2), (8, 2), (9, 3), (12, 3), (9, 4), (10, 4))
    restarts: int = 48
    steps: int = 1_200
    trained_cases: tuple[tuple[int, int], ...] = ((5, 2), (8, 3))
    seeds: int = 16
    density: float = 1e-3
    training_steps: int = 3_000
    batch_size: int = 256
    learning_rate: float = 1e-2

    def __post_init__(self) -> None:
        missing = [case for case in PAPER if case not in self.cases]
        if missing:
            raise ConfigError(
                f"cases must include {_pairs(PAPER)}, which the paper names; missing are {_pairs(missing)}"
            )
        unknown = [case for case in self.trained_cases if case not in PAPER]
        if unknown:
            raise ConfigError(
                f"trained_cases must be of those the paper names a shape for, {_pairs(PAPER)}; got {_pairs(unknown)}"
            )

    @classmethod
    def quick(cls) -> "Config":
        """A small version: structure, not science."""
        return cls(
            cases=tuple(PAPER), restarts=2, steps=30, trained_cases=((5, 2),), seeds=2, training_steps=20
        )


def _pairs(cases: Iterable[tuple[int, int]]) -> str:
    return ", ".join(f"{k} {d}" for k, d in cases)


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
            _formula(),
            _polytopes_minimise(found["interference"]),
            _singled_out(found["interference"]),
            _acute(found["interference"]),
            _classical(found["coulomb"]),
            _tegum(found["interference"], found["coulomb"]),
            _explained(table),
            _close(table),
            _samples(sampled),
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


def _formula() -> Claim:
    """Against the library's expected loss at a density so small that one feature at most is active."""
    rng, p, worst = np.random.default_rng(0), 1e-7, 0.0
    d, k = SIZE
    for _ in range(5):
        W = rng.normal(size=(d, k))
        W /= np.linalg.norm(W, axis=0)
        loss = reference_loss(ToyParams(jnp.asarray(W), jnp.zeros(k)), np.ones(k), p, activation="relu") / p
        worst = max(worst, abs(float(thomson.interference_energy(W)) / loss - 1))
    return Claim(
        "F9",
        "with ||W_i|| = 1, b = 0 and one feature active, the loss is a repulsion between points on a sphere",
        "E = (1/3) sum over i != j of (cos_ij)_+^2",
        f"against the exact expected loss / p at p = 1e-7, five random W: relative difference {worst:.1e} at most",
        worst < 1e-5,
    )


def _polytopes_minimise(found: dict[tuple[int, int], thomson.Minima]) -> Claim:
    """The antiprism is the only one with a height of its own to choose: there the least end state is looked at."""
    rigid = {case: shape for case, shape in PAPER.items() if case != (8, 3)}
    over = {
        name: float(thomson.interference_energy(W) - found[case].energies[0])
        for case, (name, W) in rigid.items()
    }
    (antiprism,) = geometry.recognise(found[8, 3].W[0]).components
    worst = max(over, key=lambda name: over[name])
    return Claim(
        "F9",
        "the polytopes of the paper minimise that energy",
        ", ".join(name for name, _ in PAPER.values()),
        f"of {len(found[8, 3].energies)} starts a case none ends below the {len(over)} rigid ones (largest excess "
        f"{abs(over[worst]):.0e}); the least of 8 in 3 is a {antiprism.name} (E = {found[8, 3].energies[0]:.4f}, angles "
        f"within {antiprism.deviation:.1f} degrees of the tight frame's)",
        all(excess <= 1e-6 for excess in over.values()) and antiprism.name == "square antiprism",
    )


def _share(minima: thomson.Minima, name: str) -> float:
    return float(np.mean([geometry.recognise(W).tegum == name for W in minima.W]))


def _singled_out(found: dict[tuple[int, int], thomson.Minima]) -> Claim:
    shares = {name: _share(found[case], name) for case, (name, _) in PAPER.items()}
    return Claim(
        "F9",
        "the energy singles them out: starts end in the paper's polytope",
        "all starts",
        "; ".join(f"{name} {100 * share:.0f} %" for name, share in shares.items())
        + ": below 2d + 1 vectors every arrangement without an acute angle has E = 0",
        all(share > 0.9 for share in shares.values()),
        expected=False,
    )


def _acute(found: dict[tuple[int, int], thomson.Minima]) -> Claim:
    tied = {case: minima for case, minima in found.items() if case[0] < 2 * case[1]}
    crowded = {case: name for case, (name, _) in PAPER.items() if case[0] > 2 * case[1]}
    shares = {name: _share(found[case], name) for case, name in crowded.items()}
    zero = max(abs(float(m.energies[0])) for m in tied.values())
    kinds = {f"{k} in {d}": len({geometry.recognise(W).name for W in m.W}) for (k, d), m in tied.items()}
    return Claim(
        "F9",
        "it does so from 2d + 1 vectors on; with fewer than 2d it is 0 on a continuum of shapes",
        "pentagon, pentagonal bipyramid, square antiprism",
        "; ".join(f"{name} {100 * share:.0f} % of starts" for name, share in shares.items())
        + f"; E = {zero:.0e} below 2d, under "
        + ", ".join(f"{kinds[c]} names ({c})" for c in kinds),
        all(share > 0.9 for share in shares.values()) and zero < 1e-9 and all(n > 1 for n in kinds.values()),
    )


def _classical(found: dict[tuple[int, int], thomson.Minima]) -> Claim:
    best = {name: geometry.recognise(found[case].W[0]).tegum for case, (name, _) in PAPER.items()}
    return Claim(
        "F9",
        "Thomson's own energy, 1/r, has each of these polytopes as its one solution",
        ", ".join(best),
        f"{sum(name == got for name, got in best.items())} of {len(best)} least end states are the polytope; E(1/r) "
        f"= {found[5, 3].energies[0]:.5f}, {found[8, 3].energies[0]:.5f} for 5 and 8 in 3 (known: 6.47469, 19.67529)",
        all(name == got for name, got in best.items()),
    )


def _tegum(interference: dict[tuple[int, int], thomson.Minima], coulomb: dict[tuple[int, int], Any]) -> Claim:
    """Dimensionalities of minimised models, one energy or the other: 1/r where E = 0 leaves the shape open."""
    wanted = {(5, 3): [3, 2 / 3, 2, 1 / 2], (6, 3): [6, 1 / 2], (7, 3): [5, 2 / 5, 2, 1 / 2]}
    words, off = [], 0.0
    for case, parts in wanted.items():
        expected = np.sort(
            np.concatenate([[d] * int(n) for n, d in zip(parts[::2], parts[1::2], strict=True)])
        )
        minima = coulomb[case] if case[0] < 6 else interference[case]
        D = np.sort(geometry.dimensionality(minima.W[0]))
        off = max(off, float(np.abs(D - expected).max()))
        values = [
            f"{int(n)} x {D[np.abs(D - d).argmin()]:.4f}"
            for n, d in zip(parts[::2], parts[1::2], strict=True)
        ]
        words.append(f"{PAPER[case][0]} {' + '.join(values)} = {D.sum():.4f}")
    return Claim(
        "F9",
        "bipyramids are tegum products: dimensions are shared within the factors, not equally",
        "3 x 2/3 + 2 x 1/2 (not 5 x 3/5); 6 x 1/2; 5 x 2/5 + 2 x 1/2; sum 3",
        "; ".join(words),
        off < 2e-3,
    )


def _same(row: dict[str, Any]) -> bool:
    """The same named shape, whatever its height, or no more interference than the least."""
    least, trained = row["interference"], row["trained"]
    named = least["best"] == trained["best"] and not re.search(r"\d in \d", least["best"])
    return bool(named or trained["interference"] - least["least"] < 1e-3)


def _explained(table: dict[tuple[int, int], dict[str, Any]]) -> Claim:
    """With fewer than 2d + 1 vectors there is nothing to explain: the least energy is 0 for everything."""
    crowded = {case: row for case, row in table.items() if case[0] > 2 * case[1]}
    others = [
        f"{k} in {d}: {row['trained']['best']} (E {row['trained']['interference']:.3f}, least "
        f"{row['interference']['least']:.3f})"
        for (k, d), row in crowded.items()
        if not _same(row)
    ]
    return Claim(
        "F9",
        "models of one active feature, lengths and biases free, take the shapes that minimise the energy",
        "the same shapes",
        f"{len(crowded) - len(others)} of {len(crowded)} cases above 2d do; not " + "; ".join(others),
        not others,
        expected=False,
    )


def _close(table: dict[tuple[int, int], dict[str, Any]]) -> Claim:
    crowded = {case: row for case, row in table.items() if case[0] > 2 * case[1]}
    named = [name for case, (name, _) in PAPER.items() if case in crowded and _same(crowded[case])]
    icosahedron = table.get((12, 3), {}).get("trained", {})
    return Claim(
        "F9",
        "of the paper's shapes, models of one active feature keep pentagon and square antiprism; the pentagonal "
        "bipyramid gives way, and the icosahedron, Thomson's solution for 12, appears though E does not want it",
        "pentagon, square antiprism",
        f"energy and model agree on {', '.join(named) or 'none'}; 7 in 3 is {table[7, 3]['trained']['best']} with D "
        f"= {table[7, 3]['trained']['dimensionality']}; 12 in 3 is {icosahedron.get('best')}",
        named == ["pentagon", "square antiprism"] and icosahedron.get("best") == "icosahedron",
    )


def _samples(sampled: dict[tuple[int, int], dict[str, int]]) -> Claim:
    shares = {case: names.get(PAPER[case][0], 0) / sum(names.values()) for case, names in sampled.items()}
    words = [
        f"{k} in {d}: " + ", ".join(f"{count} x {name}" for name, count in names.items())
        for (k, d), names in sampled.items()
    ]
    return Claim(
        "F9",
        "models trained on samples at 1-S = 0.001 end in these shapes too (most seeds)",
        "; ".join(f"{k} in {d}: {PAPER[k, d][0]}" for k, d in sampled) or "the same shapes",
        "; ".join(words) or "none trained",
        bool(shares) and all(share > 0.5 for share in shares.values()),
    )


def draw(result: Result) -> Figure:
    """The solids as minimised, coloured by tegum factor; what each energy leads to, in a table."""
    return polytopes(
        [_drawn(result, *solid) for solid in _SOLIDS if solid[0] in result.numbers["table"]],
        ["least interference E", "least 1/r (Thomson)", "least one-feature loss, b free"],
        [_row(case, row) for case, row in result.numbers["table"].items()],
        "Shape of most starts, and how many of them. Green: the shape the paper names for so many vectors;\n"
        "orange: another. Below 2d + 1 vectors E = 0 for every arrangement without an acute angle.",
    )


_SOLIDS = (
    ("5 in 2", "interference", "pentagon", r"$5 \times 2/5$"),
    ("4 in 3", "coulomb", "tetrahedron", r"$4 \times 3/4$"),
    ("5 in 3", "coulomb", "triangular bipyramid", "triangle + digon\n" + r"$3 \times 2/3 + 2 \times 1/2$"),
    ("6 in 3", "interference", "octahedron", "3 digons\n" + r"$6 \times 1/2$"),
    (
        "7 in 3",
        "interference",
        "pentagonal bipyramid",
        "pentagon + digon\n" + r"$5 \times 2/5 + 2 \times 1/2$",
    ),
    ("8 in 3", "interference", "square antiprism", r"$8 \times 3/8$"),
    ("7 in 3", "trained", "7 in 3, b free", ""),
    ("12 in 3", "trained", "12 in 3, b free", ""),
)


def _drawn(result: Result, case: str, kind: str, title: str, caption: str) -> Solid:
    W = result.arrays[f"{kind} {case}"]
    row = result.numbers["table"][case][kind]
    caption = (
        caption or f"{row['best']}\n$D$ = {row['dimensionality'][0]:.2f} to {row['dimensionality'][-1]:.2f}"
    )
    parts = geometry.recognise(W, represented=0.1).components
    return Solid(title, caption, W / np.linalg.norm(W, axis=0), [c.features for c in parts])


def _row(case: str, row: dict[str, Any]) -> Row:
    k, d = (int(part) for part in case.split(" in "))
    paper = PAPER.get((k, d), ("",))[0]
    cells: list[tuple[str, bool | None]] = []
    for kind in ("interference", "coulomb", "trained"):
        (name, count), *others = row[kind]["names"].items()
        share = 100 * count / sum(row[kind]["names"].values())
        tail = (
            f", {len(others)} others" if len(others) > 1 else f", {next(iter(others))[0]}" if others else ""
        )
        words = f"{name} {share:.0f} %{tail}" if share < 99.5 else name
        cells.append((words, name == paper if paper else None))
    return Row(case, cells)


def alt(result: Result) -> str:
    """Alt text from the numbers."""
    table = result.numbers["table"]
    parts = [
        f"{case}: {row['interference']['best']}, {row['trained']['best']}" for case, row in table.items()
    ]
    return (
        "Polytopes drawn as vectors in the plane and in space, coloured by tegum factor, beside a table of the shape "
        "with the least interference and the shape of least trained loss for k vectors in d dimensions: "
        + "; ".join(parts)
        + "."
    )


if __name__ == "__main__":
    main(__name__)
