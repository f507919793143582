"""The same SAE in another form: decoder norms, the input bias or the data's scale folded in, or cut to its width."""

from dataclasses import replace
from typing import Any

from superposition._internal import validate
from superposition.errors import ConfigError
from superposition.sae._base import SAE
from superposition.sae._parts import Params


def fold_decoder_norm(sae: SAE, params: Params) -> tuple[SAE, Params]:
    """n_i = max(||W_dec,i||, 1e-8); W_dec,i / n_i; what is in units of pre-activations (W_enc, biases, threshold) times n_i.

    Latents are multiplied by n_i and y_hat stays: f_i then counts in units of the output (SAELens's
    fold_W_dec_norm). Of the TopK family only where rescale_acts_by_decoder_norm, whose latents stay as they
    are; the result needs no rescaling. Raises ConfigError where the choice of latents would change: TopK and
    BatchTopK without rescaling, matching pursuit.

    >>> import jax.numpy as jnp
    >>> from superposition.sae import ReLU
    >>> params = {"W_enc": jnp.eye(2), "b_enc": jnp.ones(2), "W_dec": 2 * jnp.eye(2), "b_dec": jnp.zeros(2)}
    >>> fold_decoder_norm(ReLU(d_in=2, d_sae=2), params)[1]["b_enc"].tolist()
    [2.0, 2.0]
    """
    return sae.fold_decoder_norm(params)


def fold_input_bias(sae: SAE, params: Params) -> tuple[SAE, Params]:
    """The same function with nothing subtracted from the input: b_enc - b_dec W_enc takes b_enc's place.

    A gated SAE's two biases lose b_dec W_enc and b_dec W_enc exp(r_mag). What Gemma Scope and
    dictionary_learning's JumpReLU hold. Raises ConfigError for matching pursuit, which has no encoder bias.

    >>> import jax.numpy as jnp
    >>> from superposition.sae import ReLU
    >>> params = {"W_enc": jnp.eye(2), "b_enc": jnp.zeros(2), "W_dec": jnp.eye(2), "b_dec": jnp.ones(2)}
    >>> fold_input_bias(ReLU(d_in=2, d_sae=2), params)[1]["b_enc"].tolist()
    [-1.0, -1.0]
    """
    if not sae.apply_b_dec_to_input:
        return sae, params
    return replace(sae, apply_b_dec_to_input=False), sae.fold_input_bias(params)


def fold_scale(
    sae: SAE, params: Params, scale_in: float, scale_out: float | None = None
) -> tuple[SAE, Params]:
    """From an SAE of scale_in x (and scale_out y) to one of x (and y), with y_hat divided by scale_out.

    W_enc scale_in, W_dec / scale_out, b_dec / scale_out, W_skip scale_in / scale_out; biases of the encoder and
    thresholds stay, as pre-activations do. scale_out defaults to scale_in. With rescale_acts_by_decoder_norm
    latents, and BatchTopK's threshold, are divided by scale_out; those of matching pursuit by scale_in, with
    its residual_threshold. Raises ConfigError for scales <= 0, for two scales where b_dec is subtracted from
    the input, and for a run-time norm, which has no fixed scale.

    >>> import jax.numpy as jnp
    >>> from superposition.sae import ReLU
    >>> params = {"W_enc": jnp.eye(2), "b_enc": jnp.zeros(2), "W_dec": jnp.eye(2), "b_dec": jnp.ones(2)}
    >>> fold_scale(ReLU(d_in=2, d_sae=2), params, 4.0)[1]["b_dec"].tolist()
    [0.25, 0.25]
    """
    scale_out = scale_in if scale_out is None else scale_out
    for name, value in (("scale_in", scale_in), ("scale_out", scale_out)):
        validate.in_range(name, value, 0.0, 1e30, open_low=True)
    if sae.normalize_activations != "none":
        raise ConfigError(f"normalize_activations={sae.normalize_activations!r} has no scale to fold")
    if sae.apply_b_dec_to_input and scale_in != scale_out:
        raise ConfigError("b_dec is subtracted from the input: scale_out must be scale_in")
    return sae.fold_scale(params, scale_in, scale_out)


def cut_to_width(sae: SAE, params: dict[str, Any]) -> tuple[SAE, dict[str, Any]]:
    """The SAE of its first `width` latents, width itself gone; latents beyond never fired.

    k, slots, l0_target and Matryoshka's prefixes are cut to what that many latents allow.

    >>> import jax
    >>> from superposition.sae import TopK
    >>> sae = TopK(d_in=3, d_sae=8, k=2, width=4)
    >>> cut, params = cut_to_width(sae, sae.init_params(jax.random.key(0)))
    >>> cut.d_sae, params["W_enc"].shape, params["W_dec"].shape
    (4, (3, 4), (4, 3))
    """
    if sae.width is None:
        return sae, params
    w = int(sae.width)
    latents = {name: params[name] for name in sae.per_latent if name in params}
    cut = {name: array[..., :w] if name == "W_enc" else array[:w] for name, array in latents.items()}
    return sae.narrowed(w), {**params, **cut}


def finished(
    sae: SAE, params: dict[str, Any], scales: tuple[float, float] = (1.0, 1.0)
) -> tuple[SAE, dict[str, Any]]:
    """The form used after training: BatchTopK as JumpReLU, a masked width cut off, the data's scales folded in.

    >>> import jax
    >>> from superposition.sae import BatchTopK
    >>> from superposition.sae.transforms import finished
    >>> sae = BatchTopK(d_in=3, d_sae=8, k=2)
    >>> type(finished(sae, sae.init_params(jax.random.key(0)) | {"threshold": 0.5})[0]).__name__
    'JumpReLU'
    """
    return fold_scale(*cut_to_width(*sae.finish(params)), *scales)
