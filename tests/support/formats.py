"""A recipe and parameters of every architecture, and which formats they are written in."""

import jax.numpy as jnp
import numpy as np

from superposition.sae import ARCHITECTURES
from superposition.storage.formats import _recipe

D_IN, D_SAE, D_OUT = 7, 12, 5


SIZE = {"identity": D_IN, "pca": 4}


def recipe(name, **fields):
    """A recipe with no hyperparameter at its default where another makes sense."""
    fields = {"d_in": D_IN, "d_sae": SIZE.get(name, D_SAE), **fields}
    if "topk" in name or name == "matryoshka":
        fields.setdefault("k", 3)
    if name == "matryoshka":
        fields.setdefault("prefixes", (2, 5, fields["d_sae"]))
    if name in ("relu", "bricken", "gated", "jumprelu"):
        fields.setdefault("penalty", 0.25)
    if name == "matching-pursuit":
        fields |= {"max_iterations": 4, "residual_threshold": 0.3}
    return ARCHITECTURES[name](**fields)


def params_of(sae, seed=0):
    """Parameters of which no two are alike; pursuit wants unit rows."""
    rng = np.random.default_rng(seed)
    params = {name: rng.normal(size=shape).astype(np.float32) for name, shape in _recipe.shapes(sae).items()}
    if "threshold" in params:
        params["threshold"] = np.abs(params["threshold"])
    params = {name: jnp.asarray(array) for name, array in params.items()}
    return (
        sae.constrain(params, {"threshold": jnp.float32(0.4)}) if "pursuit" in repr(sae).lower() else params
    )


def inputs(seed=1, rows=16):
    return np.random.default_rng(seed).normal(size=(rows, D_IN)).astype(np.float32)


def same_bits(got, wanted):
    assert got.keys() == wanted.keys()
    for name, array in wanted.items():
        assert got[name].dtype == jnp.float32
        assert np.asarray(got[name]).tobytes() == np.asarray(array).tobytes(), name


def close(got, wanted, relative=1e-6):
    """Within `relative` of the largest number."""
    assert got.shape == wanted.shape
    assert np.abs(np.asarray(got) - wanted).max() <= relative * max(1.0, np.abs(wanted).max())


RUN_TIME = (
    {"apply_b_dec_to_input": False},
    {"normalize_activations": "layer_norm"},
    {"normalize_activations": "constant_norm_rescale"},
)


PLAIN = ("bricken", "random", "pca", "identity")  # computed as another that is tried in full


SAELENS = [
    (name, fields)
    for name, kind in ARCHITECTURES.items()
    for fields in (
        {},
        *(RUN_TIME[:1] if name in PLAIN else RUN_TIME),
        *(
            [{"d_out": D_OUT}, {"d_out": D_OUT, "skip": True}]
            if kind.transcodes and name not in PLAIN
            else []
        ),
        *([{"rescale_acts_by_decoder_norm": True}] if "topk" in name or name == "matryoshka" else []),
    )
]


FREE = {"apply_b_dec_to_input": False}


OTHERS = [
    *(("dictionary-learning", name, {}) for name in ("relu", "bricken", "random", "gated", "topk")),
    *(("dictionary-learning", name, {}) for name in ("batch-topk", "matryoshka")),
    *(("dictionary-learning", name, FREE) for name in ("relu", "jumprelu")),
    ("gemma-scope", "jumprelu", FREE),
    ("gemma-scope", "jumprelu", {"d_out": D_OUT}),
    ("gemma-scope-2", "jumprelu", FREE),
    ("gemma-scope-2", "jumprelu", {"d_out": D_OUT, "skip": True}),
    ("sparsify", "topk", {}),
    ("sparsify", "topk", {"d_out": D_IN}),
    ("sparsify", "topk", {"d_out": D_IN, "skip": True}),
]
