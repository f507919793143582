"""Superposition makes a model easy to attack: vulnerability rises with features per dimension, n=400, m=30.

Elhage et al. 2022, "Superposition and adversarial vulnerability": x is moved by at most 0.1 of the mean input
norm, along a row of W^T W, whichever hurts most (the paper's analytic attack), and the extra loss L' - L is
held against L'_0 - L_0, that of a model without superposition. The paper does not say whether that model sees
the same inputs; here it does, and so the same norm: features 0 to 29 have a dimension each, the others' means
are their biases. The other reading, the models of density 1 on their own, much larger inputs, is reported too.
Projected gradient ascent, which knows nothing of W, checks the analytic attack.

The models are those of `experiments._uniform`, which gives our training. Adversarial training, where the paper
says only that norms of 80 % were needed to remove superposition: n=20, m=5, density 0.05, AdamW, 1,500 steps
of 128 examples, learning rate 5e-3 falling to 0 as a cosine, each example attacked along rows in every step.

Command:  python -m experiments.adversarial
Time:     four minutes on two cores, nearly all of it the 150 models that two other figures share
Expect:   vulnerability rises more than thirtyfold, in the same order as features per dimension
"""

from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure
from scipy.stats import spearmanr

from experiments._base import Claim, Result, main
from experiments._check import several
from experiments._uniform import UniformSweep, trained
from superposition import AdamW, ReLUOutput, SparseUniform, geometry
from superposition._internal import validate
from superposition.plot.adversarial import Training, adversarial
from superposition.theory.adversarial import along_rows, mean_input_norm, vulnerability
from superposition.toy import ToyModel
from superposition.typing import ToyParams

SHARED = trained.__module__  # one training for three figures


@dataclass(frozen=True)
class Config:
    """Models attacked, attacks, and the models trained under attack."""

    uniform: UniformSweep = field(default_factory=UniformSweep)
    longer: tuple[int, ...] = (8, 14, 24)  # densities also trained four times longer
    attack: float = 0.1
    examples: int = 128
    hidden: int = 5
    features: int = 20
    density: float = 0.05
    training_attacks: tuple[float, ...] = (0.0, 0.1, 0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2)
    seeds: int = 3
    steps: int = 1_500
    batch_size: int = 128
    learning_rate: float = 5e-3

    def __post_init__(self) -> None:
        several("uniform.densities", self.uniform.densities)
        for index in self.longer:
            validate.integer("longer, indices into uniform.densities,", index, 0, len(self.uniform.densities))
        validate.integer("examples", self.examples, 2)

    @classmethod
    def quick(cls) -> "Config":
        """A small version: structure, not science."""
        small = UniformSweep(40, 4, (1.0, 0.1, 0.02), seeds=1, steps=20, batch_size=16)
        return cls(small, longer=(), examples=8, training_attacks=(0.0, 0.8), seeds=1, steps=5, batch_size=8)


def run(config: Config) -> Result:
    """Attack every model, and the one without superposition, at every density; train small ones under attack."""
    uniform = config.uniform
    model = ReLUOutput(uniform.n_features, uniform.n_hidden)
    models = trained(uniform)
    per_dimension = (models["W"] ** 2).sum((2, 3)) / uniform.n_hidden
    rows = [_attacks(config, model, models, i, p) for i, p in enumerate(uniform.densities)]
    found = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    relative = found["extra"] / found["extra_plain"][:, None]
    ascent = found["extra_ascent"] / found["extra_plain"]
    error = found["error"] / found["extra_plain"][:, None]
    fractions = np.array(config.training_attacks)
    W, b = _trained_under_attack(config)
    training_dimension, represented = (W**2).sum((2, 3)) / config.hidden, geometry.represented(W)
    claims = [
        *_rises(config, relative, error, found),
        *_tracks(relative, per_dimension),
        *_agree(found),
        *_converged(uniform, models["loss"], config.longer),
        *_removed(config, fractions, represented, training_dimension),
    ]
    arrays = {
        "relative": relative,
        "relative_error": error,
        "ascent": ascent,
        "per_dimension": per_dimension,
        "norm": found["norm"],
        "extra": found["extra"],
        "extra_plain": found["extra_plain"],
        "training_attacks": fractions,
        "training_per_dimension": training_dimension,
        "training_represented": represented,
        "training_bias": b,
    }
    return Result(config, claims, arrays)


