"""Documents into rows of tokens."""

import numpy as np
import pytest

from superposition.errors import ConfigError
from superposition.llm.packing import (
    RanDryError,
    Tokens,
    concatenate,
    flatten,
    pack,
    pack_text,
    token_array,
    tokenize,
)

EOS = 9


def packed(documents, ctx=4, *, vocab=10, bos=EOS, eos=EOS, **rest):
    return pack(documents, ctx, vocab=vocab, bos=bos, eos=eos, **rest)


class Letters:
    """A tokenizer of one token a letter, a = 0 ..., that adds EOS in front unless told not to."""

    calls: tuple = ()

    def __len__(self):
        return 27

    def __call__(self, batch, *, add_special_tokens=True, return_attention_mask, verbose=True, **_):
        assert not return_attention_mask
        assert not verbose  # no warning for documents longer than the context: they are cut into rows
        self.calls += (len(batch),)
        return {"input_ids": [[26] * add_special_tokens + [ord(c) - 97 for c in text] for text in batch]}


def test_rows_hold_every_token_once_in_order_behind_one_bos():
    documents = [[1, 2, 3], [4], [], [5, 6, 7, 8]]
    rows = packed(documents, source="here")
    np.testing.assert_array_equal(rows.tokens, [[9, 1, 2, 3], [9, 9, 4, 9], [9, 5, 6, 7]])
    np.testing.assert_array_equal(rows.usable, [[0, 1, 1, 1], [0, 0, 1, 0], [0, 1, 1, 1]])
    assert rows.tokens.dtype == np.uint16
    assert rows.source.tolist() == [0, 0, 0]
    assert rows.sources == ("here",)


def test_a_tokenizer_without_bos_fills_the_whole_row():
    rows = packed([[1, 2, 3], [4, 5]], 3, bos=None)
    np.testing.assert_array_equal(rows.tokens, [[1, 2, 3], [9, 4, 5]])
    np.testing.assert_array_equal(rows.usable, [[0, 1, 1], [0, 1, 1]])
    kept = packed([[1, 2, 3], [4, 5]], 3, bos=None, skip_first=False)
    np.testing.assert_array_equal(kept.usable, [[1, 1, 1], [0, 1, 1]])


def test_bos_apart_from_eos_and_neither():
    rows = packed([[1, 2], [3, 4]], 4, bos=8)
    np.testing.assert_array_equal(rows.tokens, [[8, 1, 2, 9], [8, 3, 4, 9]])
    np.testing.assert_array_equal(rows.usable, [[0, 1, 1, 0], [0, 1, 1, 0]])
    np.testing.assert_array_equal(packed([[1, 2], [3]], 3, bos=None, eos=None).tokens, [[1, 2, 3]])


def test_large_vocabularies_take_int32():
    ids = [[2**16, 1, 70_000]]
    rows = packed(ids, 3, vocab=2**17, bos=None, eos=None)
    assert rows.tokens.dtype == np.int32
    np.testing.assert_array_equal(rows.tokens, ids)
    edge = flatten([[2**16 - 1]], vocab=2**16, bos=None, eos=None)
    assert (edge.dtype, edge.tolist()) == (np.uint16, [2**16 - 1])


def test_no_more_documents_are_read_than_needed():
    read = []

    def endless():
        while True:
            read.append(1)
            yield [1, 2, 3, 4, 5]

    rows = packed(endless(), 4, rows=5)
    assert rows.tokens.shape == (5, 4)
    assert len(read) == 3  # 3 x 6 tokens with EOS >= 5 rows x 3


def test_a_source_that_runs_dry_hands_over_what_there_was():
    with pytest.raises(RanDryError, match=r"ends after 8 tokens, 40 were asked for") as caught:
        packed([[1, 2, 3, 4, 5]], rows=10)
    np.testing.assert_array_equal(caught.value.tokens.tokens, [[9, 1, 2, 3], [9, 4, 5, 9]])
    assert isinstance(caught.value, ConfigError)


@pytest.mark.parametrize(
    ("documents", "options", "said"),
    [
        ([[1]], {}, "2 tokens do not fill one row of ctx = 4; use ctx <= 3"),
        ([], {}, "0 tokens .* add text"),
        ([[1, 2], [3, 10]], {}, r"document 1, position 1: id 10 is outside the vocabulary \[0, 10\)"),
        ([[1, -1, 99]], {}, "position 1: id -1"),
        ([[1, 8, 2]], {"bos": 8}, "already holds the BOS token 8"),
        ([[1]], {"ctx": 1}, "ctx must be an integer >= 2"),
        ([[1]], {"eos": 10}, "eos must be"),
    ],
)
def test_what_cannot_be_packed(documents, options, said):
    with pytest.raises(ConfigError, match=said):
        packed(documents, **options)


