"""An SAE attached to the model that ships: the first script's last line, edits in a chain, reprs, examples in docstrings."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from superposition import interventions
from superposition.errors import ConfigError
from superposition.interventions import Attached, DoseResponse, Edited, Requirements, attach, effect
from superposition.llm import LanguageModel
from superposition.llm.packing import Tokens
from superposition.sae import TopK
from superposition.storage import formats
from tests.oracles.sae_cases import params_of

HOOK = "blocks.0.mlp.hook_post"
PROMPT = "Once upon a time"
STRONG = 20.0  # of latent 136: about twice its largest activation


@pytest.fixture(scope="module")
def lm():
    return LanguageModel.from_hf()


@pytest.fixture(scope="module")
def loaded():
    return formats.load("superposition/small-lm-sae")


@pytest.fixture(scope="module")
def attached(lm, loaded):
    return lm.attach(loaded)


def test_the_last_line_of_the_first_script_runs_as_written(lm):
    text = lm.attach(formats.load("superposition/small-lm-sae")).steer(136, 2.0).generate("Once upon a time")
    assert text.startswith("Once upon a time")
    assert len(text) > 60


def test_a_steered_text_is_that_of_the_model_with_the_edit_and_another_one(lm, attached):
    edits = interventions.steer(attached, 136, STRONG)
    ids = lm.prompt_ids(PROMPT)
    new = lm.generate([ids], 12, edits=edits, end=lm.token_facts.eos)[0].tolist()
    text = attached.steer(136, STRONG).generate(PROMPT, 12)
    assert text == PROMPT + lm.continuation(ids, lm.token_facts.until_eos(new))
    assert text != attached.generate(PROMPT, 12)
    both = attached.steer(136, STRONG).generate([PROMPT, "He"], 12)
    assert both[0] == text
    np.testing.assert_array_equal(attached.steer(136, STRONG).generate([ids], 12), [new])


def test_draws_are_a_function_of_the_seed(attached):
    edited = attached.steer(136, 5.0)
    one, again, other = (edited.generate(PROMPT, 12, seed=seed, temperature=1.0) for seed in (1, 1, 2))
    assert one == again != other
    with pytest.raises(ConfigError, match="seed must be an integer"):
        edited.generate(PROMPT, seed=-1)


def test_edits_act_one_after_the_other(lm, attached):
    """Clamping after steering leaves the clamp; the other way round the latent is moved from where it was set."""
    x = lm.run_with_cache(PROMPT, [HOOK])[1][HOOK]
    context = interventions.edited.Context(HOOK, jnp.arange(x.shape[1])[None], None)
    by_hand = x
    for edits in (interventions.steer(attached, 136, 4.0), interventions.clamp(attached, 7, 3.0)):
        by_hand = edits[HOOK](by_hand, context)
    chain = attached.steer(136, 4.0).clamp(7, 3.0)
    seen = lm.run_with_cache(PROMPT, [HOOK], edits=chain.edits)[1][HOOK]
    np.testing.assert_allclose(seen, by_hand, rtol=1e-5, atol=1e-5)
    ends = []
    for edited in (attached.steer(136, 4.0).clamp(136, 0.0), attached.clamp(136, 0.0).steer(136, 4.0)):
        ends.append(np.asarray(lm.run_with_cache(PROMPT, [HOOK], edits=edited.edits)[1][HOOK]))
    assert np.abs(ends[0] - ends[1]).max() > 0.1
    assert not Edited(attached).edits


def test_an_edit_from_a_position_on_leaves_what_is_before(lm, attached):
    plain, late = lm(PROMPT), attached.steer(136, STRONG, first=3).logits(PROMPT)
    np.testing.assert_array_equal(late[:, :3], plain[:, :3])
    assert np.abs(late[:, 3:] - plain[:, 3:]).max() > 0.1
    some = attached.ablate([12, 7], "resample", values=np.ones((4, 2)), seed=3, first=1, last=2)
    assert repr(some).startswith("Edited(ablate latents 12, 7 to resample from position 1 to 2; TopK(")
    with pytest.raises(ConfigError, match="last must be an integer >= 3"):
        attached.steer(136, 1.0, first=3, last=2)


def test_every_edit_of_the_value_is_the_pure_function(lm, attached):
    pool = np.abs(np.random.default_rng(0).normal(size=(5, 2)))
    pairs = [
        (attached.steer([136, 7], [1.0, 2.0]), interventions.steer(attached, [136, 7], [1.0, 2.0])),
        (attached.clamp(136, 2.0), interventions.clamp(attached, 136, 2.0)),
        (
            attached.ablate([12, 7], "resample", values=pool, seed=5),
            interventions.ablate(attached, [12, 7], "resample", values=pool, key=jax.random.key(5)),
        ),
        (attached.splice(), interventions.splice(attached)),
    ]
    for edited, edits in pairs:
        np.testing.assert_array_equal(edited.logits(PROMPT), lm(PROMPT, edits=edits))


def test_a_string_is_a_prompt_and_tokens_are_rows_everywhere(lm, attached):
    ids = [lm.prompt_ids(PROMPT)]
    rows = Tokens(np.array(ids), np.ones((1, 5), bool), np.zeros(1, np.int32), ("one",))
    for tokens in (PROMPT, [PROMPT], ids, rows):
        np.testing.assert_array_equal(attached.encode(tokens), attached.encode(ids))
        np.testing.assert_array_equal(lm(tokens), lm(ids))
    assert attached.firing(PROMPT).tokens == 4  # not at BOS
    assert attached.firing(rows).tokens == 5  # Tokens say themselves which count
    assert attached.evaluate(PROMPT).numbers["tokens"] == 4
    sets = [
        attached.dose_response(PROMPT, 136, [0.0, 5.0], [one]) for one in ([" the"], lm.token_ids(" the"))
    ]
    np.testing.assert_array_equal(sets[0].probability.mean, sets[1].probability.mean)
    floor = attached.ablations(PROMPT)
    assert attached.evaluate(PROMPT, floor).numbers == attached.evaluate(PROMPT).numbers


def test_effects_of_an_edit_on_the_next_token(lm, attached):
    edited = attached.steer(136, STRONG)
    seen = edited.effect(PROMPT, " there")
    (there,) = lm.token_ids(" there")
    expected = effect(lm(PROMPT)[:, -1], edited.logits(PROMPT)[:, -1], there)
    jax.tree.map(np.testing.assert_array_equal, seen, expected)
    assert edited.effect(PROMPT).before.rank.tolist() == [0]


class Made(NamedTuple):
    """As what `fit` gives: a recipe, its parameters, and what is known of it."""

    model: TopK
    params: dict[str, Any]
    metadata: dict[str, Any] = {}  # noqa: RUF012


def test_what_the_metadata_ask_for_is_done_or_refused(lm, attached, loaded):
    made = Made(loaded.sae, dict(loaded.params))
    with pytest.raises(ConfigError, match="nothing in it says which hook point it is for; give hook"):
        lm.attach(made)
    assert lm.attach(made, "mlp.hook_post").hook == HOOK
    with pytest.raises(ConfigError, match=f"is for the hook point {HOOK}; leave hook mlp.hook_pre out"):
        lm.attach(loaded, "mlp.hook_pre")
    with pytest.raises(ConfigError, match="the SAE reads 512 numbers, hook_embed has 128"):
        lm.attach(made, "hook_embed")
    with pytest.raises(ConfigError, match="attach takes a trained SAE"):
        lm.attach((loaded.sae, loaded.params))
    said = {"hook_name": HOOK, "prepend_bos": False, "seqpos_slice": [2, None]}
    other = attach(lm, made._replace(metadata=said))
    assert other.lm.prompt_ids(PROMPT) == lm.token_ids(PROMPT)
    assert other.tokens(PROMPT).usable.tolist() == [[False, False, True, True]]
    assert other.firing(PROMPT).tokens == 2
    assert "begin without BOS" in other._repr_html_()
    with pytest.raises(ConfigError, match=r"head 1 of blocks\.0\.mlp\.hook_post alone"):
        lm.attach(made._replace(metadata={"hook_name": HOOK, "hook_head_index": 1}))
    with pytest.warns(UserWarning, match="the SAE is of the model gpt2, and this is superposition/small-lm"):
        lm.attach(made._replace(metadata={"hook_name": HOOK, "model_name": "gpt2"}))
    with pytest.raises(ConfigError, match="is an SAE of the planted world"):
        lm.attach(made._replace(metadata={"superposition": {"data": {"planted": "x"}}}), HOOK)
    assert attached.requirements == Requirements(**vars(attached.requirements))


def test_reprs_are_one_line_and_notebooks_get_tables(lm, attached):
    rows = lm_rows(lm)
    dose = attached.dose_response([PROMPT, "He said"], 136, [-5.0, 0.0, 5.0], [[" there"], [" the", " a"]])
    values = [
        lm,
        rows,
        attached,
        attached.steer(136, 2.0).ablate([12, 7]),
        attached.steer(136, STRONG).effect(PROMPT),
        attached.continuations(136, [0.0, STRONG], PROMPT, 4),
        dose,
        attached.firing(PROMPT),
        attached.attribute(PROMPT, interventions.Logit(","), steps=2),
        attached.evaluate(["Once upon a time, there was", "He said that he would go"]),
    ]
    for value in values:
        said, shown = repr(value), value._repr_html_()
        assert "\n" not in said, said
        assert type(value).__name__ in said
        assert len(said) < 200, said
        assert "<table>" in shown
    assert dose._repr_html_().count("<polyline") == 2
    assert isinstance(dose, DoseResponse)
    assert "KL up to 0 nats" in repr(attached.continuations(136, [0.0], PROMPT, 4))


def lm_rows(lm):
    ids = np.array([lm.prompt_ids(PROMPT)] * 3)
    return Tokens(ids, ids != 0, np.array([0, 1, 1], np.int32), ("<b>one</b>", "two"), ids >= 0)


def test_nothing_in_a_table_is_markup(lm):
    shown = lm_rows(lm)._repr_html_()
    assert "&lt;b&gt;one&lt;/b&gt;" in shown
    assert "<b>" not in shown


def test_gradients_flow_through_an_attached_sae(lm):
    """An SAE's parameters may be traced: attaching it is no end of a computation."""
    sae = TopK(d_in=512, d_sae=8, k=2)
    params = params_of(sae)

    def loss(W_dec):
        edits = interventions.steer(Attached(lm, HOOK, sae, {**params, "W_dec": W_dec}), 3, 2.0)
        return lm(PROMPT, edits=edits)[0, -1, 5]

    assert np.abs(jax.grad(loss)(params["W_dec"])[3]).max() > 0
