"""Scripts of tokens, the frequency sweep's mixture, and few units' average precision: on text small enough to count by hand."""

import lzma

import numpy as np
import pytest

from experiments.language_model.shared import rarity
from experiments.language_model.shared.natural import halves
from experiments.language_model.shared.script_labels import OTHER, SHARED, labels_of, token_lengths
from experiments.scripts.shared.script_corpus import prepare
from experiments.scripts.shared.script_mixture import SEPARATOR, group_shares, hold_out, read_sources
from experiments.scripts.shared.tokenizer import train_tokenizer
from superposition.errors import ConfigError

ARABIC, HEBREW, OTHERS = 1, 2, OTHER


@pytest.fixture(scope="module")
def byte_tokenizer():
    """Tokens are bytes: 256 and the end of text."""
    return train_tokenizer({"a": ["a"]}, np.ones(1), 257, np.random.default_rng(0))


def test_a_token_has_the_script_of_the_character_that_its_last_byte_is_in(byte_tokenizer):
    text = "aش1א\u0301，三"  # Latin, Arabic, Common, Hebrew, Inherited, Common of three bytes, Han
    ids = np.asarray(byte_tokenizer(text, add_special_tokens=False)["input_ids"])
    labels = labels_of(text, ids, token_lengths(byte_tokenizer))
    assert labels.script.tolist() == [
        OTHERS,
        ARABIC,
        ARABIC,
        SHARED,
        HEBREW,
        HEBREW,
        SHARED,
        SHARED,
        *[SHARED] * 3,
        *[OTHERS] * 3,
    ]
    assert labels.completes.tolist() == [
        True,
        False,
        True,
        True,
        False,
        True,
        False,
        True,
        False,
        False,
        True,
        False,
        False,
        True,
    ]


def test_tokens_of_another_text_are_refused(byte_tokenizer):
    with pytest.raises(ConfigError, match="do not spell the text"):
        labels_of("ab", np.array([5]), token_lengths(byte_tokenizer))


