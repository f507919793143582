"""A tiny model with an SAE of neurons, and the passes over its text that pages are made of."""

import base64

import jax
import jax.numpy as jnp
import numpy as np

from superposition.interventions import Attached
from superposition.llm.direct import next_token_loss

HOOK, WIDTH, D_SAE, DEAD = "blocks.0.mlp.hook_post", 24, 12, 5


RANDOM = np.random.default_rng(0)


def params_of(sae, x, seed=0):
    """Random parameters; latents fire on 70 % to 3 % of the activations x (..., d_in), and DEAD on none."""
    random = np.random.default_rng(seed)
    params = {
        "W_enc": jnp.asarray(random.normal(0, 0.6, (sae.d_in, sae.d_sae)), jnp.float32),
        "b_enc": jnp.zeros(sae.d_sae),
        "W_dec": jnp.asarray(random.normal(0, 1.0, (sae.d_sae, sae.d_in)), jnp.float32),
        "b_dec": jnp.asarray(random.normal(0, 0.3, sae.d_in), jnp.float32),
    }
    inside, _ = sae.norm_in(jnp.asarray(x, jnp.float32).reshape(-1, sae.d_in))
    pre = np.asarray(sae.pre_acts(params, inside))
    b_enc = np.array(
        [-np.quantile(p, q) for p, q in zip(pre.T, np.linspace(0.3, 0.97, sae.d_sae), strict=True)]
    )
    b_enc[DEAD] = -1e4
    return {**params, "b_enc": jnp.asarray(b_enc, jnp.float32)}


def at_hook(world, lm=None, params=None):
    return Attached(lm or world.lm, HOOK, world.sae, params or world.params)


def panel(page, title):
    (one,) = [p for p in page["panels"] if p["title"] == title]
    return one


def column(data, dtype):
    return np.frombuffer(base64.b64decode(data), dtype)


def losses(logits, ids):
    """Of every token, 0 for the first: (rows, ctx)."""
    logits = np.asarray(logits[:, :-1], np.float64)
    logp = (
        logits
        - np.log(np.exp(logits - logits.max(-1, keepdims=True)).sum(-1, keepdims=True))
        - logits.max(-1, keepdims=True)
    )
    picked = -np.take_along_axis(logp, np.asarray(ids, int)[:, 1:, None], -1)[..., 0]
    return np.pad(picked, ((0, 0), (1, 0)))


next_loss = jax.jit(next_token_loss, static_argnums=0)
