"""Which script every token is of: that of the character which the token's last byte belongs to."""

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from superposition.errors import ConfigError

SCRIPTS = ("arabic", "hebrew")
SHARED, OTHER = 0, len(SCRIPTS) + 1  # Common, Inherited or no character; a script that is not asked about


class Labels(NamedTuple):
    """Of every token (n,): its script, and whether it completes a character.

    script: 0 for characters that scripts share, the place in `SCRIPTS` from 1, one more for every other script.
    """

    script: np.ndarray
    completes: np.ndarray


@cache
def _script_of_character() -> np.ndarray:
    """Script by code point: `SHARED` for Unicode's Common and Inherited (punctuation, digits, spaces, marks)."""
    import regex  # type: ignore[import-untyped]  # which transformers brings

    shared = regex.compile(r"[\p{Script=Common}\p{Script=Inherited}\p{Script=Unknown}]")
    named = [regex.compile(rf"\p{{Script={name}}}") for name in SCRIPTS]
    table = np.full(0x20000, OTHER, np.uint8)
    for code in range(len(table)):
        character = chr(code)
        if 0xD800 <= code < 0xE000 or shared.match(character):
            table[code] = SHARED
        for number, pattern in enumerate(named, 1):
            if pattern.match(character):
                table[code] = number
    return table


def token_lengths(tokenizer: Any) -> np.ndarray:
    """Bytes of every token of a byte-level vocabulary, which writes a byte as a letter; 0 for special tokens."""
    from tokenizers.pre_tokenizers import ByteLevel

    special, letters = set(tokenizer.all_special_ids), set(ByteLevel.alphabet())
    lengths = np.zeros(len(tokenizer), np.int64)
    for i, token in enumerate(tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))):
        if i not in special:
            if any(letter not in letters for letter in token):
                raise ConfigError(f"token {i}, {token!r}, is not one of a byte-level vocabulary")
            lengths[i] = len(token)
    return lengths


def labels_of(text: str, ids: np.ndarray, lengths: np.ndarray) -> Labels:
    """Labels of the tokens of one text; lengths as `token_lengths` gives them."""
    code = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    width = 1 + (code >= 0x80).astype(np.int64) + (code >= 0x800) + (code >= 0x10000)
    last = np.cumsum(lengths[ids]) - 1  # the last byte of every token
    ends = np.cumsum(width)
    if len(ids) and last[-1] + 1 != ends[-1]:
        raise ConfigError(
            "the tokens do not spell the text byte for byte; is the tokenizer byte-level, without a normaliser?"
        )
    table = _script_of_character()
    scripts = table[np.minimum(code, len(table) - 1)]
    at = np.searchsorted(ends, last, side="right")  # the character that holds this byte
    return Labels(scripts[at], ends[at] - 1 == last)