def test_presentation_forms_and_marks_follow_unicode():
    lengths = np.array([2, 3])
    assert labels_of("\u064b", np.array([0]), lengths).script.tolist() == [SHARED]  # fathatan is Inherited
    assert labels_of("\ufefb", np.array([1]), lengths).script.tolist() == [ARABIC]  # lam with alef, one glyph
    assert labels_of("،", np.array([0]), lengths).script.tolist() == [SHARED]  # the Arabic comma is Common


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small corpus in the layout of the large one."""
    root = tmp_path_factory.mktemp("text")
    random = np.random.default_rng(0)

    def write(name, letters, documents):
        words = ["".join(random.choice(list(letters), 4)) for _ in range(60)]
        words += ["abcd"] * 20 if "hebrew" in name else []
        texts = [" ".join(random.choice(words, 150)) for _ in range(documents)]
        path = root / f"{name}.txt.xz"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(lzma.compress(SEPARATOR.join(texts).encode()))

    write("english/a", "abcdefgh", 60)
    write("english/rfcs", "xyz", 5)  # may not be shared
    write("code/b", "(){}ifx", 40)
    write("rare/arabic.x", "ابتثجح", 20)
    write("rare/persian.x", "پچژگ", 20)
    write("rare/hebrew.x", "אבגדה", 20)
    write("rare/thai.x", "กขคง", 20)
    return root


def test_sources_that_may_not_be_shared_are_not_read_and_languages_go_by_script(folder):
    sources = read_sources(folder)
    assert "english/rfcs" not in sources
    assert {n: s.group for n, s in sources.items()} == {
        "english/a": "english", "code/b": "code", "rare/arabic.x": "arabic", "rare/persian.x": "arabic",
        "rare/hebrew.x": "hebrew", "rare/thai.x": "thai",
    }  # fmt: skip


def test_a_folder_without_a_script_is_refused(folder, tmp_path):
    (tmp_path / "english").mkdir()
    (tmp_path / "english" / "a.txt.xz").write_bytes((folder / "english" / "a.txt.xz").read_bytes())
    with pytest.raises(ConfigError, match="holds no text of arabic, code, hebrew"):
        read_sources(tmp_path)


def test_held_out_documents_are_whole_from_the_end_and_none_where_one_is_too_much():
    assert hold_out(("aa", "bb", "cc"), 0.2, 0.5) == (["aa", "bb"], ["cc"])
    assert hold_out(("aa", "b" * 50), 0.02) == (["aa", "b" * 50], [])


def test_group_shares_leave_english_and_code_the_rest():
    shares = group_shares({"arabic", "hebrew", "english", "code", "thai", "udhr amh"}, 0.1)
    assert shares["arabic"] == shares["hebrew"] == 0.1
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["english"] == pytest.approx(3 * shares["code"])


@pytest.fixture(scope="module")
def corpus(folder):
    return prepare(read_sources(folder), 0.05, vocab=300, ctx=16)


def test_each_script_is_the_share_of_the_tokens_that_was_asked_for(corpus):
    weights, in_script = corpus.corpus.weights, corpus.in_script
    assert weights.sum() == pytest.approx(1)
    assert weights @ in_script == pytest.approx([0.05, 0.05])
    assert in_script[corpus.groups.index("hebrew"), 1] < 0.95  # Latin words stand in it
    assert corpus.expected() == pytest.approx({"arabic": 0.05, "hebrew": 0.05})


def test_halves_share_no_document_and_hold_the_contexts_in_the_training_texts_proportions(folder, corpus):
    held = {name: (s.group, list(s.documents)) for name, s in read_sources(folder).items()}
    shares = group_shares({s.group for s in read_sources(folder).values()}, 0.003)
    one, two = halves(corpus.corpus.tokenizer, held, shares, 16)
    assert not set(one.other.document) & set(two.other.document)
    for half in (one, two):
        english = (half.other.script == OTHERS).mean()
        assert english > 0.5
        assert (half.other.script == ARABIC).sum() < 0.02 * half.other.script.size
        assert (half.scripts["arabic"].script == ARABIC).mean() > 0.5
        assert (half.scripts["hebrew"].tokens[:, 0] == corpus.corpus.tokenizer.eos_token_id).all()


def planted(n=4000, seed=0):
    """Tokens of which a tenth are positive: unit 0 tells them, 1 and 2 do together, 3 to 5 are noise."""
    random = np.random.default_rng(seed)
    y = random.random(n) < 0.1
    x = random.random((n, 6))
    x[:, 0] = np.where(y, 5, 0) + random.random(n)
    x[:, 1] = 3 * y + random.normal(size=n)
    x[:, 2] = x[:, 1] - 3 * y  # the noise of unit 1
    return rarity.Tokens(x, y, random.integers(0, 20, n), 0.003)


def test_single_units_probe_and_sparse_probes_find_what_was_planted():
    choose, judge = planted(), planted(seed=1)
    ap = rarity.precision_of_units(judge)
    assert ap[0] == pytest.approx(1)
    assert (ap[2:] < 0.01).all()
    assert rarity.precision(rarity.probe(choose, judge), judge) > 0.99
    without = [t._replace(x=t.x[:, 1:]) for t in (choose, judge)]
    curve = rarity.sparse_probes(*without, ks=(1, 2, 3))
    assert curve[1] < 0.8
    assert curve[2] > 0.99  # one is noisy, the other is its noise
    assert rarity.enough(curve, 0.9) == 2
    assert rarity.enough({1: 0.1}, 0.9) is None


def test_sparse_matrices_give_what_dense_ones_give():
    from scipy import sparse

    choose, judge = planted(), planted(seed=1)
    coded = [t._replace(x=sparse.csr_matrix(t.x)) for t in (choose, judge)]
    np.testing.assert_allclose(rarity.precision_of_units(coded[1]), rarity.precision_of_units(judge))
    one, other = rarity.sparse_probes(*coded, ks=(1, 2)), rarity.sparse_probes(choose, judge, ks=(1, 2))
    assert one == pytest.approx(other)


def test_an_interval_covers_the_value_and_is_of_documents():
    judge = planted()
    score = judge.x[:, 1]
    low, high = rarity.interval(score, judge)
    assert low < rarity.precision(score, judge) < high
    alone = judge._replace(document=np.arange(len(judge.y)))
    assert rarity.interval(judge.x[:, 0], alone) == pytest.approx((1, 1))


def test_strongest_tokens_are_counted_in_a_text_of_natural_size():
    other = np.arange(10.0)[:, None] * [1, 0]
    script = np.array([[8.5, 0.0], [3.0, 0.0]])
    counts = rarity.in_top(other, script, [np.array([0]), np.array([1])], 2)
    assert counts.tolist() == [[1, 0], [0, 0]]  # 8.5 is second; what is silent is not ranked
