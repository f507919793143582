"""What served pages may ask of the model: it is what the commands say, within limits, and over HTTP."""

import dataclasses
import threading

import jax
import numpy as np
import pytest

from superposition.errors import ConfigError
from superposition.interventions import Attached, continuations, latents_of
from superposition.llm import LanguageModel, generation
from superposition.pages.pieces import pieces
from superposition.pages.server import Limits
from superposition.pages.server.live import _activations, _compared, _encode, answers
from superposition.sae import TopK
from tests.support.server import post, serving, write

POST = "blocks.0.mlp.hook_post"
ENGLISH = "Once upon a time there was a"
ASKED = {"prompt": ENGLISH, "id": 3, "strengths": [-2, 0, 1.5], "n": 5, "temperature": 0, "seed": 0}


@pytest.fixture(scope="module")
def attached():
    sae = TopK(d_in=512, d_sae=40, k=4)
    params = sae.init_params(jax.random.key(1))
    params["W_dec"] *= 20  # enough to change what is written
    return Attached(LanguageModel.from_hf(), POST, sae, params)


@pytest.fixture(scope="module")
def maxima():
    return {i: None if i == 5 else 1.0 + i / 10 for i in range(30)}  # of the 40 latents 30 have pages


@pytest.fixture(scope="module")
def live(attached, maxima):
    return answers(attached, maxima)


def test_activations_are_those_of_the_sae_on_the_text_after_bos(live, attached, maxima):
    lm = attached.lm
    text = "Once upon a time\nשלום\u202e 你"
    found = live["/api/activations"]({"text": text})
    ids = lm.tokenizer(text, add_special_tokens=False)["input_ids"]
    assert found["tokens"] == pieces(lm.tokenizer, ids)
    assert any("⟨U+202E⟩" in token for token in found["tokens"])
    latents = np.asarray(latents_of(attached, [[lm.spec.bos, *ids]]))[0, 1:]
    assert len(found["top"]) == len(ids) == len(latents)
    for row, top in zip(latents, found["top"], strict=True):
        expected = {i: row[i] for i in np.flatnonzero(row) if i in maxima}
        assert {i: a for i, a, _ in top} == pytest.approx(expected, rel=1e-3)
        shares = [share for *_, share in top]
        assert shares == sorted(shares, reverse=True)
        assert shares == pytest.approx([a / (maxima[i] or a) for i, a, _ in top], rel=1e-3)


def test_long_texts_are_read_whole_and_special_tokens_are_left_out(live, attached, maxima):
    lm = attached.lm
    text = " the" * (lm.spec.n_ctx - 1)
    ids = lm.tokenizer(text, add_special_tokens=False)["input_ids"]
    assert len(ids) == lm.spec.n_ctx - 1
    found = live["/api/activations"]({"text": text})
    assert all(found["top"])
    with pytest.raises(ConfigError, match=f"{lm.spec.n_ctx - 1} tokens"):
        live["/api/activations"]({"text": text + " the"})
    end = lm.tokenizer.convert_ids_to_tokens(lm.spec.eos)
    found = live["/api/activations"]({"text": f"a{end}b"})
    assert found["tokens"] == pieces(lm.tokenizer, lm.token_ids(f"a{end}b"))  # what is spelled is text
    assert len(found["top"]) > 3
    assert all(found["top"])
    parsing = lm.with_facts(dataclasses.replace(lm.token_facts, parse_special=True))
    live = answers(dataclasses.replace(attached, lm=parsing), maxima)
    found = live["/api/activations"]({"text": f"a{end}b"})
    assert [bool(top) for top in found["top"]] == [True, False, True]


@pytest.mark.parametrize("temperature", [0, 0.9])
def test_steering_says_what_the_command_says(live, attached, maxima, temperature):
    lm = attached.lm
    asked = ASKED | {"temperature": temperature, "seed": 4, "n": 9}
    rows = live["/api/steer"](asked)["rows"]
    prompt = [lm.spec.bos, *lm.tokenizer(ENGLISH, add_special_tokens=False)["input_ids"]]
    amounts = [s * maxima[3] for s in asked["strengths"]]
    texts = continuations(attached, 3, amounts, prompt, 9, temperature=temperature, seed=4).rows
    for strength, row, text in zip(asked["strengths"], rows, texts, strict=True):
        assert row["strength"] == strength
        assert row["prompt_length"] == len(prompt) - 1
        assert row["tokens"] == pieces(lm.tokenizer, text.tokens[1:])
        assert row["act"] == pytest.approx(text.activations[1:].tolist(), abs=1e-4)
        assert row["kl"] == pytest.approx(text.kl, rel=1e-3, abs=1e-6)
    assert rows[1]["kl"] == 0
    assert min(rows[0]["kl"], rows[2]["kl"]) > 1e-4
    assert len({tuple(row["tokens"]) for row in rows}) > 1
    assert rows == live["/api/steer"](asked)["rows"]


def test_the_end_of_the_text_ends_a_row(live, attached, maxima):
    lm = attached.lm
    for seed in range(200):
        asked = ASKED | {"temperature": 3, "seed": seed, "n": 16, "strengths": [1]}
        row = live["/api/steer"](asked)["rows"][0]
        if row["prompt_length"] < len(row["tokens"]) < row["prompt_length"] + 16:
            break
    else:
        pytest.fail("no text ended")
    assert len(row["act"]) == len(row["tokens"])
    assert lm.tokenizer.convert_ids_to_tokens(lm.spec.eos) not in row["tokens"]
    prompt = [lm.spec.bos, *lm.tokenizer(ENGLISH, add_special_tokens=False)["input_ids"]]
    text = continuations(attached, 3, [maxima[3]], prompt, 16, temperature=3, seed=seed).rows[0]
    assert row["tokens"] == pieces(lm.tokenizer, text.tokens[1:])
    assert row["kl"] == pytest.approx(text.kl, rel=1e-3)


