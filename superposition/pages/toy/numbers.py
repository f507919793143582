"""The numbers on a toy model's pages: the truth about its features, and the SAE that looked for them."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from superposition import geometry, metrics
from superposition.errors import ConfigError
from superposition.expected_loss import expected_losses
from superposition.features import FeatureLaw
from superposition.interventions.toy import Effects, ablation_error, partners, steering_error
from superposition.sae import SAE, Params
from superposition.toy import Tied, require_tied
from superposition.typing import PRNGKey, ToyParams

REPRESENTED = 0.5  # norm from which a feature has a place in the hidden space
NEAR = 0.2  # |cosine| from which two represented features are neighbours in the interference graph
EXACT = 64  # features up to which losses are exact; their cost grows as n^3
NODES = 256  # of the series in float64: 1e-7 relative on trained models of 32 features
ACTED = 2048  # examples that interventions are measured on
DELTA = 0.5


class Truth(NamedTuple):
    """What is known of the features, (n,); x and x' (batch, n), h (batch, m)."""

    W: np.ndarray
    b: np.ndarray
    norms: np.ndarray
    interference: np.ndarray
    dimensionality: np.ndarray
    cosines: np.ndarray  # (n, n)
    importance: np.ndarray
    density: np.ndarray
    shape: list[str]
    group: list[np.ndarray]  # the features of its component, itself among them
    exact: bool  # of the next three: in closed form, else over the examples
    loss: np.ndarray  # E (x_i - x'_i)^2
    own: np.ndarray  # the same with all other features 0
    loss_effect: np.ndarray  # change of sum_k I_k loss_k when W_i is set to 0
    moved: Effects  # by moving each feature itself
    x: np.ndarray
    h: np.ndarray


class Found(NamedTuple):
    """What an SAE made of it, per latent (d_sae,)."""

    feature: np.ndarray  # matched to a represented one, -1 for none
    latent: np.ndarray  # (n,) the way back, -1 for none
    cosines: np.ndarray  # (d_sae, n)
    own_cosines: np.ndarray  # (d_sae, d_sae) among decoder rows
    correlations: np.ndarray  # (d_sae, d_sae) among activations
    scores: metrics.Scores
    activations: np.ndarray  # (batch, d_sae)
    density: np.ndarray
    max: np.ndarray
    steered: Effects
    ablated: Effects
    random: Effects  # a random direction, as far as the feature itself
    fvu: float


def truth(
    model: Tied, params: ToyParams, law: FeatureLaw, importance: Any, key: PRNGKey, examples: int
) -> Truth:
    """Everything true about a model on a law; ConfigError for arrays that do not fit or are not finite."""
    require_tied(model, "a toy model's pages")
    m, n = model.n_hidden, model.n_features
    W, b = (np.asarray(v, np.float64) for v in params)
    if W.shape != (m, n) or b.shape != (n,):
        raise ConfigError(f"W must be ({m}, {n}) and b ({n},) for this model; got {W.shape} and {b.shape}")
    weight = np.asarray(importance, np.float64)
    if weight.shape not in ((), (n,)) or not (np.isfinite(weight).all() and (weight >= 0).all()):
        raise ConfigError(f"importance must be a number >= 0, or {n} of them; got {importance!r}")
    if not (np.isfinite(W).all() and np.isfinite(b).all()):
        raise ConfigError("W and b must be finite; this model's training diverged: train it again")
    weight = np.broadcast_to(weight, (n,))
    x = np.asarray(law.sample(key, n, examples), np.float64)
    h = x @ W.T
    exact = n <= EXACT and law.exact and law.independent_sets(n) is None
    density = law.densities(n) if exact else (x != 0).mean(0)
    loss, own, effect = (_exact if exact else _sampled)(model, W, b, weight, density, law, x)
    shape, group = components(W)
    return Truth(
        W,
        b,
        norms=geometry.norms(W),
        interference=geometry.interference(W),
        dimensionality=geometry.dimensionality(W),
        cosines=geometry.cosines(W),
        importance=weight,
        density=density,
        shape=shape,
        group=group,
        exact=exact,
        loss=loss,
        own=own,
        loss_effect=effect,
        moved=steering_error(model, params, W.T, x[:ACTED], delta=DELTA, feature=np.arange(n)),
        x=x,
        h=h,
    )


def components(W: np.ndarray) -> tuple[list[str], list[np.ndarray]]:
    """Name and members of every feature's polytope; a feature that is not represented is alone in its group."""
    n = W.shape[1]
    names, groups = ["not represented"] * n, [np.array([i]) for i in range(n)]
    for part in geometry.recognise(W, edge=NEAR, represented=REPRESENTED).components:
        for i in part.features:
            names[i], groups[i] = part.name, np.array(part.features)
    return names, groups


