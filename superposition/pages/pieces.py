"""Tokens as text that is safe to show and says what is there: every byte accounted for, nothing invisible.

Byte-level vocabularies (GPT-2's alphabet) and sentencepiece's (▁ for a space, <0x0A> for a byte) become bytes. A
character of several tokens stands on the token that completes it, what came before as ⟨E4 BD⟩. Newline is ↵, tab ⇥;
control, bidirectional and zero-width characters, lone surrogates and noncharacters are ⟨U+202E⟩.
"""

import json
import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from itertools import groupby
from typing import Any

from superposition.errors import ConfigError

REACH = 3  # a character has at most 4 bytes: so many tokens before a text are enough to read it
_BYTE = re.compile("<0x([0-9A-F]{2})>")
_SHOWN_FORMAT = {
    *range(0x600, 0x606),
    0x6DD,
    0x70F,
    0x890,
    0x891,
    0x8E2,
    0x110BD,
    0x110CD,
}  # these have a shape
_FILLERS = {
    0x34F,
    0x115F,
    0x1160,
    0x17B4,
    0x17B5,
    0x180B,
    0x180C,
    0x180D,
    0x180F,
    0x3164,
    0xFFA0,
}  # these have none


def pieces(tokenizer: Any, ids: Iterable[int]) -> list[str]:
    """Display strings of the tokens of a text, one each."""
    return _alphabet(tokenizer).shown(ids)


def piece(tokenizer: Any, id: int) -> str:
    """The display string of a token alone."""
    return _alphabet(tokenizer).shown([id])[0]


def visible(text: str) -> str:
    """Text with all that would be invisible, or would act on its neighbours, in ⟨⟩."""
    return text if text.isascii() and text.isprintable() else "".join(map(_visible, text))


class Alphabet:
    """A tokenizer's tokens as bytes, or as names where they are special."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._bytes = _byte_level() if _is_byte_level(tokenizer) else None
        added = tokenizer.added_tokens_decoder
        # The display of a token that is special or whole characters, else None.
        self._whole: dict[int, str | None] = {i: visible(t.content) for i, t in added.items() if t.special}
        self._added = {i: t.content for i, t in added.items() if not t.special}
        self._raw: dict[int, bytes] = {}

    def shown(self, ids: Iterable[int]) -> list[str]:
        """Display strings of the tokens of a text."""
        ids = list(map(int, ids))
        alone = [self._alone(id) for id in ids]
        if None not in alone:
            return alone  # type: ignore[return-value]
        out: list[list[str | int]] = []  # of a token: text, and bytes that belong to no character on it
        open_: list[tuple[int, int]] = []  # bytes of a character that is not complete: token, byte
        size = 0
        for n, (id, whole) in enumerate(zip(ids, alone, strict=True)):
            out.append([])
            if whole is not None:
                _close(out, open_)
                out[-1].append(whole)
                continue
            for byte in self._of(id):
                if open_ and byte & 0xC0 != 0x80:
                    _close(out, open_)
                open_.append((n, byte))
                size = _length(byte) if len(open_) == 1 else size
                if len(open_) == size:
                    character = _decoded(bytes(b for _, b in open_))
                    if character is None:
                        _close(out, open_)
                        continue
                    open_ = [(token, b) for token, b in open_ if token < n]
                    _close(out, open_)
                    out[n].append(_visible(character))
        _close(out, open_)
        return [_joined(parts) for parts in out]

    def _alone(self, id: int) -> str | None:
        if id not in self._whole:
            try:
                self._whole[id] = visible(self._of(id).decode())
            except UnicodeDecodeError:
                self._whole[id] = None
        return self._whole[id]

    def _of(self, id: int) -> bytes:
        if id not in self._raw:
            self._raw[id] = self._read(id)
        return self._raw[id]

    def _read(self, id: int) -> bytes:
        token = self._added.get(id, self._tokenizer.convert_ids_to_tokens(id))
        if token is None:
            return f"⟨id {id}⟩".encode()  # models have more rows than their tokenizers have tokens
        if self._bytes is not None and id not in self._added:
            return b"".join(self._bytes.get(c) or c.encode("utf-8", "surrogatepass") for c in token)
        if match := _BYTE.fullmatch(token):
            return bytes([int(match[1], 16)])
        return (token if self._bytes else token.replace("▁", " ")).encode("utf-8", "surrogatepass")


@lru_cache(maxsize=4)
def _alphabet(tokenizer: Any) -> Alphabet:
    return Alphabet(tokenizer)


def _is_byte_level(tokenizer: Any) -> bool:
    """By the decoder, which says what the strings of the vocabulary stand for; ConfigError for a kind we cannot read."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return "Ġ" in tokenizer.get_vocab()
    state = json.dumps(json.loads(backend.decoder.__getstate__())) if backend.decoder is not None else ""
    if '"WordPiece"' in state:
        raise ConfigError(
            "tokens of a WordPiece tokenizer do not say where spaces are; use a byte-level or sentencepiece one"
        )
    return '"ByteLevel"' in state


@lru_cache(maxsize=1)
def _byte_level() -> dict[str, bytes]:
    """GPT-2's alphabet: printable Latin-1 stands for itself, other bytes for the characters from U+0100 on."""
    own = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [b for b in range(256) if b not in own]
    return {chr(b): bytes([b]) for b in own} | {chr(0x100 + n): bytes([b]) for n, b in enumerate(rest)}


def _length(first: int) -> int:
    """Bytes of the character that begins with this one; 1 for a byte that begins none."""
    return 2 if 0xC2 <= first < 0xE0 else 3 if 0xE0 <= first < 0xF0 else 4 if 0xF0 <= first < 0xF5 else 1


def _decoded(data: bytes) -> str | None:
    try:
        return data.decode()
    except UnicodeDecodeError:  # overlong, a surrogate, or a byte that begins nothing
        return None


def _close(out: list[list[str | int]], open_: list[tuple[int, int]]) -> None:
    """Leave bytes that complete no character where they are."""
    for token, byte in open_:
        out[token].append(byte)
    open_.clear()


def _joined(parts: list[str | int]) -> str:
    """Text, and runs of bytes as ⟨E4 BD⟩."""
    runs = [(is_byte, list(run)) for is_byte, run in groupby(parts, lambda part: isinstance(part, int))]
    return "".join(
        f"⟨{' '.join(f'{b:02X}' for b in run)}⟩" if is_byte else "".join(map(str, run))
        for is_byte, run in runs
    )


def _visible(c: str) -> str:
    if c == "\n":
        return "↵"
    if c == "\t":
        return "⇥"
    code = ord(c)
    hidden = (
        unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")
        or (unicodedata.category(c) == "Cf" and code not in _SHOWN_FORMAT)
        or code in _FILLERS
        or 0xE0000 <= code < 0xE1000
        or code & 0xFFFE == 0xFFFE
        or 0xFDD0 <= code < 0xFDF0
        or 0x2060 <= code < 0x2070
    )
    return f"⟨U+{code:04X}⟩" if hidden else c
