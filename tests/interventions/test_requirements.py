"""What the metadata of an SAE say: read once, refused by name where it is of a wrong type, and obeyed."""

from dataclasses import replace

import numpy as np
import pytest

from superposition.errors import ConfigError
from superposition.interventions import Requirements, requirements
from superposition.llm import LanguageModel
from superposition.llm.packing import token_array
from tests.oracles import tiny_lm
from tests.support.processed import model

HOOK = "blocks.1.hook_resid_post"
KWARGS = "model_from_pretrained_kwargs"


def test_what_is_absent_or_null_says_nothing():
    assert requirements({}) == Requirements()
    assert requirements(dict.fromkeys(Requirements.__dataclass_fields__)) == Requirements()
    assert requirements({"note": 1, "superposition": {}}) == Requirements()


def test_all_of_saelens_words():
    said = {
        "hook_name": HOOK, "hook_head_index": 3, "model_name": "gpt2", "prepend_bos": False, "context_size": 128,
        "seqpos_slice": [1, None], "exclude_special_tokens": [0, 2], KWARGS: {"center_writing_weights": True, "fold_ln": None},
    }  # fmt: skip
    got = requirements(said)
    assert (got.hook_name, got.hook_head_index, got.model_name, got.prepend_bos) == (HOOK, 3, "gpt2", False)
    assert (got.context_size, got.seqpos_slice, got.exclude_special_tokens) == (128, slice(1, None), (0, 2))
    assert got.kwargs == said[KWARGS]


@pytest.mark.parametrize(
    ("key", "value", "accepted"),
    [
        ("hook_name", 3, "a string"), ("model_name", ["gpt2"], "a string"), ("prepend_bos", "yes", "true or false"),
        ("prepend_bos", 1, "true or false"), ("hook_head_index", True, "an integer >= 0"), ("hook_head_index", -1, "an integer"),
        ("context_size", 0, "an integer >= 1"), ("context_size", 128.0, "an integer >= 1"),
        ("seqpos_slice", [], "integers or nulls"),
        ("seqpos_slice", "1:", "integers or nulls"), ("seqpos_slice", [1, None, 0], "the step >= 1"),
        ("seqpos_slice", [True], "nulls"),
        ("seqpos_slice", [1, 2, 3, 4], "one to three"), ("exclude_special_tokens", "all", "a list of token ids"),
        ("exclude_special_tokens", [1, "2"], "a list of token ids"), ("exclude_special_tokens", [-1], "a list of token ids"),
        (KWARGS, [], "an object"), (KWARGS, {"center_writing_weights": "yes"}, "true or false"),
        (KWARGS, {"fold_value_biases": 1}, "true or false"),
    ],
)  # fmt: skip
def test_a_wrong_type_is_refused_by_name(key, value, accepted):
    with pytest.raises(ConfigError, match=f"{key}.* in its metadata must be .*{accepted}.*; got .*; mend"):
        requirements({key: value})


def test_unknown_keys_of_how_the_model_was_loaded_are_refused_by_name():
    with pytest.raises(
        ConfigError, match=r"has load_in_4bit, novelty, of which it is not known .*; remove it"
    ):
        requirements({KWARGS: {"novelty": 1, "load_in_4bit": True, "fold_ln": True, "device": "cuda"}})
    requirements({KWARGS: {"novelty": None, "center_unembed": True, "dtype": "bfloat16", "n_devices": 2}})


def test_the_model_is_centred_and_its_value_biases_folded_only_where_that_is_said():
    lm, z = model(), "blocks.1.attn.hook_z"
    ids = np.array([[0, 5, 9, 7]])

    def at(hook, **kwargs):
        return np.asarray(requirements({KWARGS: kwargs}).model(lm, hook).run_with_cache(ids, [hook])[1][hook])

    assert requirements({}).model(lm, HOOK) is lm
    assert requirements({KWARGS: {"center_writing_weights": False, "fold_ln": True}}).model(lm, HOOK) is lm
    assert np.abs(at(HOOK).mean(-1)).max() > 0.01
    assert np.abs(at(HOOK, center_writing_weights=True).mean(-1)).max() < 1e-5
    assert np.abs(at(z, fold_value_biases=True) - at(z)).max() > 0.1
    assert requirements({KWARGS: {"fold_value_biases": True}}).model(lm, HOOK) is lm  # nothing changes there
    with pytest.raises(
        ConfigError, match=r"refactor_factored_attn_matrices, which changes blocks.1.attn.hook_z"
    ):
        at(z, refactor_factored_attn_matrices=True)
    at(HOOK, refactor_factored_attn_matrices=True)


