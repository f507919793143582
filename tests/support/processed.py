"""A small model whose weights can be processed as TransformerLens does."""

from dataclasses import replace

import numpy as np

from superposition.llm import LanguageModel
from superposition.llm.decoder import shapes
from tests.oracles import tiny_lm


def model(**changes):
    spec = replace(tiny_lm.spec(2), **changes)
    rng = np.random.default_rng(0)
    params = {n: np.asarray(0.3 + rng.normal(size=s), np.float32) for n, s in shapes(spec).items()}
    import jax.numpy as jnp

    return LanguageModel.of(spec, {n: jnp.asarray(p) for n, p in params.items()}, name="scratch")
