"""`superposition steer` and `ablate`: what they print, the numbers they return, and what bad input does."""

import jax.numpy as jnp
import numpy as np
import pytest

from superposition.cli import main
from superposition.cli.features import ablation, on_sae, steering
from superposition.cli.features.config import AblateConfig, SteerConfig
from superposition.cli.llm.text import read_tokens
from superposition.cli.sae.report import Named
from superposition.interventions import (
    At,
    Attached,
    Logit,
    ablate,
    attribute,
    clamp,
    continuations,
    effect,
    firing,
    kl,
    latents_of,
    splice,
    steer,
)
from superposition.llm import LanguageModel
from superposition.sae import JumpReLU, TopK
from superposition.storage import formats
from tests.oracles import tiny_lm
from tests.oracles.sae_cases import params_of

HOOK = "blocks.0.hook_resid_post"
PROMPT = "the waves came"
SAE = JumpReLU(d_in=16, d_sae=30, threshold=0.3)
DEAD, TOP, OTHER = 11, 5, 7


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_lm.write_model(tmp_path_factory.mktemp("models") / "tiny", layers=2)


@pytest.fixture(scope="module")
def lm(model):
    return LanguageModel.from_hf(model)


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    return tiny_lm.write_texts(tmp_path_factory.mktemp("texts"))


@pytest.fixture(scope="module")
def params():
    own = params_of(SAE)
    return {**own, "b_enc": own["b_enc"].at[DEAD].set(-1e6)}


@pytest.fixture(scope="module")
def sae(tmp_path_factory, params):
    folder = tmp_path_factory.mktemp("saes") / "one"
    return formats.save(folder, SAE, params, {"hook_name": HOOK})


@pytest.fixture
def where(model, sae, texts):
    return [str(sae), "--model", str(model), "--text", str(texts), "--max-tokens", "400"]


def run(*arguments, capsys):
    status = main.main([str(a) for a in arguments])
    out, err = capsys.readouterr()
    return status, out, err


# --- steer


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
    result = steering.steer(config)
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
    result = steering.steer(SteerConfig(**options, latent=TOP, strength=(5.0,), largest=2.0))
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
    assert steering.sparkline([0, -1, 0.01, 1, 2, 4, 9], 4) == "▁▁▂▃▅██"

    class Plain:
        encoding = "ascii"

    monkeypatch.setattr(steering.sys, "stdout", Plain())
    assert steering.sparkline([0, 4, 1], 4) == "_#:"


# --- ablate


@pytest.mark.parametrize("to", ["zero", "mean", "resample"])
def test_ablation_returns_what_the_library_gives(model, sae, texts, lm, params, capsys, to):
    options = {"sae": str(sae), "model": str(model), "text": (texts,), "prompt": PROMPT, "max_tokens": 400}
    result = ablation.ablate(AblateConfig(**options, latent=(TOP, OTHER), target="e", to=to, top=3, steps=16))
    printed = capsys.readouterr().out
    prompt = lm.prompt_ids(PROMPT)
    (target,) = lm.token_ids("e")
    assert (result["prompt_tokens"], result["target"]) == (prompt, target)
    where = np.arange(len(prompt))[None] > 0
    before = lm([prompt])[0, -1]
    tokens = read_tokens(AblateConfig(**options), lm)
    baseline = firing(Attached(lm, HOOK, SAE, params), tokens).mean if to == "mean" else 0.0
    runs = [row["run"] for row in result["effects"]]
    assert runs[1::2] == [f"latents {TOP}, {OTHER} to {to}", f"on it, latents {TOP}, {OTHER} to {to}"]
    extra = {"mean": {"values": baseline}, "zero": {}}.get(to)
    if extra is not None:
        edits = [
            {},
            ablate(Attached(lm, HOOK, SAE, params), [TOP, OTHER], to, **extra),
            splice(Attached(lm, HOOK, SAE, params)),
            ablate(Attached(lm, HOOK, SAE, params), [TOP, OTHER], to, error_term=False, **extra),
        ]
        for row, edit in zip(result["effects"], edits, strict=True):
            after = lm([prompt], edits={h: At(e, jnp.asarray(where)) for h, e in edit.items()})[0, -1]
            seen = effect(before, after, target)
            assert row["rank"] == seen.after.rank
            for name in ("logit", "probability", "log_probability"):
                assert row[name] == pytest.approx(float(getattr(seen.after, name)), rel=1e-4), name
            assert row["kl"] == pytest.approx(float(seen.kl), rel=1e-3, abs=1e-6)
    assert all(row["kl"] > 1e-4 for row in result["effects"][1:])
    found = attribute(
        Attached(lm, HOOK, SAE, params), [prompt], Logit(target), steps=16, baseline=baseline, where=where
    )
    by_latent = np.asarray(found.integrated)[0].sum(0)
    rows = result["attribution"]
    assert [row["latent"] for row in rows[:2]] == [TOP, OTHER]
    order = [j for j in np.argsort(-np.abs(by_latent)) if j not in (TOP, OTHER)]
    assert [row["latent"] for row in rows[2:]] == order[:3]
    for row in rows:
        j = row["latent"]
        assert row["integrated"] == pytest.approx(by_latent[j], rel=1e-3, abs=1e-5)
        assert row["gradient"] == pytest.approx(np.asarray(found.gradient)[0, :, j].sum(), rel=1e-3, abs=1e-5)
        activations = np.asarray(found.latents)[0, 1:, j]
        assert row["activation"] == pytest.approx(activations.max(), rel=1e-4)
        one = ablate(Attached(lm, HOOK, SAE, params), j, "mean", values=np.zeros(30) + baseline)[HOOK]
        after = lm([prompt], edits={HOOK: At(one, jnp.asarray(where))})[0, -1]
        assert row["true"] == pytest.approx(float(before[target] - after[target]), rel=1e-2, abs=1e-4)
    sums = result["sums"]
    assert sums["integrated"] == pytest.approx(sums["logit"] - sums["baseline"], rel=2e-2)
    assert sums["logit"] == pytest.approx(float(before[target]), rel=1e-5)
    for part in (str(model), str(sae), HOOK, f"'e' (token {target})", "gradient x activation", "true effect"):
        assert part in printed, part


