"""`superposition demo`: the lecture's figure in small, what it shows in three lines, and where to go on."""

from pathlib import Path
from typing import Any

import numpy as np

from superposition import geometry, plot, theory
from superposition._internal.opening import show_file
from superposition.cli.toy.config import DemoConfig
from superposition.toy import Linear, ReLUOutput, ToyModel
from superposition.training.api import sweep
from superposition.training.optimizer import AdamW
from superposition.training.toy import ToyRun

DEFAULT = Path("runs/demo.png")
N_FEATURES, N_HIDDEN, IMPORTANCE_BASE = 20, 5, 0.7
DENSITIES, SEEDS, STEPS, BATCH_SIZE = (1.0, 0.1, 0.01), 3, 2000, 512
NEXT = """\
# the whole figure, a minute; superposition show runs/lecture.zarr draws it
superposition sweep --n-features 20 --n-hidden 5 --importance-base 0.7 --density 1 0.3 0.1 0.03 0.01 0.003 0.001 --seed 0..9 \
--steps 10000 --out runs/lecture.zarr
# a sparse autoencoder finds the features again, half a minute
superposition sae train --toy runs/lecture.zarr --cell density=0.03 --architecture topk --k 1 --d-sae 40 --steps 4000 \
--out runs/saes
# a latent of a language model, turned up and down, half a minute
superposition steer --latent 136 --strength -2 0 2 --prompt "Once upon a time" --max-tokens 20000
# what ten latents fire on, as a page for the browser, a minute
superposition page --latents 0..9 --max-tokens 20000 --out runs/pages""".splitlines()


def demo(config: DemoConfig) -> str:
    """Train, draw, write and open the figure; returns what it shows and four commands to go on with."""
    linear, relu = (_best(model, rate) for model, rate in ((Linear, 1e-2), (ReLUOutput, 3e-3)))
    kept = geometry.represented(relu["W"])
    title = f"Sparsity lets a ReLU model keep {kept[-1]} features in {N_HIDDEN} dimensions"
    with plot.style("lecture", title=title):
        figure = plot.columns(
            np.concatenate([linear["W"][-1:], relu["W"]]),
            np.concatenate([linear["b"][-1:], relu["b"]]),
            ["Linear", *(f"ReLU, 1−S={p:g}" for p in DENSITIES)],
            importance_label=f"{IMPORTANCE_BASE}^i",
        )
    lines = explained(linear, relu)
    path = plot.save(figure, config.out or DEFAULT, alt=" ".join(lines), title=title)
    opened = config.open and show_file(path)
    told = [f"{'wrote and opened' if opened else 'wrote'} {path}", ""]
    told += [f"{number}. {line}" for number, line in enumerate(lines, 1)]
    return "\n".join([*told, "", "Next:", *(f"  {line}" for line in NEXT)])


def explained(linear: dict[str, np.ndarray], relu: dict[str, np.ndarray]) -> list[str]:
    """Three lines on what the models keep, from their numbers: W (density, m, n), b (density, n), loss (density,)."""
    flat = geometry.represented(linear["W"])
    kept = geometry.represented(relu["W"])
    shapes = [geometry.recognise(W).name for W in relu["W"]]
    most = f"{flat.min()}" if flat.min() == flat.max() else f"{flat.min()} to {flat.max()}"
    optimum = theory.linear_optimum(IMPORTANCE_BASE ** np.arange(N_FEATURES), DENSITIES[-1], N_HIDDEN)
    found = ", ".join(
        f"{count} at 1-S = {p:g} ({shape})" for count, p, shape in zip(kept, DENSITIES, shapes, strict=True)
    )
    return [
        f"The linear model keeps {most} of {N_FEATURES} features, one for each of its {N_HIDDEN} dimensions, however rare they "
        "are.",
        f"The ReLU model keeps more, the rarer features are active (1-S): {found}.",
        f"Rare features seldom meet, so sharing a dimension costs little: at 1-S = {DENSITIES[-1]:g} its exact loss is "
        f"{relu['loss'][-1] / optimum:.0%} of what any linear model can reach.",
    ]


def _best(model: type[ToyModel], rate: float) -> dict[str, np.ndarray]:
    """W, b and loss of the best seed at every density."""
    recipe: Any = model
    run = ToyRun(
        recipe(N_FEATURES, N_HIDDEN),
        importance_base=IMPORTANCE_BASE,
        optimizer=AdamW(rate, schedule="cosine"),
        steps=STEPS,
        batch_size=BATCH_SIZE,
    )
    toys = sweep(run, {"density": DENSITIES, "seed": range(SEEDS)})
    best = [toys.best(density=density) for density in DENSITIES]
    return {name: np.stack([np.asarray(getattr(one, name)) for one in best]) for name in ("W", "b", "loss")}
