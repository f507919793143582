"""Tokens as they are shown: every byte accounted for, every dangerous character visible, nothing invented."""

import re
import unicodedata

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from superposition.errors import ConfigError
from superposition.llm import LanguageModel
from superposition.pages.pieces import REACH, piece, pieces, visible
from tests.oracles import tiny_lm

TEXTS = {
    "arabic": "السَّلامُ عليكم ورحمةُ الله",
    "hebrew": "בְּרֵאשִׁ֖ית בָּרָ֣א אֱלֹהִ֑ים",
    "chinese": "起初神創造天地，𠀀𠮷野家。",
    "cherokee": "ᏣᎳᎩ ᎦᏬᏂᎯᏍᏗ ꮳꮃꭹ",
    "emoji": "👩‍💻 and 👨‍👩‍👧‍👦, 🏳️‍🌈 🇮🇱 e\u0301",
    "code": "def f(x):\n\treturn {'a': [1,\r\n2]}\n\n\n",
    "hostile": "</script><!-- ]]> &lt;b&gt; <img src=x onerror=alert(1)> ${7*7} {{x}} \\u003c __proto__ =cmd|' /C'!A0",
    "ansi": "\x1b[31mred\x1b[0m \x00\x07\x7f\x85\x9b",
    "bidi": "a\u202eb\u202dc\u2066d\u2069e\u200f\u200e\u061c",
    "zero width": "a\u200bb\u200cc\u200dd\u2060e\ufefff\u00adg\u180eh\u2028i\u2029j",
    "nonsense": "\ufdd0 \uffff \U0001fffe \U000e0041\U000e007f \ufff9x\ufffby \u3164",
}  # fmt: skip
DANGEROUS = [
    *range(0x20), *range(0x7F, 0xA0), *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x206A),
    0x2028, 0x2029, 0x61C, 0xAD, 0x180E, 0xFEFF, *range(0xE0000, 0xE0080), *range(0xFDD0, 0xFDF0), 0xFFFE, 0xFFFF,
    0x10FFFF, 0xD800, 0xDFFF, 0x34F, 0x115F, 0x1160, 0x3164, 0xFFA0,
]  # fmt: skip
BYTES = re.compile("⟨[0-9A-F]{2}( [0-9A-F]{2})*⟩")


@pytest.fixture(scope="module")
def tokenizer():
    return LanguageModel.from_hf().tokenizer


@pytest.fixture(scope="module")
def byte_by_byte(tmp_path_factory):
    """A tokenizer with next to no merges: nearly every character is in parts."""
    folder = tmp_path_factory.mktemp("tokenizer")
    tiny_lm.write_model(folder)
    return LanguageModel.from_hf(folder).tokenizer


@pytest.fixture(scope="module")
def sentencepiece():
    """A vocabulary as Llama's and Gemma's: ▁ for a space, bytes as <0x0A>."""
    words = ["<s>", *(f"<0x{b:02X}>" for b in range(256)), "▁", "▁the", "▁ca", "t", "s", "▁▁", "é", "▁你"]
    vocab = {word: i for i, word in enumerate(words)}
    backend = Tokenizer(models.BPE(vocab, [], byte_fallback=True, fuse_unk=False))
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    return PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>")


def undone(shown):
    """The text that display strings stand for: bytes are those of a character that a later token completes."""
    text = BYTES.sub("", "".join(shown)).replace("↵", "\n").replace("⇥", "\t")
    return re.sub("⟨U\\+([0-9A-F]+)⟩", lambda m: chr(int(m[1], 16)), text)