def _attacks(
    config: Config, model: ToyModel, models: dict[str, np.ndarray], i: int, p: float
) -> dict[str, Any]:
    """Extra losses at one density: of every seed, of the first under ascent, and without superposition."""
    n, m = model.n_features, model.n_hidden
    norm = config.attack * mean_input_norm(p, n)
    key = jax.random.key(0)  # the same inputs for every seed, and for the model compared with

    def extra(params: ToyParams, ascent: bool = False) -> tuple[float, float]:
        v = vulnerability(model, params, 1.0, p, norm, key=key, examples=config.examples, ascent=ascent)
        return float(v.attacked - v.clean), float(v.standard_error)

    def parameters(s: int) -> ToyParams:
        return ToyParams(jnp.asarray(models["W"][i, s]), jnp.asarray(models["b"][i, s]))

    plain = ToyParams(jnp.eye(m, n), jnp.where(jnp.arange(n) < m, 0.0, p / 2))
    every = np.array([extra(parameters(s)) for s in range(models["W"].shape[1])])
    return {
        "norm": norm,
        "extra": every[:, 0],
        "error": every[:, 1],
        "extra_plain": extra(plain)[0],
        "extra_ascent": extra(parameters(0), ascent=True)[0],
    }


def _trained_under_attack(config: Config) -> tuple[np.ndarray, np.ndarray]:
    """W (fraction, seed, m, n) and b of small models trained on inputs attacked at fractions of the input norm."""
    model = ReLUOutput(config.features, config.hidden)
    law = SparseUniform(config.density)
    optimizer = AdamW(config.learning_rate, weight_decay=0.0, schedule="cosine").build(config.steps)
    size = mean_input_norm(config.density, config.features)
    weight = jnp.ones(config.features)

    def one(fraction: Any, seed: Any) -> ToyParams:
        start, draws = jax.random.split(jax.random.key(seed))
        norm = fraction * size

        def loss(params: ToyParams, x: Any) -> Any:
            # An attack's direction is taken as given; with fraction 0 it is no attack.
            fixed = jax.lax.stop_gradient(params)
            change = jax.lax.stop_gradient(along_rows(model, fixed, x, weight, norm).change)
            outputs = jax.vmap(lambda e: model.apply(params, e))(x + change)
            return ((x - outputs) ** 2).sum(1).mean()

        def step(i: Any, carry: Any) -> Any:
            params, state = carry
            x = law.sample(jax.random.fold_in(draws, i), config.features, config.batch_size)
            updates, state = optimizer.update(jax.grad(loss)(params, x), state, params)
            return jax.tree.map(jnp.add, params, updates), state

        params = model.init_params(start)
        return jax.lax.fori_loop(0, config.steps, step, (params, optimizer.init(params)))[0]

    grid = jnp.asarray(config.training_attacks)[:, None], jnp.arange(config.seeds)[None]
    params = jax.jit(jax.vmap(jax.vmap(one, (None, 0)), (0, None)))(grid[0][:, 0], grid[1][0])
    return np.asarray(params.W), np.asarray(params.b)


def _rises(config: Config, relative: np.ndarray, error: np.ndarray, found: dict[str, Any]) -> list[Claim]:
    mean = relative.mean(1)
    ratio = mean.max() / mean.min()
    own = found["extra"].mean(1)
    own = own / own[0]
    return [
        Claim(
            "F16",
            "superposition makes a model vulnerable: the extra loss under attack, relative to that of a model "
            "without superposition on the same inputs, rises more than threefold with sparsity",
            "more than 3x",
            f"{mean[0]:.2f} at 1/(1-S) = 1, {mean[-1]:.1f} at {1 / config.uniform.densities[-1]:.0f}: {ratio:.1f}x "
            f"(largest standard error {100 * (error / relative).max():.0f} % of a value)",
            bool(ratio > 3),
        ),
        Claim(
            "F16",
            "the same read another way: relative to the dense models on dense inputs, whose attacks are larger "
            "with the inputs, the extra loss rises more than threefold [the paper leaves open which is meant]",
            "more than 3x",
            f"between {own.min():.2f} and {own.max():.2f} of the dense models' extra loss",
            bool(own.max() > 3),
            expected=False,
        ),
    ]


def _tracks(relative: np.ndarray, per_dimension: np.ndarray) -> list[Claim]:
    mean, load = relative.mean(1), per_dimension.mean(1)
    rank = float(spearmanr(mean, load).statistic)
    power = np.polyfit(np.log(load), np.log(mean), 1)[0]
    straight = float(np.corrcoef(load, mean)[0, 1])
    return [
        Claim(
            "F16",
            "vulnerability tracks features per dimension, 1/D* = ||W||_F^2 / m, across sparsity",
            "highly correlated (we ask Spearman > 0.95)",
            f"Spearman {rank:.3f}, correlation {straight:.3f}; grows as (1/D*)^{power:.2f}",
            bool(rank > 0.95),
        )
    ]


