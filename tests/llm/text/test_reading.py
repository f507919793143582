"""Text from files and datasets, as documents."""

import gzip
import json
import lzma
import sys

import pytest

from superposition.errors import ConfigError
from superposition.llm.text import dataset_text, read_text
from tests.support.processes import python


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


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
        ("t.jsonl.xz", lzma.compress(b'{"code": "x", "text": "one"}\n{"text": "two\\nlines"}')),
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
        ("t.txt.xz", b"not xz", "cannot be read"),
        ("t.txt.xz", lzma.compress(b"a" * 999)[:-9], "cannot be read"),
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