def ids_of(tokenizer, text):
    return tokenizer(text, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("name", TEXTS)
def test_pieces_of_a_text_give_the_text_back(tokenizer, byte_by_byte, name):
    for each in (tokenizer, byte_by_byte):
        ids = ids_of(each, TEXTS[name])
        shown = pieces(each, ids)
        assert len(shown) == len(ids)
        assert all(shown)
        assert undone(shown) == TEXTS[name] == each.decode(ids, clean_up_tokenization_spaces=False)


def test_every_vocabulary_token_is_shown_safely_and_completely(tokenizer):
    for id in range(len(tokenizer)):
        shown = piece(tokenizer, id)
        assert shown
        assert not any(ord(c) in DANGEROUS for c in shown), (id, shown)
        if id == 0:
            assert shown == "<|endoftext|>"
            continue
        data = b"".join(
            bytes.fromhex(m[1].replace(" ", "")) if m[1] else undone([m[0]]).encode()
            for m in re.finditer("⟨([0-9A-F]{2}(?: [0-9A-F]{2})*)⟩|⟨U[^⟩]+⟩|.", shown)
        )
        decoded = tokenizer.decode([id], clean_up_tokenization_spaces=False)
        assert data.decode(errors="replace") == decoded, (id, shown)


def test_a_character_stands_on_the_token_that_completes_it(byte_by_byte):
    ids = ids_of(byte_by_byte, "x你😀")
    assert [byte_by_byte.convert_ids_to_tokens(i) for i in ids] == list("xä½łðŁĺĢ")
    shown = ["x", "⟨E4⟩", "⟨BD⟩", "你", "⟨F0⟩", "⟨9F⟩", "⟨98⟩", "😀"]
    assert pieces(byte_by_byte, ids) == shown
    # Cut anywhere, broken off, or interrupted: what is not there is not made up.
    assert pieces(byte_by_byte, ids[2:]) == ["⟨BD⟩", "⟨A0⟩", *shown[4:]]
    assert pieces(byte_by_byte, ids[:3]) == shown[:3]
    assert pieces(byte_by_byte, [ids[1], ids[2], ids[0], ids[3]]) == ["⟨E4⟩", "⟨BD⟩", "x", "⟨A0⟩"]
    assert pieces(byte_by_byte, [ids[1], 0, ids[3]]) == ["⟨E4⟩", "<|end|>", "⟨A0⟩"]
    assert pieces(byte_by_byte, [ids[1], ids[4], ids[5]]) == ["⟨E4⟩", "⟨F0⟩", "⟨9F⟩"]


def test_so_many_tokens_before_a_window_are_enough_to_read_it(byte_by_byte):
    ids = ids_of(byte_by_byte, "".join(TEXTS.values()))
    whole = pieces(byte_by_byte, ids)
    for start in range(REACH, len(ids) - 4):
        got = pieces(byte_by_byte, ids[start - REACH : start + 4])[REACH:]
        assert got[0] == whole[start]


def test_bytes_that_are_no_character_stay_bytes(byte_by_byte):
    def shown(data):
        alphabet = {b: i for i, b in enumerate_bytes(byte_by_byte)}
        return "".join(pieces(byte_by_byte, [alphabet[b] for b in data]))

    assert shown(b"\xff") == "⟨FF⟩"
    assert shown(b"\xc0\x80") == "⟨C0⟩⟨80⟩"  # an overlong NUL
    assert shown(b"\xed\xa0\x80!") == "⟨ED⟩⟨A0⟩⟨80⟩!"  # a surrogate
    assert shown(b"\xf5\x80\x80\x80") == "⟨F5⟩⟨80⟩⟨80⟩⟨80⟩"  # beyond Unicode
    assert shown("é".encode()[:1] + b"a") == "⟨C3⟩a"
    assert shown("你".encode()[:2] + "é".encode()) == "⟨E4⟩⟨BD⟩⟨C3⟩é"  # a character broken off by another


def enumerate_bytes(tokenizer):
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    for byte, c in bytes_to_unicode().items():
        yield tokenizer.convert_tokens_to_ids(c), byte


def test_bytes_side_by_side_in_one_token_are_one_mark(tokenizer):
    several = [i for i in range(1, len(tokenizer)) if re.fullmatch("⟨.. .+⟩", piece(tokenizer, i))]
    assert several, "no token is of two bytes: look at another vocabulary"
    assert all(BYTES.fullmatch(piece(tokenizer, i)) for i in several)


def test_sentencepiece_tokens(sentencepiece):
    def ids(*words):
        return sentencepiece.convert_tokens_to_ids(list(words))

    words = (
        "<s>",
        "▁the",
        "▁ca",
        "t",
        "s",
        "▁▁",
        "é",
        "<0x0A>",
        "<0xE4>",
        "<0xBD>",
        "<0xA0>",
        "▁你",
        "<0xFF>",
    )
    shown = ["<s>", " the", " ca", "t", "s", "  ", "é", "↵", "⟨E4⟩", "⟨BD⟩", "你", " 你", "⟨FF⟩"]
    assert pieces(sentencepiece, ids(*words)) == shown
    assert [piece(sentencepiece, i) for i in ids("<0xE4>", "<0x09>", "<0x00>")] == ["⟨E4⟩", "⇥", "⟨U+0000⟩"]


def test_special_tokens_are_named_and_other_added_ones_are_text():
    copy = AutoTokenizer.from_pretrained(LanguageModel.from_hf().folder)
    copy.add_tokens(["\n\n", "Ġ plain"])
    copy.add_special_tokens({"additional_special_tokens": ["<pad\u202e>"]})
    new = copy.convert_tokens_to_ids(["\n\n", "Ġ plain", "<pad\u202e>"])
    assert pieces(copy, [*new, 0]) == ["↵↵", "Ġ plain", "<pad⟨U+202E⟩>", "<|endoftext|>"]
    assert piece(copy, 10**6) == "⟨id 1000000⟩"  # a row of the model that the tokenizer has no token for


def test_wordpiece_is_refused():
    backend = Tokenizer(models.WordPiece({"[UNK]": 0, "a": 1, "##b": 2}, unk_token="[UNK]"))
    backend.decoder = decoders.WordPiece()
    with pytest.raises(ConfigError, match="WordPiece"):
        pieces(PreTrainedTokenizerFast(tokenizer_object=backend), [1])


def test_dangerous_characters_are_made_visible():
    for code in DANGEROUS:
        wanted = {0x0A: "↵", 0x09: "⇥"}.get(code, f"⟨U+{code:04X}⟩")
        assert visible(f"a{chr(code)}b") == f"a{wanted}b"


def test_text_that_can_be_seen_is_left_alone():
    for text in ("e\u0301", "שָׁלוֹם", "\u0600\u06dd", "\U0001d4d0", "<b>&amp;'\"", "nbsp\u00a0x", "\ue000"):
        assert visible(text) == text
    random = np.random.default_rng(0).integers(32, 0x30000, 3000)
    seen = [chr(c) for c in random if unicodedata.category(chr(c))[0] in "LMNPSZ" and c not in DANGEROUS]
    changed = {hex(ord(c)) for c in seen if visible(c) != c}
    assert len(changed) < 3, changed  # fillers, which have no shape
