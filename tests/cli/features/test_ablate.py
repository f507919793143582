"""`superposition ablate`, and what bad input to both commands does."""

import jax.numpy as jnp
import numpy as np
import pytest

from superposition.cli.features import acts
from superposition.cli.features.config import AblateConfig
from superposition.cli.llm.data import read_tokens
from superposition.cli.sae import saes
from superposition.cli.sae.saes import Named
from superposition.interventions import (
    At,
    Attached,
    Logit,
    ablate,
    attribute,
    effect,
    firing,
    splice,
)
from superposition.sae import TopK
from superposition.storage import formats
from tests.oracles.sae_cases import params_of
from tests.support.feature_commands import DEAD, HOOK, OTHER, PROMPT, SAE, TOP, run


@pytest.mark.parametrize("to", ["zero", "mean", "resample"])
def test_ablation_returns_what_the_library_gives(model, sae, texts, lm, params, capsys, to):
    options = {"sae": str(sae), "model": str(model), "text": (texts,), "prompt": PROMPT, "max_tokens": 400}
    result = acts.ablate(AblateConfig(**options, latent=(TOP, OTHER), target="e", to=to, top=3, steps=16))
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


def test_bad_input_is_one_line_that_says_how_to_mend_it(where, model, texts, params, sae, tmp_path, capsys):
    other = formats.save(
        tmp_path / "other", TopK(d_in=7, d_sae=9, k=2), params_of(TopK(d_in=7, d_sae=9, k=2))
    )
    place = ["--model", str(model), "--text", str(texts)]
    steers, ablates = ["steer", *where, "--latent", TOP], ["ablate", *where, "--prompt", PROMPT]
    for arguments, said in (
        (["steer", *where], "give --latent, which latent; for example --latent 7"),
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
        (["ablate", *where], "give --prompt, text whose next token"),
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
    monkeypatch.setattr(saes, "load_all", lambda paths, **options: [one, one])
    status, _, errors = run("steer", tmp_path, "--latent", 1, capsys=capsys)
    assert (status, f"holds 2 SAEs; give one of them, such as {sae}" in errors) == (2, True), errors


def test_every_seed_of_the_resampling_is_a_run(model, sae, texts, capsys):
    options = {"sae": str(sae), "model": str(model), "text": (texts,), "prompt": PROMPT, "max_tokens": 400}
    options |= {"latent": (TOP,), "to": "resample", "target": "e", "top": 1, "steps": 2}
    both = {row["run"]: row["kl"] for row in acts.ablate(AblateConfig(**options, seed=(3, 5)))["effects"]}
    assert len(both) == 6
    for seed in (3, 5):
        alone = acts.ablate(AblateConfig(**options, seed=(seed,)))["effects"]
        assert both[f"latent {TOP} to resample, seed {seed}"] == alone[1]["kl"]
        assert both[f"on it, latent {TOP} to resample, seed {seed}"] == alone[3]["kl"]
