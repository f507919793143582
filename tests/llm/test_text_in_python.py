"""A text is a prompt wherever a model takes tokens, and rows of ids are rows wherever Tokens are wanted."""

import jax
import numpy as np
import pytest

from superposition.errors import ConfigError
from superposition.interventions import (
    Attached,
    Logit,
    ablation_effects,
    ablations,
    attribute,
    effect,
    evaluate,
    firing,
    latents_of,
)
from superposition.llm import LanguageModel
from superposition.llm.stream import lm_stream
from superposition.sae import TopK
from tests.oracles.sae_cases import params_of
from tests.oracles.tokenizer_kinds import byte_level, write_model

HOOK = "blocks.1.hook_resid_post"
SAE = TopK(d_in=16, d_sae=8, k=2)


@pytest.fixture(scope="module")
def lm(tmp_path_factory):
    return LanguageModel.from_hf(write_model(tmp_path_factory.mktemp("m"), byte_level(), puts_bos=True))


@pytest.fixture(scope="module")
def params():
    return params_of(SAE)


def test_a_text_is_a_prompt(lm, params):
    ids = [lm.prompt_ids("once upon")]
    np.testing.assert_array_equal(lm("once upon"), lm(ids))
    for mine, ours in zip(
        lm.run_with_cache("once upon", [HOOK]), lm.run_with_cache(ids, [HOOK]), strict=True
    ):
        jax.tree.map(np.testing.assert_array_equal, mine, ours)
    np.testing.assert_array_equal(lm.generate("once upon", 4), lm.generate(ids, 4))
    np.testing.assert_array_equal(
        latents_of(Attached(lm, HOOK, SAE, params), "once upon"),
        latents_of(Attached(lm, HOOK, SAE, params), ids),
    )


def test_several_texts_are_rows_padded_on_their_left(lm):
    texts = ["once upon a time", "the"]
    logits = lm(texts)
    for row, text in zip(logits, texts, strict=True):
        np.testing.assert_allclose(row[-1], lm(text)[0, -1], atol=2e-4)
    np.testing.assert_array_equal(lm.generate(texts, 3)[1:], lm.generate("the", 3))


def test_rows_of_ids_and_texts_are_rows_of_text(lm, params):
    rows = np.random.default_rng(0).integers(10, 300, (32, 8)).tolist()
    stream = lm_stream(jax.random.key(0), lm, rows, HOOK, mixing=0)
    assert stream.sample(16, batch=16)[0].shape == (16, 16)
    floor = ablations(lm, HOOK, rows)
    assert evaluate(Attached(lm, HOOK, SAE, params), rows, floor).numbers["tokens"] == 32 * 7
    assert firing(Attached(lm, HOOK, SAE, params), rows).tokens == 32 * 7
    told = firing(Attached(lm, HOOK, SAE, params), ["once upon a time", "the king"])
    assert told.tokens == len(lm.token_ids("once upon a time")) + len(lm.token_ids("the king"))


def test_a_target_may_be_text(lm, params):
    (there,) = lm.token_ids(" the")
    problem = (Attached(lm, HOOK, SAE, params), "once upon")
    np.testing.assert_array_equal(
        attribute(*problem, Logit(" the"), steps=2).gradient,
        attribute(*problem, Logit(there), steps=2).gradient,
    )
    np.testing.assert_array_equal(
        ablation_effects(*problem, Logit(" the", other="e"), [1]),
        ablation_effects(*problem, Logit(there, other=lm.token_ids("e")[0]), [1]),
    )


def test_what_is_neither_is_refused_in_words(lm, params):
    for call, said in (
        (lambda: lm([[1, 2], [3]]), "every row of one length"),
        (lambda: lm(["a", 3]), "must be integers .batch, pos. or text"),
        (lambda: lm([5, 6]), r"got shape \(2,\)"),
        (lambda: lm(["a", "b"], mask=[[1], [1]]), "leave mask out"),
        (lambda: lm_stream(jax.random.key(0), lm, [[1, 2], [3]], HOOK), "every row of one length"),
        (lambda: ablations(lm, HOOK, [[1, 999]]), "outside the vocabulary"),
        (
            lambda: attribute(Attached(lm, HOOK, SAE, params), "once", Logit("zq")),
            "must be one token; 'zq' is 2: z|q",
        ),
        (lambda: Logit(" the")(lm("once")), "is text; "),
        (lambda: effect(lm("once")[:, -1], lm("upon")[:, -1], " the"), "is a token id"),
        (lambda: lm.prompt_ids(7), "text must be a string; got int"),
    ):
        with pytest.raises(ConfigError, match=said):
            call()


def test_without_bos_an_empty_prompt_has_nothing_to_begin_with(lm):
    bare = lm.with_facts(lm.token_facts.with_bos(False))
    with pytest.raises(ConfigError, match="give a prompt that is not empty, or begin with BOS"):
        bare("")
    assert bare.prompt_ids("the") == bare.token_ids("the")
    assert lm("").shape[:2] == (1, 1)
