"""The small language model's data: what is held out stays out, and mixing is as stated."""

import json

import numpy as np
import pytest

from experiments.language_model.shared.small_lm import split_off
from experiments.scripts.shared.corpus import Mixture, prepare
from experiments.scripts.shared.reading_order import order, rows, shares
from experiments.scripts.shared.tokenizer import EOS, save_tokenizer
from superposition.errors import ConfigError
from tests.support.small_lm import CTX, prose


def text_of(corpus, source):
    i = corpus.sources.index(source)
    return corpus.tokenizer.decode(corpus.stream[corpus.starts[i] : corpus.starts[i + 1]])


def test_the_end_of_a_source_is_held_out_and_nothing_is_lost():
    lines = prose("latin", 32_000)
    kept, held = split_off([lines], 0.05)
    assert kept[0] + held[0] == lines
    assert held[0].count("\n") == 200  # of 4000 lines
    short, tail = split_off(["x" * 999], 0.05)
    assert (len(short[0]), len(tail[0])) == (899, 100)  # a tenth, where 5 % are less than 8 kB
    stories = [f"story {i} " + "x" * 5000 for i in range(40)]
    assert split_off(stories, 0.05) == (stories[:38], stories[38:])
    few = ["a\n" * 50, "b\n" * 50, "c\n" * 4]
    assert split_off(few, 0.05) == (["a\n" * 50, "b\n" * 44], ["b\n" * 6, "c\n" * 4])


def test_two_forms_of_a_text_part_at_one_line():
    lines = [f"{'x' * (i % 90)} {i}" for i in range(4000)]
    pointed = [line.replace("x", "x\u05b0" if i > 2000 else "x") for i, line in enumerate(lines)]
    parted = [split_off(["\n".join(form)], 0.05)[1][0].split("\n") for form in (lines, pointed)]
    assert len(parted[0]) == len(parted[1]) == 200


def test_training_reads_no_held_out_text(folder, corpus):
    assert corpus.sources == ("hebrew", "latin", "rare", "stories")
    assert corpus.held.sources == ("hebrew", "latin", "rare", "stories", "udhr/held")
    whole = (folder / "latin.txt").read_text()
    train = text_of(corpus, "latin").removesuffix(EOS)
    held = corpus.tokenizer.decode(corpus.held.of("latin").tokens[:, 1:].reshape(-1))
    assert whole.startswith(train)
    assert held in whole[len(train) :] + EOS
    assert len(held) > 0.9 * (len(whole) - len(train))
    assert 0.85 < len(train) / len(whole) < 0.96
    stories = text_of(corpus, "stories").split(EOS)
    assert stories == [*json.loads((folder / "stories.json").read_text())[:36], ""]
    assert not any("ÆØ" in piece for piece in vocabulary(corpus.tokenizer))  # nor does the tokenizer
    assert "again" not in corpus.tokenizer.decode(corpus.held.tokens.reshape(-1))


def test_held_rows_begin_with_one_eos_and_are_scored_elsewhere(corpus):
    tokens, usable, source, *_ = corpus.held
    assert (tokens[:, 0] == 0).all()
    assert tokens.shape[1] == CTX
    np.testing.assert_array_equal(usable, tokens != 0)
    assert set(source) == set(range(5))


def vocabulary(tokenizer):
    return {tokenizer.decode([i]) for i in range(len(tokenizer))}


def test_the_tokenizer_is_byte_level_and_loads_anywhere(corpus, tmp_path):
    import transformers

    save_tokenizer(corpus.tokenizer, tmp_path, CTX)
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    loaded = transformers.AutoTokenizer.from_pretrained(tmp_path)
    text = "שָׁלוֹם  river,\n\t\tᏣᎳᎩ 天地 x1=22 don't é🙂"
    bos, *ids = loaded(text)["input_ids"]
    assert bos == 0  # every row of training begins with it
    assert ids == corpus.tokenizer(text)["input_ids"]
    assert loaded.decode(ids) == text
    assert (loaded.bos_token_id, loaded.eos_token_id, loaded.convert_tokens_to_ids(EOS)) == (0, 0, 0)
    assert (len(loaded), loaded.model_max_length) == (400, CTX)
    assert 0 not in ids


def test_marks_stay_with_their_letters(corpus):
    assert {" שָׁלוֹם", " אֶרֶץ"} <= vocabulary(corpus.tokenizer)


def test_mixing_gives_rare_scripts_their_tokens(folder):
    def found(alpha):
        tokenizer = prepare([folder], vocab=330, ctx=CTX, mixture=Mixture(alpha)).tokenizer
        return len(tokenizer("ძალიან პატარა სოფელი მთაში")["input_ids"])

    assert found(0.0) < 0.75 * found(1.0)


