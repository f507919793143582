"""Models with SAEs, and forward passes with edits by hand."""

import jax
import numpy as np

from superposition.sae import JumpReLU, ReLU, TopK
from tests.oracles import tiny_models

KEY = jax.random.key(0)


HOOK = "blocks.0.hook_resid_post"


SAES = {
    "gpt2": TopK(d_in=48, d_sae=96, k=9, rescale_acts_by_decoder_norm=True),
    "gemma2": JumpReLU(d_in=64, d_sae=96, threshold=0.4),
    "llama": ReLU(d_in=64, d_sae=96, normalize_activations="layer_norm"),
    "gpt_neox": TopK(d_in=64, d_sae=96, k=9, normalize_activations="constant_norm_rescale"),
}


IDS = tiny_models.TOKENS[:, :12]


def bits(array):
    return np.asarray(array).view(np.uint32)
