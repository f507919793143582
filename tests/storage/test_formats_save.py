"""Directories that appear whole or not at all, and what is refused before anything is written."""

import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from superposition.errors import ConfigError, StoreError
from superposition.sae import PCA, BatchTopK, JumpReLU, Matryoshka, ReLU, TopK
from superposition.storage import formats
from tests.support.formats import D_IN, D_SAE, inputs, params_of, recipe, same_bits


@pytest.mark.parametrize(
    ("sae", "change", "format", "match"),
    [
        (ReLU(3, 4), {"W_enc": jnp.zeros((3, 5))}, "saelens", r"params\['W_enc'\] must be float32 of shape \(3, 4\)"),
        (ReLU(3, 4), {"W_enc": np.zeros((3, 4))}, "saelens", "got float64"),
        (ReLU(3, 4), {"b_enc": jnp.full(4, jnp.nan)}, "saelens", "must be finite"),
        (ReLU(3, 4), {"b_up": jnp.zeros(4)}, "saelens", "'b_up'"),
        (JumpReLU(3, 4), {"threshold": -jnp.ones(4)}, "saelens", "threshold'] must be >= 0"),
        (ReLU(3, 4), {}, "gemma-scope", "use saelens"),
        (PCA(3, 2), {}, "dictionary-learning", "use saelens"),
        (TopK(3, 4, 2, k=1), {}, "sparsify", "use saelens"),
        (BatchTopK(3, 4, k=1.5), {}, "dictionary-learning", "integer k; got 1.5"),
        (ReLU(3, 4), {}, "onnx", "format must be one of saelens"),
    ],
)  # fmt: skip
def test_what_cannot_be_saved_leaves_nothing(tmp_path, sae, change, format, match):
    with pytest.raises(ConfigError, match=match):
        formats.save(tmp_path / "sae", sae, params_of(sae) | change, format=format)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("metadata", [{"a": float("nan")}, {1: 2}, {"a": (1,)}, {"a": object()}, [1]])
def test_metadata_is_json(tmp_path, metadata):
    with pytest.raises(ConfigError, match="metadata must be"):
        formats.save(tmp_path / "sae", recipe("relu"), params_of(recipe("relu")), metadata)


def test_a_recipe_outside_the_registry_is_refused(tmp_path):
    class Mine(ReLU):
        pass

    with pytest.raises(ConfigError, match="Mine is not in ARCHITECTURES"):
        formats.save(tmp_path / "sae", Mine(D_IN, D_SAE), params_of(recipe("relu")))


def test_an_sae_is_replaced_only_on_demand_and_nothing_else_ever(tmp_path):
    sae, path = recipe("relu"), tmp_path / "sae"
    path.mkdir()
    formats.save(path, sae, params_of(sae))  # an empty directory is no loss
    with pytest.raises(StoreError, match="overwrite=True"):
        formats.save(path, sae, params_of(sae, 1))
    same_bits(formats.load(path).params, params_of(sae))
    formats.save(path, recipe("topk"), params_of(recipe("topk"), 1), format="sparsify", overwrite=True)
    same_bits(formats.load(path).params, params_of(recipe("topk"), 1))
    assert os.listdir(tmp_path) == ["sae"]
    (path / "notes.txt").write_text("mine")
    for target in (path, tmp_path, path / "notes.txt"):
        with pytest.raises(StoreError):
            formats.save(target, sae, params_of(sae), overwrite=True)
    assert (path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("point", ["fsync", "rename"])
@pytest.mark.parametrize("nth", range(4))
def test_a_failed_write_leaves_what_was(tmp_path, monkeypatch, point, nth):
    sae, path = recipe("relu"), tmp_path / "sae"
    formats.save(path, sae, params_of(sae))
    calls, real = [], getattr(os, point)

    def failing(*args):
        calls.append(args)
        if len(calls) == nth + 1:
            raise OSError(28, "No space left on device", str(path))
        return real(*args)

    monkeypatch.setattr(os, point, failing)
    if (point, nth) in {("rename", 2), ("rename", 3)}:  # there are two renames
        formats.save(path, sae, params_of(sae, 1), overwrite=True)
        return
    with pytest.raises(StoreError, match="No space left"):
        formats.save(path, sae, params_of(sae, 1), overwrite=True)
    monkeypatch.undo()
    # The last fsync comes after the rename: then the new one is there, whole.
    same_bits(formats.load(path).params, params_of(sae, int((point, nth) == ("fsync", 3))))
    assert os.listdir(tmp_path) == ["sae"]


def test_a_loaded_sae_trains_on(tmp_path):
    sae = Matryoshka(D_IN, D_SAE, k=3)
    got = formats.load(formats.save(tmp_path / "sae", sae, params_of(sae)))
    x = jnp.asarray(inputs())
    loss, _ = got.sae.loss(got.params, got.sae.init_state(), x, x, jax.random.key(0))
    assert np.isfinite(loss)