def test_preparing_twice_gives_the_same_bytes(folder, corpus):
    again = prepare([folder], vocab=400, ctx=CTX)
    assert again.tokenizer.backend_tokenizer.to_str() == corpus.tokenizer.backend_tokenizer.to_str()
    np.testing.assert_array_equal(again.stream, corpus.stream)


def test_as_much_is_held_out_as_asked(folder):
    corpus = prepare([folder], vocab=400, ctx=CTX, held_out=0.3)
    assert text_of(corpus, "latin").count("\n") == 350  # of 500 lines


def test_bytes_per_token(folder, corpus):
    text = (folder / "udhr" / "held.txt").read_text()
    n = len(corpus.tokenizer(text)["input_ids"])
    assert corpus.bytes_per_token["udhr/held"] == pytest.approx(len(text.encode()) / n)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"vocab": 256}, "vocab must be an integer in"),
        ({"vocab": 60_000}, "gives no more than .* tokens; use vocab <="),
        ({"ctx": 5000}, "fewer than ctx = 5000 tokens in .*rare"),
        ({"whole": ("*",)}, "nothing to train on"),
        ({"held_out": 0.9}, "held_out must lie in"),
    ],
)
def test_what_cannot_be_prepared(folder, options, said):
    with pytest.raises(ConfigError, match=said):
        prepare([folder], **{"vocab": 400, "ctx": CTX, **options})


def test_shares_are_the_weights_to_the_row_unless_that_reads_too_often():
    weights = np.array([0.5, 0.3, 0.15, 0.05])
    many = np.full(4, 10**6)
    assert shares(weights, 1000, many).tolist() == [500, 300, 150, 50]
    odd = shares(weights, 1003, many)
    assert odd.sum() == 1003
    assert np.abs(odd - 1003 * weights).max() < 1
    capped = shares(weights, 1000, np.array([10**6, 200, 10**6, 10]))
    assert capped[[1, 3]].tolist() == [200, 10]
    assert capped[0] / capped[2] == pytest.approx(0.5 / 0.15, rel=0.01)
    assert capped.sum() == 1000
    in_turn = np.array([510, 315, 10**6, 10])  # the first cap brings the second about, that the third
    assert shares(weights, 1000, in_turn).tolist() == [510, 315, 165, 10]
    with pytest.raises(ConfigError, match="1000 rows are asked for, but max_epochs allows 40"):
        shares(weights, 1000, np.full(4, 10))


def test_the_order_follows_weights_and_stays_inside_sources(corpus):
    steps, batch = 50, 32
    starts = order(corpus, steps, batch, 0)
    assert (starts.shape, starts.dtype) == ((steps, batch), np.int32)
    source = np.searchsorted(corpus.starts, starts, side="right") - 1
    assert (starts + CTX - 1 <= corpus.starts[source + 1]).all()
    drawn = np.bincount(source.ravel(), minlength=4)
    np.testing.assert_allclose(drawn, corpus.weights * steps * batch, atol=1)
    per_step = (source == 1).sum(1)
    assert per_step.std() < 2 * np.sqrt(batch / 4)  # mixed within each batch
    np.testing.assert_array_equal(order(corpus, steps, batch, 0), starts)
    assert (order(corpus, steps, batch, 1) != starts).mean() > 0.9


def test_weights_are_bytes_to_the_alpha(folder):
    corpus = prepare([folder], vocab=300, ctx=CTX, mixture=Mixture(0.5))
    size = [len(text_of(corpus, name).replace(EOS, "").encode()) for name in corpus.sources]
    np.testing.assert_allclose(corpus.weights, np.sqrt(size) / np.sqrt(size).sum(), rtol=1e-9)


def test_no_token_is_read_more_often_than_its_epochs(corpus):
    wanted = order(corpus, 80, 32, 3)
    reads = np.zeros(len(corpus.stream), int)
    np.add.at(reads, wanted.reshape(-1, 1) + np.arange(CTX - 1), 1)
    i = corpus.sources.index("rare")
    inside = reads[corpus.starts[i] : corpus.starts[i + 1]]
    assert inside.max() <= np.ceil(inside.mean()) + 1
    assert (inside > 0).all()  # from other places each epoch: no token is always left out
    few = order(corpus, 40, 32, 3, mixture=Mixture(max_epochs=3))
    where = (few >= corpus.starts[i]) & (few < corpus.starts[i + 1])
    assert where.sum() * (CTX - 1) <= 3 * corpus.lengths[i]
    with pytest.raises(ConfigError, match="max_epochs allows"):
        order(corpus, 10_000, 32, 3, mixture=Mixture(max_epochs=3))


def test_training_rows_are_eos_and_the_stream(corpus):
    starts = order(corpus, 3, 4, 0)
    got = rows(corpus, starts)
    assert got.shape == (3, 4, CTX)
    assert (got[..., 0] == 0).all()
    at = starts[2, 1]
    np.testing.assert_array_equal(got[2, 1, 1:], corpus.stream[at : at + CTX - 1])
