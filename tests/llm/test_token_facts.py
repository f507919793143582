"""What a model's special tokens are: the tokenizer first, then generation_config.json, config.json last."""

import json
from dataclasses import replace

import jax
import numpy as np
import pytest

from superposition.errors import ConfigError
from superposition.llm import LanguageModel, hub
from superposition.llm.token_facts import TokenFacts, token_facts
from tests.oracles import tiny_lm, tokenizer_kinds
from tests.oracles.tokenizer_kinds import byte_level, write_model

BOS, EOS, UNK, PAD = range(4)


@pytest.fixture(scope="module")
def state():
    return byte_level()


@pytest.fixture
def facts(tmp_path, state):
    def of(**options):
        return LanguageModel.from_hf(
            write_model(tmp_path / "m", json.loads(json.dumps(state)), **options)
        ).token_facts

    return of


def test_bos_is_put_where_the_tokenizer_puts_it(facts):
    assert (facts(puts_bos=True).bos, facts(puts_bos=False).bos) == (BOS, None)


def test_a_bos_that_config_json_alone_names_is_not_put(facts):  # as of Qwen
    found = facts(bos_token=None, config={"bos_token_id": EOS})
    assert (found.bos, found.bos_id) == (None, EOS)
    forced = found.with_bos(True)
    assert (forced.bos, forced.begin, forced.with_bos(False).begin) == (EOS, [EOS], [])


@pytest.mark.parametrize("puts", [True, False])
def test_what_the_tokenizers_config_asks_for_is_done(facts, puts):
    found = facts(puts_bos=not puts, add_bos_token=puts)
    assert found.bos == (BOS if puts else None)
    assert "add_bos_token" in found.why_bos


def test_the_model_that_ships_puts_bos():
    lm = LanguageModel.from_hf()
    assert lm.token_facts.bos == 0
    assert lm.tokenizer("the sea")["input_ids"] == lm.prompt_ids("the sea")
    assert lm.prompt_ids("the sea") == [0, *lm.token_ids("the sea")]
    assert lm.token_facts.separator_id == 0


def test_every_eos_counts(facts):
    assert facts(config={"eos_token_id": [EOS, UNK]}).eos == (EOS, UNK)
    found = facts(config={"eos_token_id": EOS}, generation={"eos_token_id": [EOS, UNK, PAD]})
    assert found.eos == (EOS, UNK, PAD)
    assert found.until_eos([9, 8, UNK, 7]) == [9, 8]
    assert found.until_eos([9, 8]) == [9, 8]


def test_config_json_comes_last(facts):
    """A stale eos_token_id that is an ordinary token ends no text; the tokenizer says what does."""
    assert facts(config={"eos_token_id": 100}).eos == (EOS,)
    assert facts(config={"pad_token_id": 9}).pad == PAD
    assert facts(config={"pad_token_id": 9}, generation={"pad_token_id": UNK}, pad_token=None).pad == UNK
    assert facts(config={"pad_token_id": PAD}, pad_token=None).pad == PAD
    assert facts(config={"eos_token_id": 10**6}, eos_token=None).eos == ()


def test_every_special_token_is_known(facts):
    assert facts().special == {BOS, EOS, UNK, PAD}
    assert facts(generation={"eos_token_id": [EOS, 77]}).special == {BOS, EOS, UNK, PAD, 77}


def test_without_a_tokenizer_the_files_say(tmp_path, state):
    folder = write_model(
        tmp_path, state, config={"bos_token_id": 5, "eos_token_id": [6, 7], "pad_token_id": 8}
    )
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    found = LanguageModel.from_hf(folder).token_facts
    assert (found.bos, found.eos, found.pad, found.pad_only) == (5, (6, 7), 8, True)
    assert found.special == {5, 6, 7, 8}
    of = tiny_lm.spec()
    assert LanguageModel.of(of, tiny_lm.params(of)).token_facts.eos == (0,)


def test_generation_config_is_fetched():
    assert "generation_config.json" in hub.PATTERNS


