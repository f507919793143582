"""The strongest examples of a unit, the script of a token, and letters in Latin ones."""

import base64
import subprocess
import sys
import unicodedata
from html.parser import HTMLParser

import numpy as np
import pytest

from superposition import pages
from superposition.errors import ConfigError
from superposition.llm import LanguageModel
from superposition.llm.demo import sentences
from superposition.llm.packing import pack_text

LM = LanguageModel.from_hf()
TEXT = {"story": ["Once upon a time, there was a girl named Lily. "], "hebrew": [sentences()["hebrew"][0]]}


@pytest.fixture(scope="module")
def tokens():
    return pack_text(LM.tokenizer, TEXT, ctx=8, facts=LM.token_facts)


class Page(HTMLParser):
    """Text and tags of a piece of HTML."""

    def __init__(self, html):
        super().__init__()
        self.words, self.tags = [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)


def test_examples_are_the_strongest_with_the_text_around_them(tokens):
    value = np.zeros(tokens.usable.sum())
    value[[2, 4, 11]] = 1.0, 3.0, 2.0
    got = pages.strongest(LM.tokenizer, tokens, value, side=2)
    assert [e.activation for e in got.examples] == [
        3.0,
        2.0,
    ]  # 1.0 is two tokens from 3.0, whose line shows it
    assert got.examples[0].activations[got.examples[0].place - 2] == 1.0
    assert (got.firing, got.tokens) == (3, tokens.usable.sum())
    every = pages.strongest(LM.tokenizer, tokens, value, side=2, every=True)
    assert [e.activation for e in every.examples] == [3.0, 2.0, 1.0]
    assert len(pages.strongest(LM.tokenizer, tokens, value, 1).examples) == 1


def test_what_never_fires_says_so_and_negative_activations_are_no_examples(tokens):
    silent = pages.strongest(LM.tokenizer, tokens, -np.ones(tokens.usable.sum()))
    assert repr(silent) == f"fires on none of {tokens.usable.sum()} tokens"
    assert silent._repr_html_().startswith("<table>")


def test_html_is_text_not_markup_isolated_with_latin_letters_beneath_hebrew(tokens):
    where = tokens.sources.index("hebrew")
    value = (np.broadcast_to(tokens.source[:, None], tokens.tokens.shape)[tokens.usable] == where) * 1.0
    page = Page(pages.strongest(LM.tokenizer, tokens, value, 1)._repr_html_())
    line = next(attributes for tag, attributes in page.tags if tag == "bdi")
    assert line["dir"] == "auto"
    shown = "".join(page.words)
    assert pages.right_to_left([shown])
    assert pages.transliterated(TEXT["hebrew"][0])[:4] in shown.replace("«", "").replace("»", "")
    hostile = pages.Strongest((pages.Example("<b>", ("<script>", "&"), (1.0, 0.0), 0),), 1, 2)._repr_html_()
    assert "<script>" not in hostile
    assert "<b>" not in hostile


def test_lines_isolate_their_text(tokens):
    for line in repr(pages.strongest(LM.tokenizer, tokens, np.ones(tokens.usable.sum()))).splitlines():
        assert line.count("\u2068") == line.count("\u2069") == 1


@pytest.mark.parametrize(("activations", "options", "message"), [
    (np.ones(3), {}, "one of each of the"),
    (None, {"n": 0}, "n must"),
    (None, {"side": 0}, "side must"),
])  # fmt: skip
def test_what_cannot_be_shown_is_refused(tokens, activations, options, message):
    value = np.ones(tokens.usable.sum()) if activations is None else activations
    with pytest.raises(ConfigError, match=message):
        pages.strongest(LM.tokenizer, tokens, value, **options)


SCRIPTS = {
    "arabic": "arabic",
    "hebrew": "hebrew",
    "russian": "cyrillic",
    "chinese": "cjk",
    "english": "latin",
    "greek": "greek",
}


@pytest.mark.parametrize("language", SCRIPTS)
def test_the_script_of_a_token_is_that_of_its_last_character(language):
    """Every letter of a sentence is counted once, though rare scripts fall to bytes."""
    text = " ".join(sentences()[language][:5])
    got = pages.scripts(LM.tokenizer, [LM.token_ids(text)])[0]
    assert set(got) <= {"", SCRIPTS[language]}
    letters = sum(unicodedata.category(c)[0] in "LM" for c in text)
    assert 0 < (got != "").sum() <= letters
    if language in ("russian", "greek"):  # a token at most completes one character there
        assert (got == "").any()


def test_what_all_scripts_share_has_none():
    assert set(pages.scripts(LM.tokenizer, [LM.prompt_ids("12, (3)\n")])[0]) == {""}
    with pytest.raises(ConfigError, match="rows, ctx"):
        pages.scripts(LM.tokenizer, [1, 2])


def test_every_arabic_and_hebrew_letter_has_latin_ones():
    for language in ("arabic", "hebrew"):
        for line in sentences()[language]:
            assert not pages.right_to_left([pages.transliterated(line)]), line


def test_a_frame_holds_the_document_whole_and_no_more_than_one_file_does():
    from superposition.pages.write import Pages
    from tests.oracles.pages import pages as made

    got = pages.framed(Pages(*made(3)), height=300)
    page = Page(got._repr_html_())
    (frame,) = [attributes for tag, attributes in page.tags if tag == "iframe"]
    kind, _, rest = frame["src"].partition(",")
    document, _, place = rest.partition("#")
    assert kind == "data:text/html;charset=utf-8;base64"
    assert base64.b64decode(document).decode() == got.html
    assert place == f"f={made(3)[0]['columns']['id'][0]}"
    assert frame["height"] == "300"
    with pytest.raises(ConfigError, match="at most 100 features; got 101"):
        pages.framed(Pages(*made(101)))


def test_pages_of_toy_models_wait_for_no_language_model():
    code = "import sys, superposition.pages.write as w; assert not {'jax', 'flax'} & {*sys.modules}"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    assert {*pages.__all__} == {*dir(pages)}
    assert all(callable(getattr(pages, name)) for name in pages.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        pages.nothing  # noqa: B018
