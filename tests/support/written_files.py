"""A small file of every format that the library writes, and the names in it."""

import jax
import numpy as np
import safetensors

import superposition as sp
from superposition.activations.cache import CacheWriter
from superposition.llm.export import save_gpt2
from superposition.storage import checkpoint, formats

RUN = sp.ToyRun(sp.ReLUOutput(3, 2), sp.SparseUniform(density=0.2), steps=3, batch_size=8)


def names_of(value, prefix=""):
    """Keys of nested JSON as dotted names."""
    if not isinstance(value, dict):
        return set()
    return {f"{prefix}{k}" for k in value} | {
        n for k, v in value.items() for n in names_of(v, f"{prefix}{k}.")
    }


def tensors_of(path):
    """(name, dtype, shape) of a safetensors file."""
    with safetensors.safe_open(path, "numpy") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  it is no dict
    return {name: (str(array.dtype), array.shape) for name, array in arrays.items()}


def toy_model(folder):
    return sp.save(sp.fit(RUN), folder / "toy")


def sae(folder):
    recipe = sp.TopK(d_in=2, d_sae=6, k=1)
    return formats.save(folder / "sae", recipe, recipe.init_params(jax.random.key(0)), sparsity=np.zeros(6))


def step_of_a_checkpoint(folder):
    tree = {"params": {"W": np.zeros((2, 3), np.float32)}, "key": jax.random.key(0), "n": 3}
    return checkpoint.save(folder / "checkpoints", 100, tree, {"recipe": "mine"})


def cache(folder):
    rows = {"blocks.0.mlp.hook_post": np.ones((4, 3), np.float32)}
    with CacheWriter(folder / "cache", {"model": "mine"}, {"blocks.0.mlp.hook_post": 3}, rows=4) as writer:
        writer.save_tokens(np.zeros((2, 4), int))
        writer.append(rows, sequence=np.zeros(4, int), position=np.arange(4))
    return folder / "cache"


def store(folder):
    sp.sweep(RUN, {"density": (0.5, 0.1), "seed": (0, 1)}, out=folder / "toys.zarr")
    return folder / "toys.zarr"


def sae_store(folder):
    run = sp.SAERun(sp.TopK(d_sae=6, k=1), sp.fit(RUN).activations(), steps=3, batch_size=8)
    sp.sweep(run, {"seed": (0, 1)}, out=folder / "saes.zarr")
    return folder / "saes.zarr"


def language_model(folder):
    lm = sp.LanguageModel.from_hf()
    save_gpt2(folder / "lm", lm.spec, lm.params)
    return folder / "lm"
