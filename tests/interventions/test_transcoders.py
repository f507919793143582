"""A transcoder in place of an MLP: exact where it is the MLP, scored like an SAE, refused where it does not fit."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest

from superposition.errors import ConfigError
from superposition.interventions import AttachedTranscoder, ablations, attach_transcoder
from superposition.llm import LanguageModel
from superposition.sae import SAE, ReLU, TopK
from tests.oracles.sae_cases import params_of

READ, WRITTEN = "blocks.0.ln2.hook_normalized", "blocks.0.hook_mlp_out"
TEXT = ["Once upon a time, there was a little girl.", "He said that he would go to the house."]


@pytest.fixture(scope="module")
def lm():
    return LanguageModel.from_hf()


@pytest.fixture(scope="module")
def exact(lm):
    """The model's own MLP as a transcoder: its neurons are ReLUs, and the norm's weight and bias fold into W_enc."""
    p = {name.removeprefix("blocks.0."): np.asarray(v, np.float64) for name, v in lm.params.items()}
    params = {
        "W_enc": p["ln2.w"][:, None] * p["mlp.W_in"],
        "b_enc": p["ln2.b"] @ p["mlp.W_in"] + p["mlp.b_in"],
        "W_dec": p["mlp.W_out"],
        "b_dec": p["mlp.b_out"],
    }
    return Made(ReLU(d_in=128, d_sae=512, d_out=128), {k: jnp.float32(v) for k, v in params.items()})


class Made(NamedTuple):
    """As what `fit` gives: a recipe and its parameters."""

    model: SAE
    params: dict[str, Any]
    metadata: dict[str, Any] = {}  # noqa: RUF012


def test_the_mlp_as_its_own_transcoder_changes_nothing_and_recovers_everything(lm, exact):
    attached = attach_transcoder(lm, exact, "ln2.hook_normalized", "hook_mlp_out")
    assert (attached.hook, attached.target) == (READ, WRITTEN)
    np.testing.assert_allclose(attached.logits(TEXT[0]), lm(TEXT[0]), atol=2e-3)
    numbers = attached.evaluate(TEXT).numbers
    assert numbers["fvu"] < 1e-9
    assert numbers["ce_recovered"] == pytest.approx(1, abs=1e-4)
    assert numbers["kl"] < 1e-5
    neurons = lm.run_with_cache(TEXT[0], ["mlp.hook_post"])[1]["mlp.hook_post"]
    np.testing.assert_allclose(attached.encode(TEXT[0]), neurons, rtol=1e-3, atol=1e-4)


def test_a_transcoder_of_zeros_is_zero_ablation_and_one_of_the_mean_is_mean_ablation(lm):
    sae = ReLU(d_in=128, d_sae=4, d_out=128)
    zero = {"W_enc": jnp.zeros((128, 4)), "b_enc": jnp.zeros(4), "W_dec": jnp.zeros((4, 128))}
    floor = ablations(lm, "hook_mlp_out", TEXT)
    for b_dec, name in ((jnp.zeros(128), "ce_recovered"), (jnp.asarray(floor.mean), "ce_recovered_mean")):
        attached = attach_transcoder(lm, Made(sae, {**zero, "b_dec": b_dec}), READ, WRITTEN)
        assert attached.evaluate(TEXT, floor).numbers[name] == pytest.approx(0, abs=1e-5)


def test_edited_latents_move_the_output_by_their_decoder_rows(lm):
    sae = TopK(d_in=128, d_sae=64, k=4, d_out=128)
    attached = AttachedTranscoder(lm, READ, WRITTEN, sae, params_of(sae))
    f = np.asarray(attached.encode(TEXT[0]))
    latent = int((f[0, 1:] > 0).sum(0).argmax())
    without = attached.edits(TEXT[0], lambda f: f.at[..., latent].set(0), error_term=True)
    before = lm.run_with_cache(TEXT[0], [WRITTEN])[1][WRITTEN]
    after = lm.run_with_cache(TEXT[0], [WRITTEN], edits=without)[1][WRITTEN]
    moved = f[..., latent, None] * np.asarray(attached.params["W_dec"])[latent]
    assert np.abs(moved[0, 1:]).max() > 0.1
    np.testing.assert_allclose(before[:, 1:] - after[:, 1:], moved[:, 1:], atol=1e-4)
    np.testing.assert_array_equal(before[:, 0], after[:, 0])  # BOS is not usable
    same = attached.logits(TEXT[0], lambda f: f, error_term=True)
    np.testing.assert_array_equal(same, lm(TEXT[0]))


def test_a_skip_adds_its_part_of_the_input(lm):
    sae = TopK(d_in=128, d_sae=64, k=4, d_out=128, skip=True)
    params = {**params_of(sae), "W_skip": jnp.eye(128)}
    attached = AttachedTranscoder(lm, READ, WRITTEN, sae, params)
    x = lm.run_with_cache(TEXT[0], [READ])[1][READ]
    y = lm.run_with_cache(TEXT[0], [WRITTEN], edits=attached.edits(TEXT[0]))[1][WRITTEN]
    expected = attached.encode(TEXT[0]) @ params["W_dec"] + params["b_dec"][None, None] + x
    np.testing.assert_allclose(y[:, 1:], expected[:, 1:], rtol=1e-4, atol=1e-4)


def test_metadata_say_the_hook_points_or_the_caller_does(lm, exact):
    said = exact._replace(metadata={"hook_name": READ, "hook_name_out": WRITTEN})
    attached = attach_transcoder(lm, said)
    assert repr(attached) == f"AttachedTranscoder(ReLU(128 -> 512 latents -> 128) from {READ} to {WRITTEN})"
    assert WRITTEN in attached._repr_html_()
    with pytest.raises(ConfigError, match="says its hook_name_out; give target"):
        attach_transcoder(lm, exact, READ)
    with pytest.raises(ConfigError, match=f"hook_name of .* is {READ}; leave hook hook_embed out"):
        attach_transcoder(lm, said, "hook_embed")


def test_what_does_not_fit_is_refused_by_name(lm, exact):
    with pytest.raises(ConfigError, match=r"the transcoder reads 128 numbers, .*hook_post has 512"):
        attach_transcoder(lm, exact, "mlp.hook_post", WRITTEN)
    with pytest.raises(ConfigError, match=r"the transcoder predicts 128 numbers, .*hook_post has 512"):
        attach_transcoder(lm, exact, READ, "mlp.hook_post")
    with pytest.raises(ConfigError, match="does not come after"):
        attach_transcoder(lm, exact, WRITTEN, READ)
    with pytest.raises(ConfigError, match="is no transcoder; give it to attach"):
        AttachedTranscoder(lm, READ, WRITTEN, ReLU(d_in=128, d_sae=4), {})
    with pytest.raises(ConfigError, match="attach_transcoder` puts it"):
        lm.attach(exact, READ)
