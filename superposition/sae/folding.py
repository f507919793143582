"""Changes of scale that an SAE's parameters can absorb: decoder norms, and the scale of the data."""

import dataclasses

import jax.numpy as jnp

from superposition._internal import validate
from superposition.errors import ConfigError
from superposition.sae._base import SAE, Params
from superposition.sae._topk_family import TopKFamily
from superposition.sae.batch_topk import BatchTopK
from superposition.sae.matching_pursuit import MatchingPursuit

LEAST_NORM = 1e-8  # below it a decoder row is left as it is (SAELens)


def fold_decoder_norm(sae: SAE, params: Params) -> tuple[SAE, Params]:
    """n_i = max(||W_dec,i||, 1e-8); W_dec,i / n_i; columns of W_enc, b_enc, b_gate, b_mag, threshold times n_i.

    Latents are multiplied by n_i and y_hat stays: f_i then counts in units of the output (SAELens's
    fold_W_dec_norm). Of the TopK family only where rescale_acts_by_decoder_norm, whose latents stay as they
    are; the result needs no rescaling. Raises ConfigError where the choice of latents would change: TopK and
    BatchTopK without rescaling, matching pursuit.
    """
    if isinstance(sae, MatchingPursuit):
        raise ConfigError("matching pursuit chooses latents by its dictionary's norms; they cannot be folded")
    if isinstance(sae, TopKFamily):
        if not sae.rescale_acts_by_decoder_norm:
            mend = "call finish(params) first" if isinstance(sae, BatchTopK) else "leave it as it is"
            raise ConfigError(f"{type(sae).__name__} without rescaling chooses by unscaled latents; {mend}")
        sae = dataclasses.replace(sae, rescale_acts_by_decoder_norm=False)
    norms = jnp.maximum(jnp.linalg.norm(params["W_dec"], axis=-1), LEAST_NORM)
    folded = {**params, "W_dec": params["W_dec"] / norms[:, None]}
    for name in ("W_enc", "b_enc", "b_gate", "b_mag", "threshold"):
        if name in params and params[name].ndim:  # BatchTopK's one threshold is in rescaled units already
            folded[name] = params[name] * norms
    return sae, folded


def fold_input_bias(sae: SAE, params: Params) -> tuple[SAE, Params]:
    """The same function with nothing subtracted from the input: b_enc - b_dec W_enc takes b_enc's place.

    A gated SAE's two biases lose b_dec W_enc and b_dec W_enc exp(r_mag). What Gemma Scope and
    dictionary_learning's JumpReLU hold. Raises ConfigError for matching pursuit, which has no encoder bias.
    """
    if not sae.apply_b_dec_to_input:
        return sae, params
    if isinstance(sae, MatchingPursuit):
        raise ConfigError("matching pursuit has no encoder bias that could take b_dec")
    shift = params["b_dec"] @ params["W_enc"]
    folded = dict(params)
    if "b_enc" in params:
        folded["b_enc"] = params["b_enc"] - shift
    else:
        folded["b_gate"] = params["b_gate"] - shift
        folded["b_mag"] = params["b_mag"] - shift * jnp.exp(params["r_mag"])
    return dataclasses.replace(sae, apply_b_dec_to_input=False), folded


def fold_scale(
    sae: SAE, params: Params, scale_in: float, scale_out: float | None = None
) -> tuple[SAE, Params]:
    """From an SAE of scale_in x (and scale_out y) to one of x (and y), with y_hat divided by scale_out.

    W_enc scale_in, W_dec / scale_out, b_dec / scale_out, W_skip scale_in / scale_out; biases of the encoder and
    thresholds stay, as pre-activations do. scale_out defaults to scale_in. With rescale_acts_by_decoder_norm
    latents, and BatchTopK's threshold, are divided by scale_out; those of matching pursuit by scale_in, with
    its residual_threshold. Raises ConfigError for scales <= 0, for two scales where b_dec is subtracted from
    the input, and for a run-time norm, which has no fixed scale.
    """
    scale_out = scale_in if scale_out is None else scale_out
    for name, value in (("scale_in", scale_in), ("scale_out", scale_out)):
        validate.in_range(name, value, 0.0, 1e30, open_low=True)
    if sae.normalize_activations != "none":
        raise ConfigError(f"normalize_activations={sae.normalize_activations!r} has no scale to fold")
    if sae.apply_b_dec_to_input and scale_in != scale_out:
        raise ConfigError("b_dec is subtracted from the input: scale_out must be scale_in")
    folded = {**params, "b_dec": params["b_dec"] / scale_out}
    if "W_skip" in params:
        folded["W_skip"] = params["W_skip"] * (scale_in / scale_out)
    if isinstance(sae, MatchingPursuit):  # the dictionary keeps its norms, so latents take the scale
        if sae.d_out is not None:
            folded["W_dec"] = params["W_dec"] * (scale_in / scale_out)
        elif scale_in != scale_out:
            raise ConfigError("matching pursuit decodes with its dictionary: scale_out must be scale_in")
        sae = dataclasses.replace(sae, residual_threshold=sae.residual_threshold / scale_in)
        return sae, folded
    folded |= {"W_enc": params["W_enc"] * scale_in, "W_dec": params["W_dec"] / scale_out}
    if isinstance(sae, BatchTopK) and sae.rescale_acts_by_decoder_norm:
        folded["threshold"] = params["threshold"] / scale_out
    return sae, folded
