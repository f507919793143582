"""Arabic and Hebrew are isolated from what surrounds them, and have every letter in Latin ones beside them."""

import unicodedata

import pytest

from superposition.llm.demo import sentences
from superposition.pages import scripts


@pytest.mark.parametrize("name", ["arabic", "hebrew"])
def test_nothing_of_our_own_sentences_is_left_in_its_script(name):
    for sentence in sentences()[name]:
        latin = scripts.transliterated(sentence)
        assert not any(unicodedata.bidirectional(c) in ("R", "AL") for c in latin), latin
        assert latin


def test_letters_that_carry_marks_keep_what_they_say():
    assert scripts.transliterated("\u05e9\u05c2\u05e8\u05d4") == "srh"  # a dot on the left makes shin a sin
    assert scripts.transliterated("\u05e9\u05c1\u05b8\u05dc\u05d5\u05b9\u05dd") == "shalvom"
    assert scripts.transliterated("\u0645\u064f\u062d\u0645\u0651\u064e\u062f") == "muḥmad"
    assert scripts.transliterated("\u0661\u0662") == "12"


def test_isolates_are_balanced_and_only_where_there_is_something_to_isolate():
    assert scripts.isolated("1 + 1") == "1 + 1"
    shown = scripts.readable("a \u05d0 b")
    assert shown == "\u2068a \u05d0 b\u2069 [a ʾ b]"
