"""What `asymmetric_motif` trains and measures."""

import jax
import numpy as np

from experiments.toy_models.asymmetric_motif.config import Config
from experiments.toy_models.asymmetric_motif.draw import Circuit
from superposition import AdamW, SparseUniform, ToyRun
from superposition.geometry.motif import Motif, motifs
from superposition.toy import AbsoluteValue
from superposition.training import sweep
from superposition.typing import ComputationParams

Found = list[list[Motif]]


def trained(config: Config, init: str, densities: tuple[float, ...]) -> ComputationParams:
    """Train at every density from every seed, with W2 starting by the rule `init`."""
    recipe = ToyRun(
        AbsoluteValue(config.n_features, config.n_hidden, init=init),
        SparseUniform(density=1.0, signed=True),
        importance_base=config.importance_base,
        optimizer=AdamW(config.learning_rate, weight_decay=0.0, schedule="cosine"),
        steps=config.steps,
        batch_size=config.batch_size,
    )
    data = sweep(recipe, {"density": densities, "seed": range(config.seeds)})
    return ComputationParams._make(data[name].values for name in ComputationParams._fields)


def model_at(params: ComputationParams, k: int) -> ComputationParams:
    """Return the parameters of the k-th model of a stack."""
    return ComputationParams._make(a[k] for a in params)


def detect(config: Config, params: ComputationParams) -> Found:
    """Find the motifs of every model of a stack, by default thresholds."""
    thresholds = {"ratio": config.ratio, "effect": config.effect, "inhibition": config.inhibition}
    return [motifs(a, b, **thresholds) for a, b in zip(params.W_in, params.W_out, strict=True)]


def shuffled(rng: np.random.Generator, params: ComputationParams) -> ComputationParams:
    """Every model's own weights, in random places."""
    W_in, W_out = (rng.permuted(a.reshape(len(a), -1), axis=1).reshape(a.shape) for a in params[:2])
    return ComputationParams._make((W_in, W_out, params.b))


def share_with(found: Found) -> float:
    """Return the share of models that have the motif."""
    return float(np.mean([bool(each) for each in found]))


def _outputs(params: ComputationParams, x: np.ndarray) -> np.ndarray:
    return np.maximum(np.maximum(x @ params.W_in.T, 0) @ params.W_out.T + params.b, 0)


def _without(params: ComputationParams, found: Motif) -> ComputationParams:
    """The model with the inhibitor's weight to the weakly read feature's output cut."""
    W_out = params.W_out.copy()
    W_out[found.weak, found.inhibitor] = 0
    return params._replace(W_out=W_out)


def cut_losses(config: Config, params: ComputationParams, found: Motif, density: float) -> tuple[float, ...]:
    """Squared error of the weak output, whole and cut, where x_strong turns the neuron on; its s.e.; and elsewhere."""
    law = SparseUniform(density=density, signed=True)
    x = np.array(law.sample(jax.random.key(19), config.n_features, config.examples))
    sign = np.sign(params.W_in[found.neuron, found.strong])
    size = np.random.default_rng(0).uniform(0, 1, len(x)).astype(x.dtype)
    numbers: list[float] = []
    for side in (sign, -sign):
        x[:, found.strong] = side * size
        target = np.abs(x[:, found.weak])
        errors = [(_outputs(p, x)[:, found.weak] - target) ** 2 for p in (params, _without(params, found))]
        rise = errors[1] - errors[0]
        numbers += [*(float(e.mean()) for e in errors), float(rise.std() / np.sqrt(len(x)))]
    return tuple(numbers)


def curve(params: ComputationParams, found: Motif) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The weak output over x_strong, drawn with the sign that turns the neuron on to the right."""
    t = np.linspace(-1, 1, 41)
    x = np.zeros((len(t), params.W_in.shape[1]))
    x[:, found.strong] = t * np.sign(params.W_in[found.neuron, found.strong])
    whole, cut = (_outputs(p, x)[:, found.weak] for p in (params, _without(params, found)))
    return t, whole, cut


def as_in_the_paper(params: ComputationParams, found: Motif) -> Circuit:
    """The four weights in and out: |reading| of the strong feature 2 and 1, features signed so that it is [2, -1/2]."""
    features, neurons = [found.strong, found.weak], [found.neuron, found.inhibitor]
    read, write = params.W_in[np.ix_(neurons, features)], params.W_out[np.ix_(features, neurons)]
    scale = np.abs(read[:, 0]) / np.array([2, 1])
    read, write = read / scale[:, None], write * scale
    return Circuit(
        read * np.sign(read[0]) * [1, -1], write, (found.strong, found.weak), (found.neuron, found.inhibitor)
    )
