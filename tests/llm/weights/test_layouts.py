"""Folders of weights: every layout gives the same parameters, and what does not fit is said whole, by name."""

import ml_dtypes
import numpy as np
import pytest

from superposition.errors import ConfigError, CorruptError
from superposition.llm import weights
from tests.oracles import tiny_models
from tests.support.weights import read, rewrite, shard


def test_fused_and_transposed_tensors_are_taken_apart(tmp_path):
    spec, stored = tiny_models.write(tmp_path / "gpt2", "gpt2")
    params, fused = read(tmp_path / "gpt2"), stored["transformer.h.1.attn.c_attn.weight"]
    for i, part in enumerate("QKV"):
        np.testing.assert_array_equal(params[f"blocks.1.attn.W_{part}"], fused[:, 48 * i : 48 * (i + 1)])
    np.testing.assert_array_equal(params["blocks.1.attn.W_O"], stored["transformer.h.1.attn.c_proj.weight"])
    spec, stored = tiny_models.write(tmp_path / "neox", "gpt_neox")
    params, fused = read(tmp_path / "neox"), stored["gpt_neox.layers.0.attention.query_key_value.weight"]
    for head in range(spec.n_heads):  # rows: head, then queries, keys, values, then dimensions
        keys = fused[head * 48 + 16 : head * 48 + 32]
        np.testing.assert_array_equal(params["blocks.0.attn.W_K"][:, head * 16 : (head + 1) * 16], keys.T)
    np.testing.assert_array_equal(params["unembed.W"], stored["lm_head.weight"].T)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_half_precision_widens_exactly_and_rounds_to_nearest(tmp_path, dtype):
    _, stored = tiny_models.write(tmp_path / "half", "llama", dtype=dtype)
    table = stored["model.embed_tokens.weight"]
    params = read(tmp_path / "half")
    assert all(array.dtype == np.float32 for array in params.values())
    np.testing.assert_array_equal(params["embed.W"], table.astype(np.float32))
    rounded = read(tmp_path / "half", "bfloat16")
    assert all(array.dtype == ml_dtypes.bfloat16 for array in rounded.values())
    np.testing.assert_array_equal(rounded["embed.W"], table.astype(ml_dtypes.bfloat16))


@pytest.mark.parametrize(
    ("case", "prefixes"),
    [
        ("gpt2", ["transformer.", ""]),
        ("gpt_neox", ["gpt_neox.", ""]),
        ("qwen3", ["model.", ""]),
        ("gemma3", ["model.language_model.", "language_model.model.", ""]),
    ],
)
def test_names_with_and_without_their_prefix(tmp_path, case, prefixes):
    results = []
    for i, prefix in enumerate(prefixes):
        tiny_models.write(tmp_path / str(i), case, prefix)
        results.append(read(tmp_path / str(i)))
    for other in results[1:]:
        assert other.keys() == results[0].keys()
        assert all((other[name] == results[0][name]).all() for name in other)


def test_shards_give_the_same_and_each_tensor_is_read_once(folder, monkeypatch):
    expected, reads, put = read(folder), [], []
    places = shard(folder)
    original = weights.Stored.read
    monkeypatch.setattr(weights.Stored, "read", lambda s, *a: reads.append(s.key) or original(s, *a))
    params = read(folder, put=lambda name, array: put.append((name, len(reads))) or array)
    assert params.keys() == expected.keys()
    assert all((params[name] == expected[name]).all() for name in params)
    assert sorted(reads) == sorted(places)
    # one tensor at a time: what a tensor gives is put away before the next is read
    assert [n for _, n in put] == sorted(n for _, n in put)
    assert {n for _, n in put} == set(range(1, len(places) + 1))


def test_parameters_own_their_memory(folder):
    assert all(array.flags["C_CONTIGUOUS"] and array.flags["WRITEABLE"] for array in read(folder).values())


@pytest.mark.parametrize(
    ("case", "names"),
    [
        ("gpt2", ["transformer.h.0.attn.bias", "h.1.attn.masked_bias"]),
        ("gpt_neo", ["transformer.h.0.attn.attention.bias"]),
        ("gpt_neox", ["gpt_neox.layers.0.attention.rotary_emb.inv_freq", "gpt_neox.layers.1.attention.bias"]),
        ("llama", ["model.layers.0.self_attn.rotary_emb.inv_freq", "model.rotary_emb.inv_freq"]),
        ("gemma3", ["vision_tower.vision_model.x", "model.multi_modal_projector.y", "model.vision_tower.z"]),
    ],
)
def test_buffers_and_the_vision_tower_are_left_out(tmp_path, case, names):
    tiny_models.write(tmp_path, case)
    expected = read(tmp_path)
    rewrite(tmp_path, lambda stored: stored.update({name: np.ones((2, 2), bool) for name in names}))
    assert read(tmp_path).keys() == expected.keys()


def test_the_old_name_of_the_unembedding(tmp_path):
    tiny_models.write(tmp_path, "gpt_neox")
    expected = read(tmp_path)["unembed.W"]
    rewrite(tmp_path, lambda stored: stored.update({"embed_out.weight": stored.pop("lm_head.weight")}))
    np.testing.assert_array_equal(read(tmp_path)["unembed.W"], expected)


def test_everything_that_does_not_fit_is_said_at_once(folder):
    def spoil(stored):
        del stored["transformer.ln_f.bias"], stored["transformer.h.1.mlp.c_fc.weight"]
        stored["score.weight"] = np.ones((2, 48), np.float32)
        stored["vision_tower.x"] = np.ones(2, np.float32)
        stored["wte.weight"] = stored["transformer.wte.weight"]  # twice, under both its names
        stored["transformer.h.0.attn.c_attn.weight"] = np.ones((48, 143), np.float32)
        stored["transformer.h.0.ln_1.bias"] = np.ones(48, np.float64)

    rewrite(folder, spoil)
    with pytest.raises(ConfigError) as caught:
        read(folder)
    for said in (
        "missing: ln_f.bias",
        "missing: h.1.mlp.c_fc.weight",
        "surplus: score.weight",
        "surplus: vision_tower.x",
        "wte.weight",
        "h.0.attn.c_attn.weight: shape (48, 143), by the config (48, 144)",
        "h.0.ln_1.bias: F64, accepted: F32, F16, BF16",
    ):
        assert said in str(caught.value)
    assert "h.0.ln_1.weight" not in str(caught.value)


def test_a_head_beside_the_embedding_it_is_tied_to_must_be_the_same(folder):
    expected = read(folder)
    rewrite(folder, lambda s: s.update({"lm_head.weight": s["transformer.wte.weight"].copy()}))
    assert read(folder).keys() == expected.keys()

    def change(stored):
        stored["lm_head.weight"][100, 47] += 1e-3

    rewrite(folder, change)
    with pytest.raises(ConfigError, match=r"differs from transformer\.wte\.weight, but tie_word_embeddings"):
        read(folder)


def test_a_head_that_is_not_tied_must_be_there(tmp_path):
    tiny_models.write(tmp_path, "llama")
    rewrite(tmp_path, lambda stored: stored.pop("lm_head.weight"))
    with pytest.raises(ConfigError, match=r"missing: lm_head\.weight"):
        read(tmp_path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_damage(folder, value):
    def change(stored):
        stored["transformer.h.1.mlp.c_proj.bias"][7] = value

    rewrite(folder, change)
    with pytest.raises(CorruptError, match=r"h\.1\.mlp\.c_proj\.bias.*finite"):
        read(folder)
