"""What an SAE's metadata say of its data is what the rows are, in SAELens's words."""

import json

import numpy as np
import pytest

from superposition.cli import settings
from superposition.cli.llm.config import TextConfig
from superposition.cli.llm.data import open_model, place_of, read_tokens
from superposition.errors import ConfigError
from superposition.llm.packing import token_array
from superposition.llm.text import read_text
from tests.oracles.tokenizer_kinds import byte_level, write_model

TEXT = "the king and the queen said once upon a time there was a little girl\n" * 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("m")
    (folder / "text.txt").write_text(TEXT)
    return write_model(folder, byte_level())


def place(folder, ids=None, **options):
    if ids is not None:
        np.save(folder / "ids.npy", np.array(ids))
        options["tokens"] = folder / "ids.npy"
    config = TextConfig(model=str(folder), ctx=None if ids is not None else 16, **options)
    lm = open_model(config)
    return place_of(config, lm, read_tokens(config, lm))


@pytest.mark.parametrize(
    ("ids", "options", "begins", "slice_", "excluded"),
    [
        ([[9, 8, 7, 6], [5, 6, 7, 8]], {}, False, [1, None], True),  # the first position was skipped
        ([[0, 8, 7, 6], [0, 6, 7, 8]], {}, True, [None], True),
        ([[0, 8, 7, 6], [5, 6, 7, 8]], {}, False, [1, None], True),
        ([[3, 3, 0, 6], [3, 0, 7, 8]], {}, True, [None], True),  # padded on the left
        ([[0, 8, 7, 6], [0, 6, 7, 8]], {"keep_bos": True}, True, [None], False),
        ([[9, 8, 7, 6], [5, 6, 7, 8]], {"keep_bos": True}, False, [None], False),
    ],
)
def test_rows_of_tokens(folder, ids, options, begins, slice_, excluded):
    found = place(folder, ids, **options)
    assert (found["prepend_bos"], found["seqpos_slice"]) == (begins, slice_)
    assert found["exclude_special_tokens"] is excluded
    assert found["sequence_separator_token"] is None
    assert (found["context_size"], found["dataset_path"]) == (4, str(folder / "ids.npy"))


@pytest.mark.parametrize(
    ("options", "begins", "slice_", "separator"),
    [
        ({}, False, [1, None], "eos"),
        ({"bos": True}, True, [None], "eos"),
        ({"bos": False, "sequence_separator": "bos"}, False, [1, None], "bos"),
        ({"sequence_separator": "none"}, False, [1, None], None),
    ],
)
def test_rows_of_text(folder, options, begins, slice_, separator):
    found = place(folder, text=(folder / "text.txt",), **options)
    assert (found["prepend_bos"], found["seqpos_slice"]) == (begins, slice_)
    assert found["sequence_separator_token"] == separator
    assert found["context_size"] == 16


def test_a_separator_that_is_not_the_tokenizers_eos_is_written_as_its_id(tmp_path):
    (tmp_path / "text.txt").write_text(TEXT)
    state = byte_level()
    text = json.dumps(state).replace('"<unk>"', '"<|endoftext|>"')
    folder = write_model(tmp_path, json.loads(text), config={"eos_token_id": [1, 2]}, unk_token=None)
    assert place(folder, text=(tmp_path / "text.txt",))["sequence_separator_token"] == 2


def test_a_folder_is_no_model_of_transformer_lens(folder):
    assert place(folder, [[9, 8, 7]])["model_class_name"] == "superposition.llm.LanguageModel"


def test_settings_that_contradict_each_other_are_refused(folder, tmp_path):
    for options, said in (
        ({"sequence_separator": "sep"}, "sequence_separator must be one of"),
        ({"tokens": tmp_path / "x.npy", "sequence_separator": "bos"}, "leave --sequence-separator out"),
        ({"tokens": tmp_path / "x.npy", "bos": True}, "leave --bos out"),
        ({"tokens": tmp_path / "x.npy", "bos": False}, "leave --no-bos out"),
    ):
        config = TextConfig(model=str(folder), **options)
        with pytest.raises(ConfigError, match=said):
            settings.check(config)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig"])
def test_text_with_a_byte_order_mark_is_read(tmp_path, encoding):
    mark = "" if encoding in ("utf-16", "utf-32", "utf-8-sig") else "\ufeff"
    (tmp_path / "w.txt").write_bytes((mark + "Grüße, 你\r\nzwei").encode(encoding))
    assert read_text(tmp_path / "w.txt") == {"w": ["Grüße, 你\nzwei"]}


def test_text_that_cannot_be_decoded_says_how_to_convert_it(tmp_path):
    for name, data, said in (
        ("le", "hallo Welt".encode("utf-16-le"), "seems to be UTF-16; .*iconv -f utf-16le"),
        ("be", "hallo Welt".encode("utf-16-be"), "seems to be UTF-16; .*iconv -f utf-16be"),
        ("odd", b"\xff\xfea\x00b", "begins as UTF-16 and is none"),
        ("zero", b"ab\x00cd", "is binary, not text .a zero byte at 2."),
        ("latin", b"caf\xe9", "is not UTF-8: byte 0xe9 at offset 3"),
    ):
        (tmp_path / f"{name}.txt").write_bytes(data)
        with pytest.raises(ConfigError, match=said):
            read_text(tmp_path / f"{name}.txt")


def test_usable_rows_hold_no_special_token(folder):
    lm = open_model(TextConfig(model=str(folder)))
    rows = token_array([[9, 0, 1, 2, 3, 8]], vocab=420, facts=lm.token_facts)
    np.testing.assert_array_equal(rows.usable, [[0, 0, 0, 0, 0, 1]])
