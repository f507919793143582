"""Small SAEs for tests: a recipe of every architecture, parameters of which no two are alike, and data."""

import jax
import jax.numpy as jnp
import numpy as np

from superposition.sae import ARCHITECTURES

D_IN, D_SAE, D_OUT, BATCH = 4, 9, 3, 12
KINDS = ("sae", "transcoder", "skip")
TRAINED = [name for name, cls in ARCHITECTURES.items() if cls.trains]
CASES = [(name, kind) for name, cls in ARCHITECTURES.items() for kind in KINDS[: 3 if cls.transcodes else 1]]
OWN = {
    "relu": {"penalty": 0.3},
    "random": {"penalty": 0.3},
    "bricken": {"penalty": 0.3},
    "gated": {"penalty": 0.3},
    "topk": {"k": 3, "dead_after": 100},
    "abstopk": {"k": 3, "dead_after": 100},
    "batch-topk": {"k": 2.4, "dead_after": 100},
    "matryoshka": {"k": 2.4, "dead_after": 100, "prefixes": (2, 5, D_SAE)},
    "jumprelu": {"penalty": 0.3, "bandwidth": 0.4, "threshold": 0.3},
    "matching-pursuit": {"max_iterations": 3, "residual_threshold": 0.2},
    "identity": {"d_sae": D_IN},
    "pca": {"d_sae": 3},
}


def recipe(name, kind="sae", **fields):
    kinds = {"sae": {}, "transcoder": {"d_out": D_OUT}, "skip": {"d_out": D_OUT, "skip": True}}
    return ARCHITECTURES[name](**{"d_in": D_IN, "d_sae": D_SAE} | OWN[name] | kinds[kind] | fields)


def data(sae, seed=0, rows=BATCH):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, sae.d_in)).astype(np.float32)
    if sae.d_out is None:
        return jnp.asarray(x), jnp.asarray(x)
    return jnp.asarray(x), jnp.asarray(rng.normal(size=(rows, sae.d_out)).astype(np.float32))


def params_of(sae, seed=0):
    """Random parameters of the shapes init_params gives; where an SAE needs unit rows, unit rows."""
    rng = np.random.default_rng(seed + 100)
    like = jax.eval_shape(
        lambda: sae.init_params(jax.random.key(0), *(jnp.zeros((5, w)) for w in (sae.d_in, sae.target_width)))
    )
    params = {
        k: jnp.asarray(0.6 * rng.normal(size=a.shape).astype(np.float32)) for k, a in sorted(like.items())
    }
    if "threshold" in params:
        params["threshold"] = jnp.abs(params["threshold"])
    return sae.constrain(params, state_of(sae)) if type(sae).__name__ == "MatchingPursuit" else params


def state_of(sae, dead=()):
    state = sae.init_state()
    return {**state, "silent": state["silent"].at[np.array(dead, int)].set(1000)} if len(dead) else state