def test_documents_are_joined_as_the_family_was_trained(tmp_path, state):
    tokenizer_kinds.write_tokenizer(tmp_path, state, puts_bos=True)
    tokenizer = hub.load_tokenizer(tmp_path)

    def separator(family):
        return token_facts(replace(tiny_lm.spec(), family=family), tokenizer, None).separator

    assert [separator(f) for f in ("llama", "mistral", "gemma2")] == ["bos"] * 3
    assert [separator(f) for f in ("gpt2", "gpt_neox", "qwen2")] == ["eos"] * 3
    facts = TokenFacts(bos=BOS, bos_id=BOS, eos=(EOS,), separator="bos")
    assert [facts.with_separator(s).separator_id for s in ("bos", "eos", "none")] == [BOS, EOS, None]
    with pytest.raises(ConfigError, match="has no EOS token; accepted: bos, none"):
        TokenFacts(bos_id=BOS).with_separator("eos")
    with pytest.raises(ConfigError, match="has no BOS token"):
        TokenFacts(eos=(EOS,)).with_bos(True)


def test_a_pad_token_that_is_nothing_else_is_padding_everywhere():
    facts = TokenFacts(bos=BOS, bos_id=BOS, eos=(EOS,), pad=PAD, pad_only=True)
    rows = np.array([[PAD, PAD, BOS, 9, 8], [BOS, 9, PAD, 8, PAD], [BOS, 9, 9, 9, EOS]])
    np.testing.assert_array_equal(facts.valid(rows), rows != PAD)
    assert facts.valid(rows[2:]) is None


@pytest.mark.parametrize(
    ("rows", "valid"),
    [
        (
            [[9, 8, 1, 1, 1], [9, 8, 7, 6, 1]],
            [[1, 1, 1, 0, 0], [1] * 5],
        ),  # the first of a run is the EOS of the text
        ([[1, 1, 1, 9, 8], [1, 9, 8, 7, 6]], [[0, 0, 0, 1, 1], [0, 1, 1, 1, 1]]),  # padded on the left
        ([[1, 1, 9, 8], [9, 8, 7, 6]], [[0, 0, 1, 1], [1] * 4]),
        ([[9, 1, 8, 1], [1, 9, 1, 8]], None),  # EOS between documents, and as BOS before them
        ([[1, 1, 9, 8], [9, 1, 7, 6]], None),  # BOS and separator of rows cut from documents
        ([[1, 1, 1], [9, 8, 7]], [[0, 0, 0], [1] * 3]),
    ],
)
def test_a_pad_token_that_is_also_eos_is_padding_in_runs_at_the_ends(rows, valid):  # as of GPT-2
    found = TokenFacts(bos_id=EOS, eos=(EOS,), pad=EOS).valid(np.array(rows))
    if valid is None:
        assert found is None
    else:
        np.testing.assert_array_equal(found, np.array(valid, bool))


def test_of_a_run_at_the_left_the_last_is_bos_where_rows_begin_with_it():
    facts = TokenFacts(bos=EOS, bos_id=EOS, eos=(EOS,), pad=EOS)
    rows = np.array([[1, 1, 1, 9, 8], [1, 9, 8, 7, 6]])
    np.testing.assert_array_equal(facts.valid(rows), [[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]])
    other = TokenFacts(
        bos=BOS, bos_id=BOS, eos=(EOS,), pad=EOS
    )  # what stands before BOS is padding, a single one too
    np.testing.assert_array_equal(
        other.valid(np.array([[EOS, BOS, 9], [BOS, 9, EOS]])), [[0, 1, 1], [1, 1, 1]]
    )


def test_generation_ends_at_any_eos(tmp_path, state):
    lm = LanguageModel.from_hf(write_model(tmp_path, state, puts_bos=True))
    drawn = {"key": jax.random.key(0), "temperature": 2.0}
    plain = lm.generate("the king", 12, **drawn)[0].tolist()
    first = next(i for i in range(2, 11) if plain[i] not in plain[:i])
    for ends in ([399, plain[first]], [plain[first], 399]):
        found = lm.generate("the king", 12, end=ends, **drawn)[0].tolist()
        assert 399 not in plain
        assert found == plain[: first + 1] + [plain[first]] * (11 - first)
