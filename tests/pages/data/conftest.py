"""Fixtures of the tests of pages/data."""

from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest

from superposition.llm import LanguageModel
from superposition.llm.packing import Tokens, pack_text
from superposition.pages.llm import activations as page_activations
from superposition.pages.llm import feature_pages
from superposition.pages.llm.spill import Spill
from superposition.pages.llm.statistics import intervals, measure
from superposition.sae import ReLU
from tests.oracles import tiny_lm
from tests.support.page_data import D_SAE, HOOK, WIDTH, at_hook, params_of


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """A model of two layers, text of three sources, an SAE of neurons, and its latents (rows, ctx, d_sae) by hand."""
    lm = LanguageModel.from_hf(tiny_lm.write_model(tmp_path_factory.mktemp("lm"), layers=2))
    texts = {name: [text] for name, text in tiny_lm.TEXTS.items()}
    tokens = pack_text(lm.tokenizer, texts, 28, bos=0, eos=0)
    kept = np.concatenate([np.flatnonzero(tokens.source == s)[:14] for s in range(3)])
    usable = tokens.usable[kept].copy()
    usable[2, 9:12] = False
    tokens = Tokens(tokens.tokens[kept], usable, tokens.source[kept], tokens.sources)
    sae = ReLU(d_in=WIDTH, d_sae=D_SAE)
    x = np.asarray(lm.run_with_cache(tokens.tokens, [HOOK])[1][HOOK])
    params = params_of(sae, x)
    latents = np.maximum(np.asarray(sae.encode(params, jnp.asarray(x))), 0) * usable[..., None]
    return SimpleNamespace(lm=lm, tokens=tokens, sae=sae, params=params, x=x, latents=latents)


@pytest.fixture(scope="session")
def pages(world):
    made = feature_pages(at_hook(world), world.tokens, seed=3)
    return made.index, list(made.features), list(made.texts)


@pytest.fixture(scope="session")
def parts(world):
    """The two passes themselves, over all latents."""
    spill, ids = Spill(), np.arange(D_SAE)
    source = page_activations.Activations(world.lm, HOOK, world.tokens)
    first = measure(source, world.sae, world.params, ids, spill)
    return first, intervals(spill, ids, first.largest, 28, 3), spill
