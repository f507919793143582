"""Losses under edits, by source: those of `ablations` and of `evaluate`, which compute them their own way."""

import math

import numpy as np
import pytest

from superposition.errors import ConfigError
from superposition.interventions import Replace, ablations, evaluate, losses
from superposition.llm import LanguageModel
from superposition.llm.packing import concatenate, token_array
from superposition.storage import formats

HOOK = "blocks.0.mlp.hook_post"


@pytest.fixture(scope="module")
def attached():
    return LanguageModel.from_hf().attach(formats.load("superposition/small-lm-sae"))


@pytest.fixture(scope="module")
def text(attached):
    """Two sources of random tokens, and one of which no next token counts."""
    rng, lm = np.random.default_rng(0), attached.lm
    parts = [
        token_array(rng.integers(5, 3000, (n, 24)), vocab=3072, facts=lm.token_facts, source=name)
        for n, name in ((3, "one"), (2, "two"), (1, "empty"))
    ]
    parts[2] = parts[2]._replace(usable=np.zeros((1, 24), bool))
    return concatenate(parts)


def test_without_an_edit_and_at_zero_they_are_those_of_ablations(attached, text):
    floor = ablations(attached.lm, HOOK, text)
    plain, zero = losses(attached.lm, text), losses(attached.lm, text, {HOOK: Replace(0.0)})
    for i, name in enumerate(("one", "two")):
        rows = text.source == i
        count = floor.scored[rows].sum()
        assert plain[name] == pytest.approx(floor.clean[rows].sum() / count, rel=1e-5)
        assert zero[name] == pytest.approx(floor.zero[rows].sum() / count, rel=1e-5)
    assert math.isnan(plain["empty"])


def test_on_the_reconstruction_they_are_those_of_evaluate(attached, text):
    spliced = losses(attached.lm, text, attached.splice().edits)
    by_source = evaluate(attached, text).by_source
    for name in ("one", "two"):
        assert spliced[name] == pytest.approx(by_source[name]["ce_spliced"], rel=1e-5)


def test_text_without_a_next_token_is_refused(attached, text):
    with pytest.raises(ConfigError, match="no usable next token"):
        losses(attached.lm, text.of("empty"))
