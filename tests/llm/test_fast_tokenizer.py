"""A tokenizer read from tokenizer.json alone is transformers' own, or is left to transformers."""

import json
import subprocess
import sys
from threading import Thread

import pytest

from superposition.llm import LanguageModel, hub
from superposition.llm.fast_tokenizer import FastTokenizer, from_folder
from superposition.llm.tokenizing import token_ids
from tests.oracles.tokenizer_kinds import KINDS, SPECIAL, byte_level, unigram, write_tokenizer

TEXTS = [
    "", "a", "the king and the queen", "  two  spaces\n\n", "x <s>a</s><pad> <unk>y", "é 你好 🙂", "<|endoftext|> b",
    "tabs\tand\r\nlines .,!?", "▁ mark", "<s>", "a</s>", "king<u> <extra pad>",
]  # fmt: skip
END = {"__type": "AddedToken", "content": "</s>", "special": True}
ABOUT = {
    "plain": {},
    "a token to be added": {"pad_token": "<extra pad>"},
    "a name without a token": {"bos_token": None},
    "BOS asked for": {"add_bos_token": True},
    "more special tokens": {"additional_special_tokens": ["<u>", "king"]},
    "a token with its properties": {"eos_token": END},
    "a word as EOS": {"eos_token": "the"},
    "added tokens listed": {
        "added_tokens_decoder": {
            str(i): {"content": one, "special": i != 1, "lstrip": False, "rstrip": False, "normalized": False,
                     "single_word": False} for i, one in enumerate([*SPECIAL, "<u>"])
        }
    },
}  # fmt: skip


def agree(fast, slow):
    """Every answer of the two is the same."""
    assert len(fast) == len(slow)
    assert fast.get_vocab() == slow.get_vocab()
    assert (fast.all_special_ids, fast.all_special_tokens) == (slow.all_special_ids, slow.all_special_tokens)
    properties = ("content", "special", "lstrip", "rstrip", "normalized", "single_word")
    added = [
        {id: [getattr(token, name) for name in properties] for id, token in one.added_tokens_decoder.items()}
        for one in (fast, slow)
    ]
    assert added[0] == added[1]
    for name in ("bos", "eos", "unk", "pad", "sep", "cls", "mask"):
        for kind in ("token", "token_id"):
            assert getattr(fast, f"{name}_{kind}") == getattr(slow, f"{name}_{kind}")
    for tokens in ("the", "<s>", "no such token", ["t", "<pad>", "no such token"]):
        assert fast.convert_tokens_to_ids(tokens) == slow.convert_tokens_to_ids(tokens)
    for ids in (0, 5, 10**6, [1, 2, 3]):
        assert fast.convert_ids_to_tokens(ids) == slow.convert_ids_to_tokens(ids)
    for text in [*TEXTS, TEXTS]:
        for added, split in ((True, False), (False, True), (False, False), (True, True)):
            options = {
                "add_special_tokens": added,
                "split_special_tokens": split,
                "return_offsets_mapping": True,
            }
            one, other = fast(text, **options), slow(text, **options)
            for key in ("input_ids", "attention_mask", "offset_mapping"):
                assert one[key] == other[key], (text, options)
            for row in [one["input_ids"]] if isinstance(text, str) else one["input_ids"]:
                for skip in (True, False):
                    assert fast.decode(row, skip_special_tokens=skip) == slow.decode(
                        row, skip_special_tokens=skip
                    )


@pytest.mark.parametrize("about", ABOUT)
@pytest.mark.parametrize("kind", KINDS)
def test_it_answers_as_transformers_does(kind, about, tmp_path):
    for puts_bos in (False, True):
        folder = tmp_path / str(puts_bos)
        write_tokenizer(folder, KINDS[kind](), puts_bos=puts_bos, **ABOUT[about])
        fast = hub.load_tokenizer(folder)
        assert isinstance(fast, FastTokenizer)
        agree(fast, hub._by_transformers(folder))


@pytest.mark.parametrize("name", hub.SHIPPED)
def test_the_models_that_ship_need_no_transformers(name):
    fast = hub.load_tokenizer(hub.SHIPPED[name])
    assert isinstance(fast, FastTokenizer)
    agree(fast, hub._by_transformers(hub.SHIPPED[name]))


def test_added_tokens_that_the_file_does_not_mark_as_special_are_where_they_are_named(tmp_path):
    write_tokenizer(tmp_path, byte_level(special=False), pad_token=None)
    agree(from_folder(tmp_path), hub._by_transformers(tmp_path))