def test_without_latents_and_target_the_likeliest_token_is_attributed(where, lm, capsys):
    status, out, errors = run("ablate", *where, "--prompt", PROMPT, "--top", 2, capsys=capsys)
    assert status == 0, errors
    likeliest = int(lm([lm.prompt_ids(PROMPT)])[0, -1].argmax())
    assert f"(token {likeliest}), the likeliest" in out
    assert " to zero" not in out


def test_a_latent_that_does_not_fire_on_the_prompt_is_said_to(where, capsys):
    status, out, errors = run("ablate", *where, "--prompt", PROMPT, "--latent", DEAD, capsys=capsys)
    assert status == 0, errors
    assert f"latent {DEAD} does not fire on this prompt" in out


# --- bad input


def test_bad_input_is_one_line_that_says_how_to_mend_it(where, model, texts, params, sae, tmp_path, capsys):
    other = formats.save(
        tmp_path / "other", TopK(d_in=7, d_sae=9, k=2), params_of(TopK(d_in=7, d_sae=9, k=2))
    )
    place = ["--model", str(model), "--text", str(texts)]
    steers, ablates = ["steer", *where, "--latent", TOP], ["ablate", *where, "--prompt", PROMPT]
    for arguments, said in (
        (["steer", *where], "needs --latent"),
        (["steer", *where, "--latent", 30], "no latent 30: the SAE has latents 0 to 29"),
        (["steer", *where, "--latent", -1], "no latent -1"),
        (["steer", *where, "--latent", DEAD], f"latent {DEAD} never fires on the"),
        ([*steers, "--strength"], "at least one; got []"),
        ([*steers, "--strength", "nan"], "finite numbers"),
        ([*steers, "--strength", "1", "many"], "many"),
        ([*steers, "--largest", "0"], "largest must lie in (0"),
        ([*steers, "--n", "0"], "n must be an integer >= 1"),
        ([*steers, "--n", "99"], "the model has 32 positions"),
        ([*steers, "--temperature", "-1"], "temperature"),
        ([*steers, "--prompt", "\udc80"], "valid Unicode"),
        ([*steers, "--hook", "hook_embed"], f"is for the hook point {HOOK}; leave --hook hook_embed out"),
        (
            ["steer", other, *place, "--latent", 1],
            "nothing in it says which hook point it is for; give --hook",
        ),
        (["steer", other, *place, "--latent", 1, "--hook", HOOK], "the SAE reads 7 numbers"),
        (["steer", tmp_path / "none", *place, "--latent", 1], "no such file"),
        (["ablate", *where], "needs --prompt"),
        (["ablate", *where, "--prompt", ""], "yields no token after the first"),
        ([*ablates, "--latent", 4, 4], "latent 4 is given twice"),
        ([*ablates, "--latent", 4, 31], "no latent 31"),
        ([*ablates, "--to", "nothing"], "to must be one of zero, mean, resample"),
        ([*ablates, "--target", "e" * 5], "is 5: e|e|e|e|e"),
        ([*ablates, "--target", ""], "'' is 0"),
        ([*ablates, "--steps", 0], "steps must be an integer >= 1"),
        ([*ablates, "--top", 0], "top must be an integer >= 1"),
        (["ablate", *where, "--prompt", "waves " * 30], "the model has 32 positions"),
    ):
        status, _, errors = run(*arguments, capsys=capsys)
        assert (status, said in errors, errors.count("\n")) == (2, True, 1), (arguments, errors)


def test_a_run_of_several_saes_is_too_many(tmp_path, sae, monkeypatch, capsys):
    one = Named("one", sae, formats.load(sae))
    monkeypatch.setattr(on_sae, "load_all", lambda paths, **options: [one, one])
    status, _, errors = run("steer", tmp_path, "--latent", 1, capsys=capsys)
    assert (status, f"holds 2 SAEs; give one of them, such as {sae}" in errors) == (2, True), errors