def test_the_context_said_to_fit_fits():
    with pytest.raises(ConfigError, match="use ctx <= 6"):
        packed([[1, 2, 3, 4]], 7)
    assert packed([[1, 2, 3, 4]], 6).tokens.tolist() == [[9, 1, 2, 3, 4, 9]]


def test_documents_are_tokenised_in_batches_without_special_tokens():
    tokenizer = Letters()
    documents = (text for text in ["abc"] * 600)
    assert list(tokenize(tokenizer, documents)) == [[0, 1, 2]] * 600
    assert tokenizer.calls == (256, 256, 88)


def test_rows_have_one_source_each():
    rows = pack_text(Letters(), {"x": ["abc", "defg"], "y": iter(["hijk"])}, 3, bos=26, eos=26)
    assert rows.sources == ("x", "y")
    assert rows.of("x").tokens.tolist() == [[26, 0, 1], [26, 2, 26], [26, 3, 4], [26, 5, 6]]
    assert rows.of("y").tokens.tolist() == [[26, 7, 8], [26, 9, 10]]
    assert rows.of("y").usable.tolist() == [[False, True, True]] * 2
    with pytest.raises(ConfigError, match="one of x, y; got 'z'"):
        rows.of("z")
    with pytest.raises(ConfigError, match="y: 2 tokens do not fill"):
        pack_text(Letters(), {"x": ["abc"], "y": ["h"]}, 4, bos=26, eos=26)
    with pytest.raises(ConfigError, match="no source"):
        pack_text(Letters(), {}, 4, bos=26, eos=26)


def test_concatenation_joins_sources_of_one_name():
    parts = [packed([[i] * 3], source=name) for i, name in enumerate("aba")]
    joined = concatenate(parts)
    assert joined.sources == ("a", "b")
    assert joined.source.tolist() == [0, 1, 0]
    assert joined.of("a").tokens[:, 1].tolist() == [0, 2]
    with pytest.raises(ConfigError, match=r"one length; got \[4, 3\]"):
        concatenate([parts[0], packed([[1, 2, 3]], 3)])


@pytest.mark.parametrize("how", ["array", "npy", "npz", "npz with names"])
def test_tokens_already_cut_into_rows(tmp_path, how):
    ids = np.array([[9, 1, 2, 0], [3, 9, 4, 5]], np.int64)
    given = ids
    if how == "npy":
        np.save(given := tmp_path / "t.npy", ids)
    elif how == "npz":
        np.savez(given := tmp_path / "t.npz", ids)
    elif how == "npz with names":
        np.savez(given := tmp_path / "t.npz", mask=ids[0], tokens=ids)
    rows = token_array(given, vocab=10, special=(9, None, 0), source="mine")
    assert isinstance(rows, Tokens)
    np.testing.assert_array_equal(rows.tokens, ids)
    np.testing.assert_array_equal(rows.usable, [[0, 1, 1, 0], [0, 0, 1, 1]])
    assert (rows.tokens.dtype, rows.sources) == (np.uint16, ("mine",))
    assert token_array(given, vocab=10, skip_first=False).usable.all()


def test_token_arrays_that_are_refused(tmp_path):
    for bad in (np.zeros(3, int), np.zeros((2, 2)), np.zeros((0, 4), int)):
        with pytest.raises(ConfigError, match=r"integers \(n_seq, ctx\)"):
            token_array(bad, vocab=10)
    with pytest.raises(ConfigError, match=r"token \[1, 2\]: id 10 is outside"):
        token_array(np.array([[1, 2, 3], [4, 5, 10]]), vocab=10)
    with pytest.raises(ConfigError, match="cannot be read"):
        token_array(tmp_path / "none.npy", vocab=10)
    np.save(tmp_path / "o.npy", np.array([[{}]], object), allow_pickle=True)
    with pytest.raises(ConfigError, match="cannot be read"):
        token_array(tmp_path / "o.npy", vocab=10)
    np.savez(tmp_path / "two.npz", a=np.zeros((1, 1), int), b=np.zeros((1, 1), int))
    with pytest.raises(ConfigError, match="it holds a, b"):
        token_array(tmp_path / "two.npz", vocab=10)
