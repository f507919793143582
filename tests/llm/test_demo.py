"""Demonstration text: the script it says, the format it says, the same every time."""

import base64
import binascii
import json
import re
import sysconfig
import unicodedata
from collections import Counter

import numpy as np
import pytest

from superposition.errors import ConfigError
from superposition.llm import demo
from superposition.llm.demo import demo_text, sentences

SCRIPTS = {
    "english": "LATIN", "french": "LATIN", "german": "LATIN", "spanish": "LATIN", "hebrew": "HEBREW",
    "arabic": "ARABIC", "chinese": "CJK", "cherokee": "CHEROKEE", "greek": "GREEK", "russian": "CYRILLIC",
    "hindi": "DEVANAGARI", "bengali": "BENGALI", "thai": "THAI", "amharic": "ETHIOPIC", "georgian": "GEORGIAN",
    "korean": "HANGUL", "japanese": "HIRAGANA KATAKANA CJK KATAKANA-HIRAGANA", "armenian": "ARMENIAN", "tamil": "TAMIL",
}  # fmt: skip
FORMATS = ["json", "base64_ascii", "base64_binary", "base64_random", "hex", "dna"]


def letters(text):
    return [c for c in text if unicodedata.category(c)[0] in "LM"]


def script(character):
    return unicodedata.name(character).split(" ")[0]


def test_every_letter_is_of_its_script():
    assert set(sentences()) == set(SCRIPTS)
    for language, lines in sentences().items():
        found = {script(c) for c in letters("".join(lines))}
        assert found <= set(SCRIPTS[language].split()), language
    assert {script(c) for c in letters("".join(sentences()["japanese"]))} >= {"HIRAGANA", "CJK"}
    assert letters("".join(sentences()["english"])) == re.findall("[A-Za-z]", "".join(sentences()["english"]))


def test_sentences_are_plain_and_different():
    for language, lines in sentences().items():
        assert (
            len(set(lines))
            == len(lines)
            >= (40 if language in ("english", "hebrew", "arabic", "chinese") else 12)
        )
        for line in lines:
            assert line == unicodedata.normalize("NFC", line).strip(), line
            assert "\n" not in line
            assert language == "thai" or unicodedata.category(line[-1])[0] == "P", line


def test_the_same_seed_gives_the_same_text_and_another_does_not():
    one, again, other = demo_text(3), demo_text(3), demo_text(4)
    assert one == again
    for source in set(one) - {"python", "c"}:
        assert one[source] != other[source], source
    assert one["hebrew"] != ["\n".join(sentences()["hebrew"]) + "\n"]
    assert sorted(one["hebrew"][0].splitlines()) == sorted(sentences()["hebrew"])
    assert one["python"] == other["python"]


@pytest.mark.parametrize("size", [2_000, 20_000])
def test_formats_are_of_the_size_asked_for(size):
    found = demo_text(0, size)
    assert set(found) - {"c"} == {*SCRIPTS, *FORMATS, "python"}
    for source in [*FORMATS, "python"]:
        assert size * 0.9 < sum(map(len, found[source])) < size * 1.1 + 3000, source
    assert all(document.strip() for documents in found.values() for document in documents)


def test_base64_holds_what_it_says():
    found = demo_text(1)
    assert {len(line) for line in found["base64_random"][0].splitlines()[:-1]} == {76}
    text = base64.b64decode(found["base64_ascii"][0]).decode("ascii")
    assert set(re.split(r"(?<=\.) ", text)[:-1]) <= set(sentences()["english"])
    numbers = np.frombuffer(base64.b64decode(found["base64_binary"][0]), "<f4")
    assert abs(numbers.mean()) < 0.05
    assert numbers.std() == pytest.approx(1, abs=0.05)
    noise = np.frombuffer(base64.b64decode(found["base64_random"][0]), np.uint8)
    assert np.bincount(noise, minlength=256).max() < 3 * len(noise) / 256


def test_hex_dna_and_json():
    found = demo_text(1)
    assert len(binascii.unhexlify(found["hex"][0].replace("\n", ""))) == 10_000
    assert {len(line) for line in found["hex"][0].splitlines()[:-1]} == {64}
    dna = found["dna"][0]
    assert set(dna) == set("ACGT\n")
    assert {len(line) for line in dna.splitlines()[:-1]} == {70}
    for document in found["json"]:
        held = json.loads(document)
        assert held["count"] == len(held["items"]) > 1
    assert len(set(found["json"])) == len(found["json"])


def test_dna_has_structure_to_learn():
    dna = demo_text(1, 60_000)["dna"][0].replace("\n", "")

    def entropy(order):
        joint = Counter(dna[i : i + order + 1] for i in range(len(dna) - order))
        before = Counter(dna[i : i + order] for i in range(len(dna) - order))
        return -sum(n * np.log(n / before[key[:-1]]) for key, n in joint.items()) / (len(dna) - order)

    assert entropy(3) < entropy(2) - 0.01 < entropy(0) - 0.02
    assert entropy(4) > entropy(3) - 0.01


def test_code_is_from_the_middle_of_the_readers_own_files(tmp_path, monkeypatch):
    include, library = tmp_path / "include", tmp_path / "lib"
    include.mkdir()
    library.mkdir()
    for name in ("calendar", "wave"):
        lines = [f"# {name} line {i:03}" for i in range(100)]
        (library / f"{name}.py").write_text("\n".join(lines) + "\n")
    monkeypatch.setattr(sysconfig, "get_paths", lambda: {"stdlib": str(library), "include": str(include)})
    found = demo_text(0, 400)
    assert "c" not in found
    assert [document.split()[1] for document in found["python"]] == ["calendar", "wave"]
    lines = found["python"][0].splitlines()
    assert lines[0].startswith("# calendar line 04")
    assert re.fullmatch(r"# calendar line 05\d", lines[-1])
    assert 180 <= sum(map(len, lines)) <= 230
    (include / "b.h").write_text("int b;\n" * 3)
    (include / "a.h").write_text("int a;\n")
    assert demo_text(0, 400)["c"] == ["int a;\n", "int b;\n" * 3]
    monkeypatch.setattr(sysconfig, "get_paths", lambda: {"stdlib": str(tmp_path), "include": str(tmp_path)})
    assert set(demo_text(0, 400)) == {*SCRIPTS, *FORMATS}


def test_the_list_of_modules_is_here_on_this_python():
    from pathlib import Path

    here = Path(sysconfig.get_paths()["stdlib"])
    assert sorted(demo.MODULES) == list(demo.MODULES)
    assert sum((here / f"{name}.py").is_file() for name in demo.MODULES) >= 24


def test_settings():
    for bad in ({"seed": -1}, {"size": 10}):
        with pytest.raises(ConfigError, match="must be an integer"):
            demo_text(**bad)
