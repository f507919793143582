"""`superposition steer`: what it prints, and the numbers that it returns."""

import jax.numpy as jnp
import numpy as np
import pytest

from superposition.cli.features import acts
from superposition.cli.features.config import SteerConfig
from superposition.cli.llm.data import read_tokens
from superposition.interventions import (
    At,
    Attached,
    clamp,
    continuations,
    firing,
    kl,
    latents_of,
    steer,
)
from superposition.llm import LanguageModel
from tests.support.feature_commands import HOOK, PROMPT, SAE, TOP, run


@pytest.mark.parametrize("clamped", [False, True])
def test_steering_returns_what_the_library_gives(model, sae, texts, lm, params, capsys, clamped):
    options = {
        "sae": str(sae),
        "model": str(model),
        "text": (texts,),
        "prompt": PROMPT,
        "n": 6,
        "max_tokens": 400,
    }
    config = SteerConfig(**options, latent=TOP, strength=(-4.0, 0.0, 2.0), prompt_too=True, clamp=clamped)
    result = acts.steer(config)
    printed = capsys.readouterr().out
    prompt = lm.prompt_ids(PROMPT)
    assert result["prompt_tokens"] == prompt == [0, *prompt[1:]]
    assert lm.tokenizer.decode(prompt[1:]) == PROMPT
    largest = firing(Attached(lm, HOOK, SAE, params), read_tokens(config, lm)).largest[TOP]
    assert result["largest"] == pytest.approx(largest)
    assert len(result["rows"]) == 3
    changed = set()
    for strength, row in zip(config.strength, result["rows"], strict=True):
        assert row["amount"] == pytest.approx(strength * largest)
        (edit,) = (clamp if clamped else steer)(Attached(lm, HOOK, SAE, params), TOP, row["amount"]).values()
        ids = np.array([row["tokens"]])
        new, begin = row["tokens"][len(prompt) :], len(prompt) - 1
        edits = {HOOK: At(edit, jnp.asarray(np.arange(ids.shape[1])[None] > 0))}  # at all but BOS
        logits, plain = (np.asarray(lm(ids, edits=e))[0] for e in (edits, None))
        predicted = logits[begin:-1]
        chosen = np.take_along_axis(predicted, np.array(new)[:, None], -1)[:, 0]
        assert (predicted.max(-1) - chosen).max() < 1e-4
        assert row["kl"] == pytest.approx(float(kl(predicted, plain[begin:-1]).mean()), rel=1e-3, abs=1e-6)
        own = np.asarray(latents_of(Attached(lm, HOOK, SAE, params), ids))[0, :, TOP]
        np.testing.assert_allclose(row["activations"], own, rtol=1e-4, atol=1e-5)
        assert (row["max"], row["mean"]) == pytest.approx(
            (own[begin + 1 :].max(), own[begin + 1 :].mean()), rel=1e-4
        )
        assert row["continuation"] == lm.tokenizer.decode(new)
        changed.add(row["continuation"])
    assert len(changed) > 1
    assert (result["rows"][1]["kl"] == 0) == (not clamped)
    for part in (
        str(model),
        str(sae),
        HOOK,
        "|".join(["the", " w"]),
        f"{largest:.4g}",
        "JumpReLU",
        "2 layers",
    ):
        assert part in printed, part


def test_steering_begins_at_the_prompts_last_token(lm, params, model, sae, texts, capsys):
    options = {
        "sae": str(sae),
        "model": str(model),
        "text": (texts,),
        "prompt": PROMPT,
        "n": 6,
        "max_tokens": 400,
    }
    result = acts.steer(SteerConfig(**options, latent=TOP, strength=(5.0,), largest=2.0))
    assert "the largest activation given" in capsys.readouterr().out
    (row,) = result["rows"]
    assert row["amount"] == 10
    ids = np.array([row["tokens"]])
    begin = len(result["prompt_tokens"]) - 1
    (edit,) = steer(Attached(lm, HOOK, SAE, params), TOP, 10.0).values()
    predicted = np.asarray(
        lm(ids, edits={HOOK: At(edit, jnp.asarray(np.arange(ids.shape[1])[None] >= begin))})
    )
    predicted = predicted[0, begin:-1]
    chosen = np.take_along_axis(predicted, ids[0, begin + 1 :, None], -1)[:, 0]
    assert (predicted.max(-1) - chosen).max() < 1e-4