def test_requests_of_other_lengths_compile_nothing_new(live):
    def ask_all(words, n):
        live["/api/activations"]({"text": " the" * words})
        live["/api/steer"](ASKED | {"prompt": " the" * words, "n": n})

    ask_all(17, 30)
    sizes = [f._cache_size() for f in (generation.generate, _activations, _encode, _compared)]
    for words, n in ((18, 31), (24, 17), (30, 20)):
        ask_all(words, n)
    assert sizes == [f._cache_size() for f in (generation.generate, _activations, _encode, _compared)]


WRONG = [
    ("/api/activations", {}, "text"),
    ("/api/activations", {"text": 3}, "string"),
    ("/api/activations", {"text": ""}, "no tokens"),
    ("/api/activations", {"text": ["a"]}, "string"),
    ("/api/activations", {"text": "a", "url": "http://a"}, "url"),
    ("/api/steer", {}, "prompt"),
    ("/api/steer", ASKED | {"path": "/etc/passwd"}, "path"),
    ("/api/steer", ASKED | {"prompt": None}, "string"),
    ("/api/steer", ASKED | {"prompt": " the" * 200}, "127"),
    ("/api/steer", ASKED | {"id": True}, "id"),
    ("/api/steer", ASKED | {"id": 1.0}, "id"),
    ("/api/steer", ASKED | {"id": "1"}, "id"),
    ("/api/steer", ASKED | {"id": -1}, "id"),
    ("/api/steer", ASKED | {"id": 40}, "id"),
    ("/api/steer", ASKED | {"id": 5}, "never fired"),
    ("/api/steer", ASKED | {"id": 35}, "no page"),
    ("/api/steer", ASKED | {"n": 0}, "n must"),
    ("/api/steer", ASKED | {"n": True}, "n must"),
    ("/api/steer", ASKED | {"n": 1e3}, "n must"),
    ("/api/steer", ASKED | {"n": 121}, "at most 120"),
    ("/api/steer", ASKED | {"n": 10**15}, "at most"),
    ("/api/steer", ASKED | {"strengths": 1}, "list"),
    ("/api/steer", ASKED | {"strengths": []}, "1 to 9"),
    ("/api/steer", ASKED | {"strengths": [0.0] * 10}, "1 to 9"),
    ("/api/steer", ASKED | {"strengths": [True]}, "number"),
    ("/api/steer", ASKED | {"strengths": ["1"]}, "number"),
    ("/api/steer", ASKED | {"strengths": [[1]]}, "number"),
    ("/api/steer", ASKED | {"strengths": [float("nan")]}, "finite"),
    ("/api/steer", ASKED | {"strengths": [1e9]}, "100"),
    ("/api/steer", ASKED | {"temperature": -0.1}, "temperature"),
    ("/api/steer", ASKED | {"temperature": False}, "temperature"),
    ("/api/steer", ASKED | {"temperature": None}, "temperature"),
    ("/api/steer", ASKED | {"temperature": float("inf")}, "finite"),
    ("/api/steer", ASKED | {"temperature": [0]}, "temperature"),
    ("/api/steer", ASKED | {"seed": -1}, "seed"),
    ("/api/steer", ASKED | {"seed": 0.5}, "seed"),
    ("/api/steer", ASKED | {"seed": 2**32}, "seed"),
    ("/api/steer", ASKED | {"seed": True}, "seed"),
]


@pytest.mark.parametrize(("path", "request_", "said"), WRONG, ids=range(len(WRONG)))
def test_a_request_outside_the_limits_says_which(live, path, request_, said):
    with pytest.raises(ConfigError, match=said):
        live[path](request_)


def test_both_endpoints_over_http_at_once(tmp_path, live):
    with serving(write(tmp_path), live, Limits(turn=60)) as server:
        expected = {
            "/api/activations": live["/api/activations"]({"text": ENGLISH}),
            "/api/steer": live["/api/steer"](ASKED),
        }
        found = []
        threads = [
            threading.Thread(target=lambda p=path, r=request: found.append((p, post(server, r, p)[:2])))
            for path, request in [("/api/activations", {"text": ENGLISH}), ("/api/steer", ASKED)] * 4
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        assert len(found) == 8
        for path, (status, answer) in found:
            assert (status, answer) == (200, expected[path])
        status, answer, _ = post(server, ASKED | {"id": 99}, "/api/steer")
        assert (status, set(answer)) == (400, {"error"})
        assert "99" in answer["error"]


def test_a_model_without_bos_needs_a_prompt_and_its_first_token_is_left_out(attached, maxima):
    lm = attached.lm
    bare = lm.with_facts(lm.token_facts.with_bos(False))
    live = answers(dataclasses.replace(attached, lm=bare), maxima)
    found = live["/api/activations"]({"text": "a b c"})
    assert found["top"][0] == []
    assert all(found["top"][1:])
    with pytest.raises(ConfigError, match="BOS"):
        live["/api/steer"](ASKED | {"prompt": ""})
    assert live["/api/steer"](ASKED)["rows"][0]["prompt_length"] == 7
