"""SAEs on disk: round trips to the bit, and every format against numpy float64 from its raw files."""

import dataclasses
import json
import os

import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from superposition.errors import ConfigError
from superposition.sae import ARCHITECTURES, BatchTopK, JumpReLU, ReLU, TopK
from superposition.storage import formats
from superposition.storage.formats import _recipe, _torch
from tests.oracles import sae_forward
from tests.oracles.unsealed import unsealed
from tests.support.formats import (
    D_IN,
    D_SAE,
    OTHERS,
    SAELENS,
    close,
    inputs,
    params_of,
    recipe,
    same_bits,
)

# Every recipe in every format that can hold it.

CASES = [("saelens", *case) for case in SAELENS] + OTHERS


@pytest.mark.parametrize(("format", "name", "fields"), CASES)
def test_round_trip_is_exact_and_means_what_the_files_say(tmp_path, format, name, fields):
    sae = recipe(name, **fields)
    params = params_of(sae)
    metadata = (
        {} if format == "gemma-scope" else {"hook_name": "blocks.1.hook_resid_post", "deep": [1, {"a": None}]}
    )
    path = formats.save(tmp_path / "sae", sae, params, metadata, format)
    got = formats.load(path, allow_pt=True)
    wanted, bits = sae, params
    if format == "saelens" and sae.saelens_training:
        wanted, bits = sae.finish(params)
        trained = got.metadata["superposition"]["trained_as"]
        assert trained == json.loads(json.dumps(_recipe.describe(sae)))
    same_bits(got.params, bits)
    assert metadata.items() <= got.metadata.items()
    if format == "gemma-scope":  # a file with no place for them
        wanted = dataclasses.replace(
            JumpReLU(), d_in=D_IN, d_sae=D_SAE, d_out=sae.d_out, apply_b_dec_to_input=False
        )
    assert got.sae == wanted

    x = inputs()
    latents, y = sae_forward.FORWARD[format](path, x.astype(np.float64))
    ours = got.sae.reconstruct(got.params, jnp.asarray(x))
    assert (latents != 0).any()
    assert (latents == 0).any() or name in ("identity", "pca")
    close(ours[0], latents)
    close(got.sae.encode(got.params, jnp.asarray(x)), latents)
    close(ours[1], y)
    # What was trained and what was loaded are one function.
    before = sae.reconstruct(params, jnp.asarray(x))
    close(before[1], y, 1e-5)

    # And once more, nothing changes.
    again = formats.load(formats.save(tmp_path / "again", *got[:3], format), allow_pt=True)
    assert (again.sae, again.metadata) == (got.sae, got.metadata)
    same_bits(again.params, got.params)


def test_every_recipe_is_tried():
    assert {name for name, _ in SAELENS} == set(ARCHITECTURES)
    assert {case[0] for case in CASES} == set(formats.FORMATS)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_widened_exactly(tmp_path, dtype):
    sae = recipe("relu")
    params = params_of(sae)
    path = formats.save(tmp_path / "sae", sae, params, dtype=dtype)
    half = jnp.dtype(dtype)
    same_bits(
        formats.load(path).params,
        {n: jnp.asarray(np.asarray(a).astype(half).astype(np.float32)) for n, a in params.items()},
    )
    assert json.loads((path / "cfg.json").read_text())["dtype"] == dtype


def test_float16_that_overflows_is_refused(tmp_path):
    sae = recipe("relu")
    params = params_of(sae) | {"b_dec": jnp.full(D_IN, 1e5)}
    with pytest.raises(ConfigError, match="overflows float16"):
        formats.save(tmp_path / "sae", sae, params, dtype="float16")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", list(ARCHITECTURES))
def test_masked_latents_are_left_out(tmp_path, name):
    sae = recipe(name)
    w = sae.d_sae - 2
    masked = dataclasses.replace(sae, width=jnp.int32(w))
    params = params_of(sae)
    path = formats.save(tmp_path / "sae", masked, params)
    got = formats.load(path)
    assert got.sae.d_sae == w
    assert got.sae.width is None
    x = jnp.asarray(inputs())
    wanted = dataclasses.replace(sae, width=w).reconstruct(params, x)
    close(got.sae.encode(got.params, x), np.asarray(wanted[0])[:, :w])
    close(got.sae.reconstruct(got.params, x)[1], np.asarray(wanted[1]))


def test_a_traced_or_fractional_k_is_written_as_the_integer_it_acts_as(tmp_path):
    sae = TopK(D_IN, D_SAE, k=jnp.float32(2.5), slots=4)
    params = params_of(sae)
    path = formats.save(tmp_path / "sae", sae, params)
    assert json.loads((path / "cfg.json").read_text())["k"] == 3
    got = formats.load(path)
    assert (got.sae.k, got.sae.slots) == (2.5, 4)
    x = jnp.asarray(inputs())
    close(got.sae.encode(got.params, x), sae_forward.saelens(path, np.asarray(x, np.float64))[0])


def test_sparsity_comes_back(tmp_path):
    sae = recipe("relu")
    sparsity = np.linspace(-8, -1, D_SAE).astype(np.float32)
    path = formats.save(tmp_path / "sae", sae, params_of(sae), sparsity=sparsity)
    assert np.array_equal(formats.load(path).sparsity, sparsity)


