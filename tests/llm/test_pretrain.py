import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from superposition.errors import ConfigError
from superposition.llm import LanguageModel, Layer, Rotary, Spec, cross_entropy
from superposition.llm.export import gpt2_config, save_gpt2
from superposition.llm.pretrain import Inputs, Pretraining, losses, mean_loss
from superposition.llm.sampled import sampled_tokens
from superposition.training import loop

SPEC = Spec("gpt2", 16, 2, 2, 8, 32, 40, 16, (Layer(8**-0.5),), activation="relu", learned_positions=True,
            qkv_bias=True, out_bias=True, mlp_bias=True, bos=0, eos=0)  # fmt: skip


def trained(steps=150, chunks=1):
    """A model of a periodic text, in which every token but the first follows from the one before."""
    stream = np.tile(np.arange(1, 40), 30).astype(np.uint16)
    starts = np.random.default_rng(0).integers(0, len(stream) - 16, (steps, 8)).astype(np.int32)
    program = Pretraining(SPEC, steps, learning_rate=1e-2)
    inputs = Inputs(jnp.asarray(stream), jnp.asarray(starts), jnp.int32(0))
    state, each = program.start(jax.random.key(0)), steps // chunks
    for i in range(chunks):
        state = loop.advance(program, inputs, state, np.int32(i * each), np.int32(each))
    return program, state


def test_training_learns_what_can_be_known_and_chunks_change_no_bit():
    program, state = trained()
    history = np.asarray(state.history)[:150]
    assert history[0] > 3.4  # log 40 = 3.7
    tokens = jnp.asarray(np.concatenate([[0], np.arange(1, 16)])[None])
    after_first = losses(SPEC, state.params, tokens)[0, 1:]
    assert after_first.max() < 0.2
    again = trained(chunks=3)[1]
    for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(a, b)
    assert program.steps == 150


def test_matrices_decay_and_vectors_do_not():
    program = Pretraining(SPEC, 10, learning_rate=0.1, weight_decay=1.0)
    params = {n: jnp.ones_like(p) for n, p in program.start(jax.random.key(0)).params.items()}
    optimizer = program._optimizer()
    state = optimizer.init(params)
    zero = {n: jnp.zeros_like(p) for n, p in params.items()}
    for _ in range(3):
        updates, state = optimizer.update(zero, state, params)
    assert all((float(jnp.abs(u).max()) > 0) == (u.ndim > 1) for u in updates.values())


def test_a_saved_model_is_an_ordinary_directory_that_loads_to_the_same_bits(tmp_path):
    _, state = trained(steps=3)
    save_gpt2(tmp_path / "lm", SPEC, state.params)
    config = json.loads((tmp_path / "lm" / "config.json").read_text())
    assert config["model_type"] == "gpt2"
    assert config["activation_function"] == "relu"
    lm = LanguageModel.from_hf(tmp_path / "lm")
    assert lm.spec == SPEC
    for name, value in state.params.items():
        np.testing.assert_array_equal(lm.params[name], value)


def test_what_gpt2_cannot_hold_is_refused_by_name():
    from dataclasses import replace

    with pytest.raises(ConfigError, match="gated=True"):
        gpt2_config(replace(SPEC, gated=True))
    with pytest.raises(ConfigError, match="layers"):
        gpt2_config(replace(SPEC, layers=(Layer(8**-0.5, rotary=Rotary(1e4, 8)),)))


def test_sampled_rows_begin_with_bos_and_a_piece_of_their_source_and_only_what_was_drawn_is_usable():
    _, state = trained()
    lm = LanguageModel.of(SPEC, state.params)
    prompts = {"one": np.tile(np.arange(1, 40), 2), "two": np.arange(5, 20)}
    got = sampled_tokens(jax.random.key(0), lm, prompts, 6, prompt=4, temperature=0.1)
    assert got.sources == ("one", "two")
    assert got.tokens.shape == (12, 16)
    assert (got.tokens[:, 0] == 0).all()
    assert not got.usable[:, :5].any()
    assert got.usable[:, 5:].mean() > 0.9
    follows = (got.tokens[:, 1:-1] % 39 + 1 == got.tokens[:, 2:])[:, 4:]
    assert follows.mean() > 0.9  # it goes on as the text it was trained on does
    assert (np.diff(got.tokens[6:, 1:5].astype(int)) == 1).all()
    with pytest.raises(ConfigError, match="two: a prompt takes 4 tokens; got 3"):
        sampled_tokens(jax.random.key(0), lm, {"two": np.arange(3)}, 2, prompt=4)


def test_the_shipped_models_load_by_name_and_predict_better_than_chance_in_several_scripts():
    one, two = LanguageModel.from_hf(), LanguageModel.from_hf("superposition/small-lm-seed1")
    assert one.spec == two.spec
    assert (one.spec.n_layers, one.spec.d_mlp, one.spec.activation) == (1, 512, "relu")
    assert np.abs(one.params["embed.W"] - two.params["embed.W"]).max() > 0.1
    texts = [
        "the king and all his people",
        "ויאמר אליו המלך לך אל העיר",
        "def __init__(self, name):\n        self.name = name",
    ]
    for lm in (one, two):
        for text in texts:
            ids = [0, *lm.tokenizer(text, add_special_tokens=False)["input_ids"]]
            loss = float(losses(lm.spec, lm.params, jnp.asarray([ids]))[0].mean())
            assert loss < 6.0 < np.log(lm.spec.d_vocab)
            assert lm.tokenizer.decode(ids[1:]) == text


def test_the_model_card_reports_a_loss_below_the_bigram_on_every_source_it_was_trained_on():
    from superposition.llm.hub import resolve

    for name in ("superposition/small-lm", "superposition/small-lm-seed1"):
        record = json.loads((resolve(name) / "training.json").read_text())
        assert len(record["train_tokens"]) >= 15
        for source in record["train_tokens"]:
            assert record["loss"][source] < record["bigram"][source] - 0.3, source
        assert (resolve(name) / "model.safetensors").stat().st_size <= 2.5e6


@pytest.mark.parametrize("block", [2**21, 130])  # one block, and several of which the last is not full
def test_the_gradient_in_one_pass_is_that_of_the_losses(monkeypatch, block):
    monkeypatch.setattr(cross_entropy, "BLOCK", block)
    params = Pretraining(SPEC, 10).start(jax.random.key(1)).params
    tokens = jax.random.randint(jax.random.key(2), (3, 16), 0, 40)
    one, by_one = jax.value_and_grad(lambda p: mean_loss(SPEC, p, tokens))(params)
    other, by_other = jax.value_and_grad(lambda p: losses(SPEC, p, tokens).mean())(params)
    assert float(one) == pytest.approx(float(other), rel=1e-6)
    assert float(mean_loss(SPEC, params, tokens)) == pytest.approx(float(other), rel=1e-6)
    for name, gradient in by_other.items():
        np.testing.assert_allclose(by_one[name], gradient, rtol=1e-4, atol=1e-7, err_msg=name)
