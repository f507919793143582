"""What a text spells of special tokens is text, for every kind of tokenizer, and is decoded whole."""

import json

import numpy as np
import pytest

from superposition.cli import main
from superposition.errors import ConfigError
from superposition.llm import LanguageModel
from superposition.llm.packing import pack, pack_text
from superposition.llm.token_facts import TokenFacts
from superposition.llm.tokenizing import token_ids, tokenize
from tests.oracles.tokenizer_kinds import KINDS, SPECIAL, byte_level, llama, write_model

BOS, EOS, UNK, PAD = range(4)
TEXTS = ["the king <s>five</s> more", "<s>the king", "the king</s>", "</s> </s>", "a <pad> of paper"]


@pytest.fixture(scope="module", params=list(KINDS))
def lm(request, tmp_path_factory):
    folder = write_model(tmp_path_factory.mktemp("kind"), KINDS[request.param](), puts_bos=True)
    return LanguageModel.from_hf(folder)


@pytest.mark.parametrize("text", TEXTS)
def test_spellings_are_text(lm, text):
    ids = lm.token_ids(text)
    assert not {BOS, EOS, PAD} & set(ids)
    if UNK not in ids:
        assert lm.tokenizer.decode(ids) == text
    else:  # a tokenizer without these letters says so, and reads what it knows
        assert lm.token_ids("the king")[0] in lm.token_ids("the king <s> more")


def test_spellings_are_tokens_where_that_is_asked_for(lm):
    ids = token_ids(lm.tokenizer, "the king </s> more", parse_special=True)
    assert EOS in ids


def test_text_without_spellings_is_as_the_tokenizer_reads_it(lm):
    text = "the queen said once upon a time"
    assert lm.token_ids(text) == lm.tokenizer(text, add_special_tokens=False)["input_ids"]
    assert lm.prompt_ids(text) == [BOS, *lm.token_ids(text)]


def test_a_special_token_that_the_tokenizer_does_not_mark_as_special_is_text(tmp_path):
    nameless = dict.fromkeys(("bos_token", "eos_token", "unk_token", "pad_token"))
    folder = write_model(
        tmp_path, byte_level(special=False), config={"bos_token_id": BOS, "eos_token_id": EOS}, **nameless
    )
    lm = LanguageModel.from_hf(folder)
    ids = lm.token_ids("the king <s>five</s> more")
    assert not {BOS, EOS} & set(ids)
    assert lm.tokenizer.decode(ids) == "the king <s>five</s> more"


def test_an_eos_that_is_a_word_of_the_vocabulary_stays_that_word(bytewise, tmp_path):
    (the,) = bytewise.token_ids("the")
    lm = LanguageModel.from_hf(write_model(tmp_path, byte_level(), generation={"eos_token_id": [EOS, the]}))
    assert the in lm.token_facts.eos
    assert lm.token_ids("the king") == bytewise.token_ids("the king")


def test_a_continuation_keeps_its_first_space(lm):
    new = lm.token_ids(" and the queen")  # of Llama 2's kind the space is another one
    assert lm.continuation(lm.prompt_ids("the king"), new).lstrip(" ") == "and the queen"
    assert lm.continuation(lm.prompt_ids("the king"), new).startswith(" ")
    assert lm.continuation([BOS], lm.token_ids("and the queen")) == "and the queen"


def test_a_character_cut_in_two_belongs_to_what_completes_it(tmp_path):
    lm = LanguageModel.from_hf(write_model(tmp_path, byte_level()))
    ids = lm.token_ids("a你")
    assert lm.continuation(ids[:-1], ids[-1:]) == "你"


def documents(lm, *texts, parse=False):
    facts = TokenFacts(BOS, BOS, (EOS,), special=frozenset(range(4)), separator="eos")
    return pack(tokenize(lm.tokenizer, texts, parse_special=parse), 4, vocab=420, facts=facts, source="x.txt",
                spelled=lm.tokenizer.convert_ids_to_tokens).tokens  # fmt: skip


@pytest.fixture(scope="module")
def bytewise(tmp_path_factory):
    return LanguageModel.from_hf(write_model(tmp_path_factory.mktemp("bytes"), byte_level()))


def test_a_leading_separator_only_separates(bytewise):
    plain = documents(bytewise, "the king and the queen", "the king and more")
    for first in ("</s>", "<s>", "</s><s>"):
        dump = documents(
            bytewise, f"{first}the king and the queen</s>", f"{first}the king and more", parse=True
        )
        np.testing.assert_array_equal(dump, plain)