def test_truncation_and_padding_that_a_file_asks_for_are_not_done(tmp_path):
    state = byte_level()
    state["truncation"] = {"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0}
    state["padding"] = {"strategy": {"Fixed": 9}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 3,
                        "pad_type_id": 0, "pad_token": "<pad>"}  # fmt: skip
    write_tokenizer(tmp_path, state)
    agree(from_folder(tmp_path), hub._by_transformers(tmp_path))


@pytest.mark.parametrize(
    "about",
    [
        {"tokenizer_class": "BertTokenizerFast"},
        {"tokenizer_class": None},
        {"add_prefix_space": True},
        {"split_special_tokens": True},
        {"extra_special_tokens": {"image_token": "<u>"}},
        {"image_token": "<u>"},
        {"eos_token": {**END, "content": "<new>"}},
        {"auto_map": {"AutoTokenizer": ["mine.Mine", None]}},
    ],
)
def test_what_is_not_known_here_is_left_to_transformers(about, tmp_path):
    write_tokenizer(tmp_path, byte_level(), **about)
    assert from_folder(tmp_path) is None


GPT2 = {
    "as the hub has it": {
        **dict.fromkeys(("bos_token", "eos_token", "unk_token", "pad_token")),
        "model_max_length": 64,
    },
    "as it is saved": {"tokenizer_class": "GPT2Tokenizer", "errors": "replace", "add_prefix_space": False},
    "with a space before": {"tokenizer_class": "GPT2TokenizerFast", "add_prefix_space": True},
}


@pytest.mark.parametrize("about", GPT2)
def test_gpt2_whose_class_makes_a_tokenizer_of_its_own(about, tmp_path):
    about = {"tokenizer_class": None, "clean_up_tokenization_spaces": None} | GPT2[about]
    state = byte_level()
    state["pre_tokenizer"]["add_prefix_space"] = bool(about.get("add_prefix_space"))
    write_tokenizer(tmp_path, state, **about)
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    fast, slow = hub.load_tokenizer(tmp_path), hub._by_transformers(tmp_path)
    assert (type(fast).__name__, type(slow).__name__) == ("FastTokenizer", "GPT2Tokenizer")
    agree(fast, slow)


def gpt2_changes(state):
    """What a GPT-2's tokenizer.json may say that GPT2Tokenizer of transformers does not read from it."""
    return {
        "a normalizer": {"normalizer": {"type": "NFC"}},
        "a space before": {"pre_tokenizer": {**state["pre_tokenizer"], "add_prefix_space": True}},
        "no pre-tokenizer": {"pre_tokenizer": None},
        "an unknown token": {"model": {**state["model"], "unk_token": "<unk>"}},
        "bytes": {"model": {**state["model"], "byte_fallback": True}},
        "another decoder": {"decoder": {"type": "Fuse"}},
    }


@pytest.mark.parametrize("change", gpt2_changes(byte_level()))
def test_gpt2_with_another_tokenizer_is_left_to_transformers(change, tmp_path):
    state = byte_level()
    write_tokenizer(tmp_path, state | gpt2_changes(state)[change], tokenizer_class="GPT2Tokenizer")
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    assert from_folder(tmp_path) is None
    write_tokenizer(tmp_path, state, tokenizer_class="GPT2Tokenizer")
    assert from_folder(tmp_path) is not None
    (tmp_path / "config.json").write_text('{"model_type": "mistral"}')  # for which that class is not taken
    assert from_folder(tmp_path) is None


def test_files_beside_tokenizer_json_are_left_to_transformers(tmp_path):
    write_tokenizer(tmp_path, byte_level())
    assert from_folder(tmp_path) is not None
    (tmp_path / "special_tokens_map.json").write_text(json.dumps({"pad_token": "<s>"}))
    assert from_folder(tmp_path) is None
    assert hub.load_tokenizer(tmp_path).pad_token == "<s>"
    write_tokenizer(
        tmp_path, byte_level(), added_tokens_decoder={}
    )  # with which transformers does not read it
    assert from_folder(tmp_path).pad_token == hub._by_transformers(tmp_path).pad_token == "<pad>"
    (tmp_path / "config.json").write_text('{"model_type": "qwen2"}')
    assert from_folder(tmp_path) is None
    (tmp_path / "tokenizer.json").unlink()
    assert from_folder(tmp_path) is None


def test_spaces_are_cleaned_up_by_transformers_alone(tmp_path):
    write_tokenizer(tmp_path, unigram(), clean_up_tokenization_spaces=True)
    assert from_folder(tmp_path) is None
    write_tokenizer(tmp_path, byte_level(), clean_up_tokenization_spaces=True)
    assert from_folder(tmp_path).decode(from_folder(tmp_path).encode("a .")) == "a ."


def test_a_tokenizer_of_the_users_own_is_used_as_it_is(tmp_path):
    write_tokenizer(tmp_path, byte_level())
    fast, slow = from_folder(tmp_path), hub._by_transformers(tmp_path)
    for text in TEXTS:
        assert token_ids(fast, text) == token_ids(slow, text)


def test_threads_do_not_change_what_special_spellings_are_to_each_other():
    tokenizer = LanguageModel.from_hf().tokenizer
    wanted = {
        split: tokenizer("a<|endoftext|>b", split_special_tokens=split)["input_ids"]
        for split in (True, False)
    }
    assert wanted[True] != wanted[False]
    wrong = []

    def ask(split):
        for _ in range(300):
            if tokenizer("a<|endoftext|>b", split_special_tokens=split)["input_ids"] != wanted[split]:
                wrong.append(split)

    threads = [Thread(target=ask, args=(split,)) for split in (True, False)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_what_it_does_not_have_is_an_attribute_error():
    tokenizer = LanguageModel.from_hf().tokenizer
    assert (tokenizer.bos_token, tokenizer.pad_token, tokenizer.pad_token_id) == ("<|endoftext|>", None, None)
    assert "tokens" in repr(tokenizer)
    with pytest.raises(AttributeError, match="no attribute 'pad'"):
        tokenizer.pad  # noqa: B018


def test_generating_loads_neither_transformers_nor_what_it_brings():
    program = """
import sys
from superposition.llm import LanguageModel
lm = LanguageModel.from_hf()
prompt = lm.prompt_ids("Once upon a time")
lm.continuation(prompt, lm.generate([prompt], 4)[0].tolist())
print([name for name in ("transformers", "sklearn", "matplotlib", "torch", "datasets", "huggingface_hub", "zarr",
                         "pandas", "tyro") if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=300
    )
    assert done.stdout == "[]\n"
