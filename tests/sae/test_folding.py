"""Scales and decoder norms folded into parameters: the same function, in other units."""

import numpy as np
import pytest

from superposition.errors import ConfigError
from superposition.sae.transforms import fold_decoder_norm, fold_input_bias, fold_scale
from tests.support.formats import SAELENS, close, inputs, params_of, recipe

SCALABLE = [(n, f) for n, f in SAELENS if "normalize_activations" not in f]


@pytest.mark.parametrize(("name", "fields"), SCALABLE)
def test_fold_scale(name, fields):
    sae = recipe(name, **fields)
    params, x, s_in = params_of(sae), inputs(), 0.37
    s_out = 2.5 if sae.d_out is not None else s_in
    scaled, folded = fold_scale(sae, params, s_in, s_out)
    latents, y = sae.reconstruct(params, s_in * x)
    got = scaled.reconstruct(folded, x)
    close(got[1], np.asarray(y) / s_out, 1e-5)
    unit = (
        s_in if name == "matching-pursuit" else s_out if fields.get("rescale_acts_by_decoder_norm") else 1.0
    )
    close(got[0], np.asarray(latents) / unit, 1e-5)


@pytest.mark.parametrize(("name", "fields"), SAELENS)
def test_fold_decoder_norm(name, fields):
    sae = recipe(name, **fields)
    params, x = params_of(sae), inputs()
    norms = np.linalg.norm(np.asarray(params["W_dec"]), axis=-1)
    rescaled = fields.get("rescale_acts_by_decoder_norm")
    if name == "matching-pursuit" or (
        name in ("topk", "abstopk", "batch-topk", "matryoshka") and not rescaled
    ):
        with pytest.raises(ConfigError, match=r"folded|unscaled"):
            fold_decoder_norm(sae, params)
        return
    plain, folded = fold_decoder_norm(sae, params)
    assert np.allclose(np.linalg.norm(np.asarray(folded["W_dec"]), axis=-1), 1, atol=1e-6)
    latents, y = sae.reconstruct(params, x)
    got = plain.reconstruct(folded, x)
    close(got[0], np.asarray(latents) * (1 if rescaled else norms), 1e-5)
    close(got[1], np.asarray(y), 1e-5)


def test_a_silent_decoder_row_survives_folding():
    sae = recipe("relu")
    params = params_of(sae)
    params["W_dec"] = params["W_dec"].at[0].set(0)
    assert all(np.isfinite(a).all() for a in fold_decoder_norm(sae, params)[1].values())


def test_fold_scale_refuses_what_it_cannot_do():
    for sae, scales, match in [
        (recipe("relu"), (2.0, 3.0), "scale_out must be scale_in"),
        (recipe("matching-pursuit", apply_b_dec_to_input=False), (2.0, 3.0), "scale_out must be scale_in"),
        (recipe("relu"), (0.0,), "scale_in"),
        (recipe("relu"), (np.nan,), "scale_in"),
        (recipe("relu", normalize_activations="layer_norm"), (2.0,), "no scale to fold"),
    ]:
        with pytest.raises(ConfigError, match=match):
            fold_scale(sae, params_of(sae), *scales)


@pytest.mark.parametrize("name", ["relu", "gated", "topk", "batch-topk", "jumprelu", "pca"])
def test_a_folded_input_bias_changes_nothing_else(name):
    sae = recipe(name)
    params, x = params_of(sae), inputs()
    plain, folded = fold_input_bias(sae, params)
    assert not plain.apply_b_dec_to_input
    assert float(abs(params["b_dec"]).min()) > 0
    for before, after in zip(sae.reconstruct(params, x), plain.reconstruct(folded, x), strict=True):
        np.testing.assert_allclose(before, after, rtol=2e-5, atol=2e-6)
    assert fold_input_bias(plain, folded)[1] is folded
    with pytest.raises(ConfigError, match="no encoder bias"):
        fold_input_bias(recipe("matching-pursuit"), params)