def test_a_refusal_names_file_document_and_spelling(bytewise):
    said = r"x.txt, document 1 already holds the BOS token 0, '<s>', at position \d+: every row"
    with pytest.raises(ConfigError, match=said):
        documents(bytewise, "the king", "the queen <s> said", parse=True)


def test_bos_joins_documents_once_a_row():
    facts = TokenFacts(BOS, BOS, (EOS,), special=frozenset((BOS, EOS)), separator="bos")
    rows = pack([[BOS, 4, 5, 6], [7, 8], [9, 10, 11], [12]], 4, vocab=20, facts=facts)
    np.testing.assert_array_equal(rows.tokens, [[0, 4, 5, 6], [0, 7, 8, 0], [0, 9, 10, 11]])
    np.testing.assert_array_equal(rows.usable, rows.tokens != BOS)
    none = pack([[4, 5, 6], [7, 8, 9]], 4, vocab=20, facts=facts.with_separator("none"))
    np.testing.assert_array_equal(none.tokens, [[0, 4, 5, 6], [0, 7, 8, 9]])
    asked = pack([[4, 5, 6], [7, 8], [9, 10, 11]], 4, vocab=20, facts=facts, rows=3)
    np.testing.assert_array_equal(asked.tokens, rows.tokens)


def test_every_special_token_is_left_out(bytewise):
    rows = pack([[4, UNK, 5, PAD, 6, 7, 8]], 4, vocab=420, facts=bytewise.token_facts.with_bos(True))
    np.testing.assert_array_equal(rows.usable, [[0, 1, 0, 1], [0, 0, 1, 1]])


def run(*arguments, capsys):
    status = main.main([str(a) for a in arguments])
    out, err = capsys.readouterr()
    return status, out, err


def test_commands_read_spellings_as_text(tmp_path, capsys):
    model = write_model(tmp_path / "m", llama(), puts_bos=True)
    text = tmp_path / "html.txt"
    text.write_text("<s>the king said <s>five</s> four dollars to the queen once upon a time\n" * 30)
    asked = ["llm", "activations", "--model", model, "--hook", "hook_embed", "--text", text, "--out"]
    status, out, err = run(*asked, tmp_path / "a", capsys=capsys)
    assert status == 0, err
    assert "BOS '<s>' in front (the tokenizer puts it), documents joined by EOS '</s>'" in out
    status, out, err = run(*asked, tmp_path / "b", "--special-tokens", capsys=capsys)
    assert (status, out, err.count("\n")) == (2, "", 1)
    for part in ("html.txt, document 0", "'<s>'", "leave --special-tokens out"):
        assert part in err
    joined = run(*asked, tmp_path / "c", "--sequence-separator", "bos", "--no-bos", capsys=capsys)
    assert "no BOS in front (as was asked for), documents joined by BOS '<s>'" in joined[1]


def test_generate_prints_the_space_between_prompt_and_continuation(tmp_path, monkeypatch, capsys):
    model = write_model(tmp_path, llama(), puts_bos=True)
    lm = LanguageModel.from_hf(model)
    new = lm.token_ids("and the queen")
    assert lm.tokenizer.decode(new) == "and the queen"  # alone, they lose the space before them
    monkeypatch.setattr(LanguageModel, "generate", lambda *a, **b: np.array([[*new, EOS, EOS]]))
    for prompt, said in (("the king", "the king and the queen\n"), ("", "and the queen\n")):
        assert run("llm", "generate", "--model", model, "--prompt", prompt, capsys=capsys)[1] == said


def test_a_tokenizer_that_panics_is_one_error(tmp_path, capsys):
    state = byte_level()
    state["pre_tokenizer"] = {
        "type": "Split",
        "pattern": {"Regex": "(a+)+$"},
        "behavior": "Isolated",
        "invert": False,
    }
    model = write_model(tmp_path, state)
    status, out, err = run("llm", "generate", "--model", model, "--prompt", "a" * 5000 + "b", capsys=capsys)
    assert (status, out) == (2, "")
    assert "cannot read this text (Onig: Regex search error: retry-limit-in-match over)" in err
    with pytest.raises(ConfigError, match="x, document 1: the tokenizer in"):
        pack_text(LanguageModel.from_hf(model).tokenizer, {"x": ["aa", "a" * 5000 + "b"]}, 4, eos=1)


def test_text_that_is_no_unicode_is_refused(bytewise):
    with pytest.raises(ConfigError, match="x, document 0: text must be valid Unicode"):
        list(tokenize(bytewise.tokenizer, [json.loads('"a\\ud800b"')], source="x"))
    assert SPECIAL[0] == "<s>"