def test_draws_are_those_of_a_seed_and_the_same_for_every_strength(where, capsys):
    options = [
        *where,
        "--latent",
        TOP,
        "--prompt",
        PROMPT,
        "--n",
        12,
        "--temperature",
        1,
        "--max-tokens",
        400,
    ]
    printed = []
    for strength, seed in ((["0", "-0"], 1), (["0", "-0"], 1), (["0", "-0"], 2)):
        status, out, errors = run("steer", *options, "--strength", *strength, "--seed", seed, capsys=capsys)
        assert status == 0, errors
        printed.append([line.split() for line in out.splitlines() if line.lstrip().startswith(("0 ", "-0 "))])
    assert len(printed[0]) == 2
    assert printed[0][0][1:] == printed[0][1][1:]
    assert printed[0] == printed[1] != printed[2]


def test_negative_and_odd_strengths_parse_and_nothing_printed_acts(where, capsys):
    options = [*where, "--latent", TOP, "--n", 6]
    hostile = "[bold]\x1b[31m\u202eא"
    status, out, errors = run(
        "steer", *options, "--prompt", hostile, "--strength", "-4", "-.5", "1e1", capsys=capsys
    )
    assert status == 0, errors
    shown = [
        line.split()[0] for line in out.splitlines() if line.lstrip().startswith(("-4 ", "-0.5 ", "10 "))
    ]
    assert shown == ["-4", "-0.5", "10"]
    assert "\x1b" not in out
    assert "\u202e" not in out


def test_a_text_that_ends_ends_the_row(lm, params, model, sae, monkeypatch):
    """What follows the end of text is not counted; a text that ends at once has no activation."""
    real = LanguageModel.generate
    for ended, count in ((3, 3), (0, 0)):

        def ends(self, *args, ended=ended, **options):
            new = real(self, *args, **options).copy()
            new[:, ended:] = self.spec.eos
            return new

        monkeypatch.setattr(LanguageModel, "generate", ends)
        attached = Attached(lm, HOOK, SAE, params)
        prompt = lm.prompt_ids(PROMPT)
        (text,) = continuations(attached, TOP, [3.0], prompt, 6).rows
        assert len(text.tokens) == len(text.activations) == len(prompt) + count
        (edit,) = steer(Attached(lm, HOOK, SAE, params), TOP, 3.0).values()
        ids = np.array([text.tokens + [lm.spec.eos] * (6 - count)])
        begin = len(prompt) - 1
        where = jnp.asarray(np.arange(ids.shape[1])[None] >= begin)
        apart = np.asarray(kl(lm(ids, edits={HOOK: At(edit, where)})[0], lm(ids)[0]))
        assert text.kl == pytest.approx(apart[begin : begin + count + 1].mean(), rel=1e-3)


def test_bars_are_in_proportion_and_of_the_terminals_letters(monkeypatch, capsys):
    assert acts.sparkline([0, -1, 0.01, 1, 2, 4, 9], 4) == "▁▁▂▃▅██"

    class Plain:
        encoding = "ascii"

    monkeypatch.setattr(acts.sys, "stdout", Plain())
    assert acts.sparkline([0, 4, 1], 4) == "_#:"


def test_every_seed_has_its_continuations(model, sae, texts, capsys):
    options = {
        "sae": str(sae),
        "model": str(model),
        "text": (texts,),
        "prompt": PROMPT,
        "n": 6,
        "largest": 2.0,
    }
    options |= {"latent": TOP, "strength": (0.0, 1.0), "temperature": 1.0}
    both = acts.steer(SteerConfig(**options, seed=(3, 5)))["rows"]
    assert " seed " in capsys.readouterr().out
    alone = [row for seed in (3, 5) for row in acts.steer(SteerConfig(**options, seed=(seed,)))["rows"]]
    assert [(row["seed"], row["strength"], row["tokens"]) for row in both] == [
        (row["seed"], row["strength"], row["tokens"]) for row in alone
    ]
    assert both[0]["tokens"] != both[2]["tokens"]
    assert " seed " not in capsys.readouterr().out