def found(model: Tied, params: ToyParams, of: Truth, sae: SAE, sae_params: Params, key: PRNGKey) -> Found:
    """Everything about an SAE of the hidden activations; ConfigError for one of another width."""
    rows = np.asarray(sae_params["W_dec"], np.float64)
    if rows.shape != (sae.d_sae, model.n_hidden) or sae.d_in != model.n_hidden or sae.d_out is not None:
        raise ConfigError(
            f"the SAE must read and write the {model.n_hidden} hidden numbers; got d_in={sae.d_in}, "
            f"d_out={sae.d_out} and W_dec {rows.shape}"
        )
    h = jnp.asarray(of.h, jnp.float32)
    latents, h_hat = (np.asarray(v, np.float64) for v in sae.reconstruct(sae_params, h))
    feature = np.full(sae.d_sae, -1)
    kept = np.flatnonzero(of.norms > REPRESENTED)  # the direction of what is hardly there is noise
    if len(kept):
        feature = np.append(kept, -1)[partners(rows, of.W.T[kept])]
    latent = np.full(model.n_features, -1)
    latent[feature[feature >= 0]] = np.flatnonzero(feature >= 0)
    x = of.x[:ACTED]
    away = np.asarray(jax.random.normal(key, rows.shape), np.float64)
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    act = partial(steering_error, model, params, delta=DELTA, feature=feature)
    return Found(
        feature,
        latent,
        cosines=np.asarray(metrics.cosines(rows, of.W.T)),
        own_cosines=np.asarray(metrics.cosines(rows, rows)),
        correlations=metrics.correlations(metrics.correlation_sums(latents, latents)),
        scores=metrics.classify_from(metrics.accumulate(None, None, latents, of.x, feature)).per_latent,
        activations=latents,
        density=(latents != 0).mean(0),
        max=latents.max(0),
        steered=act(rows, x),
        ablated=ablation_error(model, params, sae, sae_params, x, feature=feature),
        random=act(away, x, amount=DELTA * of.norms[feature]),
        fvu=float(metrics.fvu(of.h, h_hat)),
    )


def response(model: Tied, of: Truth, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x'_i over x_i in `at`, (n, len(at)): with all other features 0, and the mean over their distribution."""
    A = of.W.T @ of.W
    own = np.diagonal(A)
    others = (of.h @ of.W - own * of.x + of.b)[:4096]
    alone = own[:, None] * at + of.b[:, None]
    mean = np.stack([_out(model, others + own * value).mean(0) for value in at], 1)
    return _out(model, alone), mean


def _out(model: Tied, z: np.ndarray) -> np.ndarray:
    return np.maximum(z, 0) if model.activation == "relu" else z


def _exact(
    model: Tied,
    W: np.ndarray,
    b: np.ndarray,
    weight: np.ndarray,
    density: np.ndarray,
    law: FeatureLaw,
    _: Any,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Loss, own part and effect of setting each column of W to 0, in closed form."""
    with jax.enable_x64(True):
        arrays = (jnp.asarray(v, jnp.float64) for v in (W, b, density))
        total, own, without = jax.device_get(_losses(model.activation, law.signed, *arrays))
    return total, own, without @ weight - total @ weight


@partial(jax.jit, static_argnums=(0, 1))
def _losses(activation: str, signed: bool, W: Any, b: Any, density: Any) -> tuple[Any, Any, Any]:
    loss = partial(expected_losses, activation=activation, signed=signed, nodes=NODES)
    features = jnp.arange(len(b))
    columns = jnp.where(features[None] == jnp.arange(-1, len(b))[:, None], 0, 1)  # all of them; each but one
    every = jax.lax.map(lambda kept: loss(ToyParams(W * kept[None], b), density), columns)
    norms = geometry.norms(W)
    own = jax.vmap(lambda w, b, p: loss(ToyParams(w[None, None], b[None]), p[None])[0])(norms, b, density)
    return every[0], own, every[1:]


def _sampled(
    model: Tied,
    W: np.ndarray,
    b: np.ndarray,
    weight: np.ndarray,
    density: np.ndarray,
    law: FeatureLaw,
    x: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same over the examples x, each without its feature in pairs with itself."""
    del density, law
    z = x @ W.T @ W + b
    total = ((x - _out(model, z)) ** 2).mean(0)
    own = ((x - _out(model, (W * W).sum(0) * x + b)) ** 2).mean(0)
    effect = np.empty(len(b))
    for i in range(len(b)):
        less = z - np.outer(x[:, i], W[:, i] @ W)
        less[:, i] = b[i]
        effect[i] = ((x - _out(model, less)) ** 2).mean(0) @ weight
    return total, own, effect - total @ weight
