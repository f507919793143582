"""A small corpus of made-up prose in several scripts."""

import numpy as np

WORDS = {
    "latin": ["river", "stone", "walks", "under", "seven", "quiet", "lamps", "while", "nobody", "watches"],
    "hebrew": ["שָׁלוֹם", "אֶרֶץ", "מַיִם", "דֶּרֶךְ", "בַּיִת", "יֶלֶד", "סֵפֶר", "שֶׁמֶשׁ"],
    "rare": ["ძალიან", "პატარა", "სოფელი", "მთაში"],
    "held": ["ÆØÅÆØÅ"],
}


CTX = 16


def prose(name, n_words, seed=0):
    """Lines of words, each word choosing its successor among two."""
    random, words = np.random.default_rng(seed), WORDS[name]
    at, lines = 0, []
    for _ in range(n_words // 8):
        line = []
        for _ in range(8):
            at = (3 * at + random.choice([1, 2], p=[0.8, 0.2])) % len(words)
            line.append(words[at])
        lines.append(" ".join(line) + "\n")
    return "".join(lines)