def test_what_another_program_changed_wins_over_our_fields(tmp_path):
    sae = recipe("topk")
    path = unsealed(formats.save(tmp_path / "sae", sae, params_of(sae)))
    cfg = json.loads((path / "cfg.json").read_text())
    cfg |= {"k": 5, "apply_b_dec_to_input": False}
    (path / "cfg.json").write_text(json.dumps(cfg))
    assert formats.load(path).sae == dataclasses.replace(sae, k=5, apply_b_dec_to_input=False)


# Configs that we do not write

FLAT = {
    "d_in": D_IN, "d_sae": D_SAE, "dtype": "torch.float32", "hook_point": "blocks.0.attn.hook_z", "lr": 1e-4,
    "activation_fn_str": "relu", "normalize_activations": False, "model_name": "gpt2", "use_ghost_grads": True,
}  # fmt: skip


def rewritten(tmp_path, sae, cfg, extra=None):
    path = unsealed(formats.save(tmp_path / "sae", sae, params_of(sae)))
    (path / "cfg.json").write_text(json.dumps(cfg))
    if extra:
        tensors = safetensors.numpy.load_file(path / "sae_weights.safetensors") | extra
        safetensors.numpy.save_file(tensors, path / "sae_weights.safetensors")
    return path


def test_configs_from_before_version_6(tmp_path):
    sae = ReLU(D_IN, D_SAE)
    path = rewritten(tmp_path, sae, FLAT, {"scaling_factor": np.ones(D_SAE, np.float32)})
    got = formats.load(path)
    assert got.sae == sae
    same_bits(got.params, params_of(sae))
    place = {"hook_name": "blocks.0.attn.hook_z", "model_name": "gpt2", "reshape_activations": "hook_z"}
    assert got.metadata == place
    topk = FLAT | {"activation_fn_str": "topk", "activation_fn_kwargs": {"k": 4}}
    (path / "cfg.json").write_text(json.dumps(topk))
    assert formats.load(path).sae == TopK(D_IN, D_SAE, k=4)
    (path / "cfg.json").write_text(json.dumps(FLAT | {"activation_fn_str": "tanh-relu"}))
    with pytest.raises(ConfigError, match=r"cfg.json: activation_fn must be relu or topk; got 'tanh-relu'"):
        formats.load(path)


def test_expected_average_needs_its_factor(tmp_path):
    sae = ReLU(D_IN, D_SAE)
    path = unsealed(formats.save(tmp_path / "sae", sae, params_of(sae)))
    cfg = json.loads((path / "cfg.json").read_text()) | {"normalize_activations": "expected_average_only_in"}
    (path / "cfg.json").write_text(json.dumps(cfg))
    with pytest.raises(ConfigError, match="is for saelens"):
        formats.load(path, "sparsify", activation_scale=0.5)
    with pytest.raises(ConfigError, match=r"give activation_scale = sqrt\(d_in\) / mean"):
        formats.load(path)
    got = formats.load(path, activation_scale=0.5)
    x = inputs()
    close(
        got.sae.reconstruct(got.params, x)[1], np.asarray(sae.reconstruct(params_of(sae), 0.5 * x)[1]) / 0.5
    )


def test_sparsify_counts_latents_and_folds_the_bias_of_a_skip_sae(tmp_path):
    sae = TopK(D_IN, 2 * D_IN, D_IN, skip=True, k=3)
    path = unsealed(formats.save(tmp_path / "sae", sae, params_of(sae), format="sparsify"))
    cfg = json.loads((path / "cfg.json").read_text())
    cfg |= {"num_latents": 0, "expansion_factor": 2, "transcode": False}
    (path / "cfg.json").write_text(json.dumps(cfg))
    got = formats.load(path)
    x = inputs()
    latents, y = sae_forward.sparsify(path, x.astype(np.float64))
    close(got.sae.encode(got.params, x), latents)
    close(got.sae.reconstruct(got.params, x)[1], y)
    (path / "cfg.json").write_text(json.dumps(cfg | {"activation": "groupmax"}))
    with pytest.raises(ConfigError, match="activation must be topk; got 'groupmax'"):
        formats.load(path)


def test_an_unset_threshold_is_zero(tmp_path):
    sae = BatchTopK(D_IN, D_SAE, k=3)
    params = params_of(sae) | {"threshold": jnp.float32(0)}
    path = unsealed(formats.save(tmp_path / "sae", sae, params, format="dictionary-learning"))
    raw = _torch.read_torch(path / "ae.pt") | {"threshold": np.float32(-1), "k": np.int32(3)}
    (path / "ae.pt").write_bytes(_torch.write_torch({n: np.asarray(a) for n, a in raw.items()}))
    same_bits(formats.load(path, allow_pt=True).params, params)


def test_a_file_of_weights_can_be_named(tmp_path):
    sae = JumpReLU(D_IN, D_SAE, apply_b_dec_to_input=False)
    npz = formats.save(tmp_path / "npz", sae, params_of(sae), format="gemma-scope")
    same_bits(formats.load(npz / "params.npz").params, params_of(sae))
    pt = formats.save(tmp_path / "pt", sae, params_of(sae), format="dictionary-learning")
    (pt / "checkpoints").mkdir()
    os.rename(pt / "ae.pt", pt / "checkpoints" / "ae_7.pt")
    same_bits(formats.load(pt / "checkpoints" / "ae_7.pt", allow_pt=True).params, params_of(sae))
