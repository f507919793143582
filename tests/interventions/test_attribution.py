"""Attribution to latents: completeness, exactness where the model is linear, and the truth it is held against."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from superposition.errors import ConfigError
from superposition.interventions import At, Attached, Logit, ablate, ablation_effects, attribute, attribution
from superposition.llm import LanguageModel
from superposition.sae import JumpReLU, ReLU, TopK
from tests.oracles import tiny_models
from tests.oracles.sae_cases import params_of

IDS = tiny_models.TOKENS[:, :9]
SAES = {
    "gpt2": TopK(d_in=48, d_sae=60, k=7, rescale_acts_by_decoder_norm=True),
    "gemma2": JumpReLU(d_in=64, d_sae=60, threshold=0.4),
    "llama": ReLU(d_in=64, d_sae=60, normalize_activations="layer_norm"),
    "gpt_neox": TopK(d_in=64, d_sae=60, k=7),
}
HOOK = "blocks.0.hook_resid_post"


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A model of a family, an SAE and its parameters."""

    @cache
    def of(case):
        folder = tmp_path_factory.mktemp("models") / case
        tiny_models.write(folder, case)
        return LanguageModel.from_hf(folder), HOOK, SAES[case], params_of(SAES[case])

    return of


@pytest.mark.parametrize("case", ["gemma2", "llama"])
def test_integrated_gradients_add_up_to_what_the_latents_do(lab, case):
    problem = (Attached(*lab(case)), IDS[:1], Logit(17))
    found = attribute(*problem, steps=64)
    whole = float(found.metric - found.at_baseline)
    assert abs(whole) > 0.1
    assert float(found.integrated.sum()) == pytest.approx(whole, rel=1e-3)
    assert abs(float(found.gradient.sum()) - whole) > 0.02 * abs(whole)  # one gradient does not
    lm, hook, sae, params = lab(case)
    plain = float(lm(IDS[:1])[0, -1, 17])
    assert float(found.metric) == pytest.approx(plain, rel=1e-6, abs=1e-6)  # the error term is kept
    every = ablate(Attached(lm, hook, sae, params), np.arange(60))
    assert float(found.at_baseline) == pytest.approx(float(lm(IDS[:1], edits=every)[0, -1, 17]), rel=1e-3)