def _agree(found: dict[str, Any]) -> list[Claim]:
    ratio = found["extra_ascent"] / found["extra"][:, 0]
    least, most = ratio.min(), ratio.max()
    rank = float(spearmanr(found["extra_ascent"] / found["extra_plain"], found["extra"][:, 0]
                           / found["extra_plain"]).statistic)  # fmt: skip
    return [
        Claim(
            "F16",
            "the analytic attack is the worst there is: gradient ascent finds no more than 5 % extra loss beyond it",
            "used as the optimal attack",
            f"ascent finds {least:.2f} to {most:.2f} times the analytic attack's extra loss",
            bool(most < 1.05),
            expected=False,
        ),
        Claim(
            "this lab",
            "gradient ascent, which knows nothing of W, does at least as much harm as the analytic attack at every "
            "sparsity (to 1 %), and orders the sparsities alike (Spearman > 0.95)",
            "not in the paper",
            f"least ratio {least:.3f}; Spearman {rank:.3f}",
            bool(least > 0.99 and rank > 0.95),
        ),
    ]


def _converged(uniform: UniformSweep, loss: np.ndarray, at: tuple[int, ...]) -> list[Claim]:
    if not at:
        return []
    densities = tuple(uniform.densities[i] for i in at)
    longer = trained(replace(uniform, densities=densities, seeds=1, longer=4))["loss"][:, 0]
    excess = loss[list(at), 0] / longer - 1
    parts = ", ".join(
        f"{100 * e:.2f} % at 1/(1-S) = {1 / p:.1f}" for e, p in zip(excess, densities, strict=True)
    )
    return [
        Claim(
            "this lab",
            "the shared models are near the end of training: their exact loss is within 5 % of that of runs four times "
            "longer",
            "no training settings given",
            f"above it by {parts}",
            bool(excess.max() < 0.05),
        )
    ]


def _removed(
    config: Config, fractions: np.ndarray, represented: np.ndarray, per_dimension: np.ndarray
) -> list[Claim]:
    load, kept = per_dimension.mean(1), represented.mean(1)
    loads = ", ".join(f"{100 * f:.0f} %: {v:.2f}" for f, v in zip(fractions, load, strict=True))
    half, eighty = (int(np.argmin(np.abs(fractions - f))) for f in (0.4, 0.8))
    few = np.flatnonzero(kept <= config.hidden)
    first = f"{100 * fractions[few[0]]:.0f} %" if len(few) else "none tried"
    order = float(spearmanr(fractions, load).statistic)
    return [
        Claim(
            "F16",
            "adversarial training removes superposition (at most one feature a dimension, 1/D* <= 1), but it takes "
            "attacks of 80 % of the input norm; 40 % do not do it",
            "80 % of the input norm (model not stated)",
            f"1/D* after attacks of {loads}",
            bool(load[half] > 1 and load[eighty] <= 1),
        ),
        Claim(
            "F16",
            "the same by counting: after attacks of 80 % no more features are represented (norm > 1/2) than there are "
            "dimensions",
            "80 % of the input norm",
            f"{kept[eighty]:.1f} features in {config.hidden} dimensions; no more than that from {first} on",
            bool(kept[eighty] <= config.hidden),
            expected=False,
        ),
        Claim(
            "this lab",
            "the larger the attacks in training, the fewer features per dimension (rank correlation < -0.95)",
            "not in the paper",
            f"||W||_F^2 / m from {load[0]:.2f} down to {load[-1]:.2f}; rank correlation with the attacks {order:.3f}",
            bool(order < -0.95),
        ),
    ]


def draw(result: Result) -> Figure:
    """Vulnerability and features per dimension over sparsity, one against the other, and after training."""
    a = result.arrays
    training = Training(a["training_attacks"], a["training_per_dimension"], a["training_represented"])
    return adversarial(
        1 / np.array(result.config.uniform.densities),
        a["relative"],
        a["ascent"],
        a["per_dimension"],
        training,
    )


def alt(result: Result) -> str:
    """Alt text from the numbers."""
    relative, load = result.arrays["relative"].mean(1), result.arrays["per_dimension"].mean(1)
    last = 1 / result.config.uniform.densities[-1]
    return (
        f"Over 1/(1-S) from 1 to {last:.0f}, relative vulnerability rises from {relative[0]:.2f} to {relative[-1]:.1f} "
        f"while features per dimension rise from {load[0]:.2f} to {load[-1]:.1f}; one against the other, the models "
        "lie on one rising curve; and features per dimension after training under attacks of growing norm."
    )


if __name__ == "__main__":
    main(__name__)
