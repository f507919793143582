"""Arabic and Hebrew for readers of neither: text isolated from what surrounds it, and written in Latin letters."""

import unicodedata

ISOLATE, END = "\u2068", "\u2069"  # first strong isolate, pop directional isolate
_ARABIC = {
    "ا": "ā", "ب": "b", "ت": "t", "ث": "th", "ج": "j", "ح": "ḥ", "خ": "kh", "د": "d", "ذ": "dh", "ر": "r", "ز": "z", "س": "s",
    "ش": "sh", "ص": "ṣ", "ض": "ḍ", "ط": "ṭ", "ظ": "ẓ", "ع": "ʿ", "غ": "gh", "ف": "f", "ق": "q", "ك": "k", "ل": "l", "م": "m",
    "ن": "n", "ه": "h", "و": "w", "ي": "y", "ى": "ā", "ة": "h", "ء": "ʾ", "أ": "a", "إ": "i", "آ": "ā", "ٱ": "a", "ؤ": "ʾ",
    "ئ": "ʾ", "َ": "a", "ُ": "u", "ِ": "i", "ً": "an", "ٌ": "un", "ٍ": "in", "ٰ": "ā", "ـ": "", "،": ",", "؛": ";", "؟": "?",
    **{chr(0x660 + i): str(i) for i in range(10)},
}  # fmt: skip
_HEBREW = {
    "א": "ʾ", "ב": "b", "ג": "g", "ד": "d", "ה": "h", "ו": "v", "ז": "z", "ח": "ḥ", "ט": "ṭ", "י": "y", "כ": "k", "ך": "k",
    "ל": "l", "מ": "m", "ם": "m", "נ": "n", "ן": "n", "ס": "s", "ע": "ʿ", "פ": "p", "ף": "p", "צ": "ts", "ץ": "ts", "ק": "q",
    "ר": "r", "ש": "sh", "ת": "t", "־": "-", "\u05b7": "a", "\u05b8": "a", "\u05b2": "a", "\u05b6": "e", "\u05b5": "e",
    "\u05b1": "e", "\u05b4": "i", "\u05b9": "o", "\u05ba": "o", "\u05b3": "o", "\u05bb": "u",
}  # fmt: skip
_LETTERS = _ARABIC | _HEBREW
_SIN = ("ש\u05c2", "s")


def isolated(text: str) -> str:
    """Return text between the marks that keep its direction from acting on its neighbours; left-to-right text as it is.

    >>> isolated("abc"), isolated("שלום") == "\u2068שלום\u2069"
    ('abc', True)
    """
    return f"{ISOLATE}{text}{END}" if _is_right_to_left(text) else text


def transliterated(text: str) -> str:
    """Return text with Arabic and Hebrew letters, vowels and digits as Latin ones; other signs that have no width left out.

    >>> transliterated("سَلام"), transliterated("שָׁלוֹם"), transliterated("abc")
    ('salām', 'shalvom', 'abc')
    """
    plain = unicodedata.normalize("NFC", text).replace(*_SIN)
    letters = (_LETTERS.get(c, "" if unicodedata.category(c) == "Mn" else c) for c in plain)
    return "".join(letters)


def readable(text: str) -> str:
    """Return text of Arabic or Hebrew letters isolated and followed by its transliteration; other text as it is.

    >>> readable("abc"), readable("שלום") == "\u2068שלום\u2069 [shlvm]"
    ('abc', True)
    """
    return f"{isolated(text)} [{transliterated(text).strip()}]" if _is_right_to_left(text) else text


def _is_right_to_left(text: str) -> bool:
    return any(unicodedata.bidirectional(c) in ("R", "AL") for c in text)