def test_an_sae_of_one_head_is_refused_by_name():
    with pytest.raises(ConfigError, match=r"is for head 1 of blocks.1.attn.hook_z alone \(hook_head_index\)"):
        requirements({"hook_head_index": 1}).model(model(), "blocks.1.attn.hook_z")


def test_bos_is_put_or_not(tmp_path):
    lm = LanguageModel.from_hf(tiny_lm.write_model(tmp_path / "model"))
    plain = lm.token_ids("the sea")
    assert requirements({"prepend_bos": True}).model(lm, HOOK).prompt_ids("the sea") == [0, *plain]
    without = requirements({"prepend_bos": False}).model(lm, HOOK)
    assert without.prompt_ids("the sea") == plain
    assert 0 in without.token_facts.special  # where it comes up, it is no text
    again = requirements({"prepend_bos": True}).model(without, HOOK)
    assert again.prompt_ids("the sea") == [0, *plain]
    facts = replace(lm.token_facts, bos=None, bos_id=None, eos=(5,))
    eos = requirements({"prepend_bos": True}).model(lm.with_facts(facts), HOOK)  # as TransformerLens does it
    assert eos.prompt_ids("the sea") == [5, *plain]
    with pytest.raises(ConfigError, match="prepend_bos is true, and the model has neither BOS nor EOS"):
        requirements({"prepend_bos": True}).model(lm.with_facts(replace(facts, eos=())), HOOK)


ROWS = np.array([[0, 7, 8, 0, 9, 10], [11, 12, 13, 0, 14, 15]])  # 0 is special
DEFAULT = [[0, 1, 1, 0, 1, 1], [0, 1, 1, 0, 1, 1]]


@pytest.mark.parametrize(
    ("metadata", "wanted"),
    [
        ({}, DEFAULT),
        ({"exclude_special_tokens": True}, DEFAULT),
        ({"seqpos_slice": [None]}, DEFAULT),
        ({"exclude_special_tokens": True, "seqpos_slice": [None]}, [[0, 1, 1, 0, 1, 1], [1, 1, 1, 0, 1, 1]]),
        ({"exclude_special_tokens": False}, np.ones((2, 6))),
        ({"exclude_special_tokens": False, "seqpos_slice": [1, None]}, [[0, 1, 1, 1, 1, 1]] * 2),
        ({"exclude_special_tokens": [8, 0]}, [[0, 1, 0, 0, 1, 1], [1, 1, 1, 0, 1, 1]]),
        ({"seqpos_slice": [2, None]}, [[0, 0, 1, 0, 1, 1]] * 2),
        ({"seqpos_slice": [-2, None]}, [[0, 0, 0, 0, 1, 1]] * 2),
        ({"seqpos_slice": [2]}, [[0, 1, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0]]),
        ({"seqpos_slice": [1, 6, 2]}, [[0, 1, 0, 0, 0, 1]] * 2),
    ],
)
def test_the_positions_that_count(tmp_path, metadata, wanted):
    lm = LanguageModel.from_hf(tiny_lm.write_model(tmp_path / "model"))
    tokens = token_array(ROWS, vocab=300, facts=lm.token_facts)
    got = requirements(metadata).positions(lm, tokens)
    assert got.usable.tolist() == np.asarray(wanted, bool).tolist()
    padded = tokens._replace(valid=np.arange(6) < np.array([[6], [5]]))
    assert not requirements(metadata).positions(lm, padded).usable[1, 5]  # padding never counts


def test_rows_too_short_for_the_positions_are_refused(tmp_path):
    lm = LanguageModel.from_hf(tiny_lm.write_model(tmp_path / "model"))
    tokens = token_array(ROWS, vocab=300, facts=lm.token_facts)
    with pytest.raises(
        ConfigError, match=r"trained on the positions \[50, null, null\] of its rows, .* rows, of 6 tokens"
    ):
        requirements({"seqpos_slice": [50, None]}).positions(lm, tokens)


def test_another_model_and_other_weights_are_noted():
    lm = model()
    assert requirements({"model_name": "scratch"}).notes(lm) == []
    assert requirements({}).notes(lm) == []
    assert requirements({"model_name": "gpt2"}).notes(lm) == [
        "the SAE is of the model gpt2, and this is scratch"
    ]
    noted = requirements({KWARGS: {"revision": "step1000", "checkpoint_index": None}}).notes(lm)
    assert noted == [
        "the SAE is of revision step1000 of its model; --model must be a folder of these weights"
    ]