def test_the_integral_along_the_path_is_the_one_of_a_fine_sum(lab):
    """Latent by latent, against 400 midpoints of gradients of the run by hand."""
    lm, hook, sae, params = lab("gpt_neox")
    found = attribute(Attached(lm, hook, sae, params), IDS[:1], Logit(3, 50), steps=48)
    latents = found.latents
    x = jnp.asarray(lm.run_with_cache(IDS[:1], [hook])[1][hook])
    error = x - sae.decode(params, latents)

    @jax.jit
    def slope(t):
        def value(f):
            edits = {hook: lambda _, context: sae.decode(params, f) + error}
            positions = jnp.arange(9)[None]
            last = attribution.capture(lm.spec, lm.params, IDS[:1], positions, None, (), edits=edits)[0][
                0, -1
            ]
            return last[3] - last[50]

        return jax.grad(value)(t * latents)

    total = sum(slope((i + 0.5) / 400) for i in range(400)) / 400
    expected = np.asarray(latents * total)
    assert float(found.integrated.sum()) == pytest.approx(float(found.metric - found.at_baseline), rel=1e-3)
    np.testing.assert_allclose(found.integrated, expected, rtol=5e-3, atol=2e-4 * np.abs(expected).max())
    np.testing.assert_allclose(found.gradient, latents * slope(1.0), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("case", ["gpt2", "llama"])
def test_where_the_model_is_linear_all_three_are_the_truth(lab, case):
    """The last residual along a vector, from the last block's MLP: f_i d_i . v, which ablating takes away."""
    lm, _, sae, params = lab(case)
    hook, at = "blocks.1.hook_mlp_out", "blocks.1.hook_resid_post"
    v = np.random.default_rng(0).normal(size=sae.d_in).astype(np.float32)
    metric = jax.tree_util.Partial(lambda v, x: (x @ v).sum(), v)
    problem = (Attached(lm, hook, sae, params), IDS, metric)
    found = attribute(*problem, steps=3, at=at)
    W = np.asarray(params["W_dec"])
    if case == "gpt2":
        W = W / np.linalg.norm(W, axis=1, keepdims=True)
    x = np.asarray(lm.run_with_cache(IDS, [hook])[1][hook])
    scale = x.std(-1, keepdims=True, ddof=1) if case == "llama" else 1.0
    expected = np.asarray(found.latents) * scale * (W @ v)
    size = np.abs(expected).max()
    np.testing.assert_allclose(found.gradient, expected, rtol=1e-4, atol=1e-5 * size)
    np.testing.assert_allclose(found.integrated, expected, rtol=1e-4, atol=1e-5 * size)
    chosen = np.argsort(-np.abs(expected.sum((0, 1))))[:4]
    summed = expected.sum((0, 1))[chosen]
    np.testing.assert_allclose(ablation_effects(*problem, chosen, at=at), summed, rtol=1e-3)
    for latent, effect in zip(chosen[:2], summed, strict=False):
        edits = ablate(Attached(lm, hook, sae, params), latent)
        runs = [lm.run_with_cache(IDS, [at], edits=e)[1][at] for e in (None, edits)]
        assert float(metric(runs[0]) - metric(runs[1])) == pytest.approx(effect, rel=1e-3)


def test_the_true_effect_is_that_of_an_edited_run(lab):
    """To a mean, at some positions."""
    lm, hook, sae, params = lab("gemma2")
    where = np.zeros((1, 9), bool)
    where[0, [2, 5, 8]] = True
    baseline = np.linspace(0, 3, 60)
    options = {"baseline": baseline, "where": where}
    problem = (Attached(lm, hook, sae, params), IDS[:1], Logit(17))
    chosen = [4, 59, 30]
    effects = ablation_effects(*problem, chosen, **options)
    plain = lm(IDS[:1])[0, -1, 17]
    assert np.abs(effects).min() > 1e-3
    for latent, effect in zip(chosen, effects, strict=True):
        edits = ablate(Attached(lm, hook, sae, params), latent, "mean", values=baseline)
        after = lm(IDS[:1], edits={hook: At(edits[hook], jnp.asarray(where))})[0, -1, 17]
        assert float(plain - after) == pytest.approx(float(effect), rel=5e-3, abs=1e-5)
    found = attribute(*problem, steps=64, **options)
    for part in (found.gradient, found.integrated):
        assert not np.asarray(part)[~where].any()
        assert np.asarray(part)[where].any(1).all()
    assert float(found.integrated.sum()) == pytest.approx(float(found.metric - found.at_baseline), rel=1e-3)


def test_rows_are_attributed_apart_and_padding_does_not_count(lab):
    lm, hook, sae, params = lab("llama")
    mask = np.ones((2, 9), int)
    mask[1, :3] = 0
    both = attribute(Attached(lm, hook, sae, params), IDS, Logit(np.array([17, 3]), 50), mask=mask)
    one = attribute(Attached(lm, hook, sae, params), IDS[1:, 3:], Logit(3, 50))
    np.testing.assert_allclose(both.integrated[1, 3:], one.integrated[0], rtol=1e-2, atol=1e-4)
    np.testing.assert_array_equal(both.gradient[1, :3], 0)
    last = lm(IDS[1:, 3:])[0, -1]
    assert float(one.metric) == pytest.approx(float(last[3] - last[50]), rel=1e-5)


def test_new_targets_and_baselines_compile_nothing(lab):
    problem = (Attached(*lab("gpt_neox")), IDS[:1])
    attribute(*problem, Logit(3, 50), steps=4)
    before = attribution._attribute._cache_size()
    attribute(*problem, Logit(9, 2), steps=4)
    assert attribution._attribute._cache_size() == before


def test_what_cannot_be_attributed_is_refused(lab):
    lm, hook, sae, params = lab("gpt2")
    problem = (Attached(lm, hook, sae, params), IDS, Logit(3))
    with pytest.raises(ConfigError, match="no latent 60"):
        ablation_effects(*problem, [1, 60])
    with pytest.raises(ConfigError, match="steps must be an integer >= 1"):
        attribute(*problem, steps=0)
    with pytest.raises(ConfigError, match="no hook point named 'nowhere'"):
        attribute(*problem, at="nowhere")
    with pytest.raises(ConfigError, match="the SAE reads 48 numbers"):
        Attached(lm, "blocks.0.mlp.hook_post", sae, params)
