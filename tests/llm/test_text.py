"""Text into documents, documents into rows of tokens."""

import gzip
import json
import sys

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
from superposition.llm.text import dataset_text, read_text
from tests.support.processes import python

EOS = 9


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


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


# --- files


def test_sources_are_named_below_the_folder(tmp_path):
    write(tmp_path / "udhr" / "heb.txt", "שלום")
    write(tmp_path / "dna" / "phage.fa", ">x\nACGT")
    write(tmp_path / "a.b.txt", "dots")
    write(tmp_path / ".hidden", b"\0")
    write(tmp_path / "udhr" / "x_LICENSE", "MIT")
    write(tmp_path / "PROVENANCE.txt", "from")
    assert read_text(tmp_path) == {"a.b": ["dots"], "dna/phage": [">x\nACGT"], "udhr/heb": ["שלום"]}
    assert list(read_text([tmp_path / "udhr" / "x_LICENSE", tmp_path / "udhr"])) == ["x_LICENSE", "heb"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.json", json.dumps(["one", "two\nlines"])),
        ("t.json", json.dumps([{"id": "7", "text": "one"}, {"n": 1, "body": "two\nlines"}])),
        ("t.json", json.dumps({"seed": 3, "rows": ["one", "two\nlines"]})),
        ("t.jsonl", '{"anything": "one"}\n\n"two\\nlines"\n'),
        ("t.jsonl.gz", gzip.compress(b'{"code": "x", "text": "one"}\n{"text": "two\\nlines"}', mtime=0)),
    ],
)
def test_json_holds_documents(tmp_path, name, content):
    assert read_text(write(tmp_path / name, content)) == {"t": ["one", "two\nlines"]}


def test_line_ends_and_byte_order_marks_are_not_text(tmp_path):
    assert read_text(write(tmp_path / "t.txt", b"\xef\xbb\xbfa\r\nb\n")) == {"t": ["a\nb\n"]}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("t.txt", "caf\u00e9 au lait".encode("latin1"), "0xe9 at offset 3"),
        ("t.txt", b"\xef\xbb\xbfab\xff", "0xff at offset 5"),
        ("t.txt", b"GIF89a\0\1", "binary.* at 6"),
        ("t.txt", " \n", "holds no text"),
        ("t.json", "[]", "holds no text"),
        ("t.json", '["a",\n"b",\n{]', "not JSON .line 3"),
        ("t.jsonl", '"a"\n\n{"a": }', "line 3"),
        ("t.jsonl", '"a"\n{"a": "x", "b": "y"}', "line 2 has no text field.*holds a, b"),
        ("t.json", "[3]", "item 0 must be text.*int"),
        ("t.json", '{"a": 1}', "must be a list"),
        ("t.txt.gz", b"not gzip", "cannot be read"),
        ("t.txt.gz", gzip.compress(b"a" * 999, mtime=0)[:-9], "cannot be read"),
    ],
)
def test_bad_files_are_named_with_the_place(tmp_path, name, content, said):
    with pytest.raises(ConfigError, match=rf"{name}.*{said}"):
        read_text(write(tmp_path / "folder" / name, content).parent)


def test_bad_paths(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"no file or folder .*nowhere"):
        read_text(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="empty holds no text files"):
        read_text([tmp_path / "empty"])
    for folder in "ab":
        write(tmp_path / folder / "same.txt", folder)
    with pytest.raises(ConfigError, match=r"a/same.txt and .*b/same.txt would both be the source 'same'"):
        read_text([tmp_path / "a", tmp_path / "b"])
    assert list(read_text(tmp_path)) == ["a/same", "b/same"]


# --- datasets


@pytest.fixture
def datasets(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    found = pytest.importorskip("datasets")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # where it was imported before
    return found


@pytest.mark.filterwarnings("default")  # datasets' own
@pytest.mark.parametrize("streaming", [True, False])
def test_a_dataset_gives_its_column(tmp_path, datasets, streaming):
    write(
        tmp_path / "data" / "train.jsonl",
        '{"story": "one", "n": 1}\n{"story": " ", "n": 2}\n{"story": "two", "n": 3}',
    )
    data = str(tmp_path / "data")
    assert list(dataset_text(data, column="story", streaming=streaming)) == ["one", "two"]
    with pytest.raises(ConfigError, match="no column 'text'; its columns are story, n"):
        dataset_text(data, streaming=streaming)
    with pytest.raises(ConfigError, match="row 0: column 'n' must hold text; got int"):
        list(dataset_text(data, column="n", streaming=streaming))
    with pytest.raises(ConfigError, match="split 'test'"):
        dataset_text(data, split="test", streaming=streaming)


@pytest.mark.filterwarnings("default")
def test_a_dataset_that_is_not_there(tmp_path, datasets):
    with pytest.raises(ConfigError, match=r"'some/where'.*cannot be read.*give the path of a folder"):
        dataset_text("some/where")
    write(tmp_path / "code" / "code.py", "raise SystemExit('ran')")
    with pytest.raises(ConfigError, match="cannot be read"):
        dataset_text(str(tmp_path / "code"))


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ConfigError, match=r"superposition\[datasets\]"):
        dataset_text("wikitext")


def test_heavy_packages_are_imported_late():
    code = (
        "import sys, superposition.llm.text, superposition.llm.packing;"
        "print({'transformers', 'tokenizers', 'datasets', 'torch'} & set(sys.modules))"
    )
    assert python("-c", code).stdout == "set()\n"


# --- packing


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
