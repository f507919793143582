"""The script of every token, and Arabic and Hebrew in Latin letters for readers who do not read them."""

import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import numpy as np

from superposition.errors import ConfigError
from superposition.pages.pieces import pieces

# First words of names in Unicode that are not those of a script: marks and signs that several scripts share.
_SHARED = {
    "combining", "modifier", "mathematical", "fullwidth", "halfwidth", "feminine", "masculine", "micro", "superscript",
    "double-struck", "script", "black-letter", "kelvin", "angstrom", "variation",
}  # fmt: skip
_ARABIC = {
    **dict(zip("ابتثجحخدذرزسشصضطظعغفقكلمنهويىةپچژگ", "ābtṯǧḥḫdḏrzsšṣḍṭẓʿġfqklmnhwyāẗpčžg", strict=True)),
    "آ": "ʾā",
}
_HEBREW = dict(zip("אבגדהוזחטיכךלמםנןסעפףצץקרשת", "ʾbgdhwzḥṭykklmmnnsʿppṣṣqršt", strict=True))
_MARKS = {
    **dict.fromkeys("ءأإؤئ", "ʾ"), "\u064b": "an", "\u064c": "un", "\u064d": "in", "\u064e": "a", "\u064f": "u", "\u0650": "i",
    "،": ",", "؛": ";", "؟": "?", "־": "-", "\u05b0": "ə", "\u05b1": "e", "\u05b2": "a", "\u05b3": "o", "\u05b4": "i",
    "\u05b5": "e", "\u05b6": "e", "\u05b7": "a", "\u05b8": "a", "\u05b9": "o", "\u05bb": "u",
}  # fmt: skip
_LETTERS = _ARABIC | _HEBREW | _MARKS
_UNWRITTEN = {"\u0640", "\u0651", "\u0652", "\u0670", "\u05bc", "\u05bd", "\u05c1", "\u05c2"}


def scripts(tokenizer: Any, tokens: Any) -> np.ndarray:
    """The script of every token, in the shape of tokens (rows, ctx): "arabic", "hebrew", "latin", "cjk", ... or "".

    It is that of the character which the token's last byte completes, by the character's name in Unicode. A token
    that ends inside a character, and punctuation, digits, spaces and special tokens, which all scripts share, have "".

    Args:
        tokenizer: Byte-level or sentencepiece.
        tokens: Ids (rows, ctx), a text a row.

    Raises:
        ConfigError: tokens of another shape, or a tokenizer that does not say where spaces are.

    Example:
        >>> from superposition.llm import LanguageModel
        >>> lm = LanguageModel.from_hf()
        >>> scripts(lm.tokenizer, [lm.token_ids("a שלום")]).tolist()
        [['latin', 'hebrew', 'hebrew', 'hebrew']]
    """
    ids = np.asarray(tokens)
    if ids.ndim != 2 or ids.dtype.kind not in "iu":
        raise ConfigError(f"tokens must be ids (rows, ctx); got {ids.dtype} of shape {ids.shape}")
    return np.array([[_script(text[-1:]) for text in pieces(tokenizer, row)] for row in ids]).reshape(
        ids.shape
    )


@lru_cache(maxsize=4096)
def _script(character: str) -> str:
    if not character or unicodedata.category(character)[0] not in "LM":
        return ""
    first = unicodedata.name(character, "").split(" ")[0].lower()
    return "" if first in _SHARED else first


def transliterated(text: str) -> str:
    """Arabic and Hebrew letters in Latin ones, letter by letter; all else as it is.

    Letters as in DIN 31635 and ISO 259. Vowels that are not written are not supplied.

    >>> transliterated("שלום, سلام")
    'šlwm, slām'
    """
    return "".join(_LETTERS.get(c, "" if c in _UNWRITTEN else c) for c in unicodedata.normalize("NFC", text))


def isolated(text: str) -> str:
    """Text between Unicode's isolates, so that its direction does not move what stands around it on a line.

    >>> [f"U+{ord(c):04X}" for c in (isolated("ש")[0], isolated("ש")[-1])]
    ['U+2068', 'U+2069']
    """
    return f"\u2068{text}\u2069"


def right_to_left(texts: Iterable[str]) -> bool:
    """Whether some text has letters that are written from right to left.

    >>> right_to_left(["a", "ש"])
    True
    """
    return any(unicodedata.bidirectional(c) in ("R", "AL") for text in texts for c in text)
