"""What Python says at the borders where a slip is likely: what it is, and how to mend it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from superposition import ReLUOutput, SAERun, TopK, fit, metrics
from superposition.activations import array_stream
from superposition.errors import ConfigError
from superposition.storage import formats
from superposition.storage.formats import _torch, dictionary_learning
from superposition.toy import TOY_MODELS
from tests.oracles.unsealed import unsealed

KEY = jax.random.key(0)


@pytest.mark.parametrize("kind", TOY_MODELS.values())
def test_a_toy_model_can_be_called(kind):
    model = kind(5, 2)
    params = model.init_params(KEY)
    x = jax.random.uniform(KEY, (3, 4, 5))
    one = model.apply(params, x[1, 2])
    np.testing.assert_allclose(model(params, x)[1, 2], one, rtol=1e-6)
    np.testing.assert_allclose(model(params, x[1, 2]), one, rtol=1e-6)
    for args, said in (
        ((params, x[..., :4]), r"x must be \(\.\.\., n_features=5\); got shape \(3, 4, 4\)"),
        ((params, "Lily"), "x must be an array of numbers; got str|x must be an array of real numbers"),
        ((params, [[1], [1, 2]]), "x must be an array of numbers"),
        (({"W": 1}, x), "params must be what init_params returns"),
        ((x, x), "params must be what init_params returns"),
    ):
        with pytest.raises(ConfigError, match=said):
            model(*args)


def test_an_sae_that_is_called_names_its_maps():
    with pytest.raises(ConfigError, match=r"call its encode\(params, x\)"):
        TopK(4, 8, k=1)({}, np.zeros((2, 4)))


def test_names_as_labels_are_told_how_to_become_columns():
    x, names = np.random.default_rng(0).normal(size=(4, 3)), np.array(["a", "b", "a", "c"])
    thresholds = np.zeros((1, 3))
    for labels in (names, names[:, None], names.tolist(), names.astype(object)):
        with pytest.raises(
            ConfigError, match=r"got names: give np.asarray\(labels\)\[:, None\] == np.unique"
        ):
            metrics.detections(x, labels, thresholds)
    mended = np.asarray(names)[:, None] == np.unique(names)
    assert metrics.detections(x, mended, thresholds).labels.tolist() == [2, 1, 1]


def test_bfloat16_that_numpy_lost_is_named():
    lost = np.frombuffer(np.zeros((4, 3), jnp.bfloat16).tobytes(), "V2").reshape(4, 3)
    with pytest.raises(ConfigError, match=r"got dtype \|V2, bare bytes: np.save loses the name of bfloat16"):
        array_stream(KEY, lost)


@pytest.mark.parametrize(
    ("scale", "said"),
    [
        (1e20, r"go up to [345].*e\+20: sums of their squares overflow float32 .*; divide them by"),
        (1e-22, r"are [345].*e-22 at most: their squares underflow float32 .*; divide them by"),
    ],
)
def test_data_of_odd_scales_are_neither_infinite_nor_zero(scale, said):
    x = np.random.default_rng(0).normal(size=(4000, 4)).astype(np.float32) * np.float32(scale)
    with pytest.raises(ConfigError, match=said):
        fit(SAERun(TopK(4, 8, k=1), steps=2, batch_size=64), array_stream(KEY, x))


def saved(tmp_path, rename):
    """An SAE as a checkpoint of dictionary_learning and as a directory of SAELens, with its tensors renamed."""
    sae = TopK(4, 8, k=1)
    params = sae.init_params(KEY)
    formats.save(tmp_path / "a", sae, params, format="dictionary-learning")
    formats.save(tmp_path / "b", sae, params)
    checkpoint, weights = tmp_path / "a" / "ae.pt", tmp_path / "b" / "sae_weights.safetensors"
    raw = _torch.read_torch(checkpoint)
    checkpoint.write_bytes(_torch.write_torch({rename(k): v for k, v in raw.items()}))
    arrays = safetensors.numpy.load_file(weights)
    weights.write_bytes(safetensors.numpy.save({rename(k): v for k, v in arrays.items()}))
    return unsealed(tmp_path / "a"), unsealed(tmp_path / "b")


@pytest.mark.parametrize("prefix", ["_orig_mod.", "module.", "module._orig_mod.", "autoencoder."])
def test_weights_under_a_prefix_are_sound_and_told_how_to_lose_it(tmp_path, prefix):
    for folder in saved(tmp_path, lambda name: prefix + name):
        with pytest.raises(ConfigError, match=f"take the prefix '{prefix}' off the names"):
            formats.load(folder, allow_pt=True)


def test_float64_weights_are_sound_and_told_to_be_cast(tmp_path):
    checkpoint, folder = saved(tmp_path, lambda name: name)
    weights = folder / "sae_weights.safetensors"
    arrays = safetensors.numpy.load_file(weights)
    weights.write_bytes(safetensors.numpy.save({k: v.astype(np.float64) for k, v in arrays.items()}))
    said = "is float64; weights are read as float32: cast it"
    with pytest.raises(ConfigError, match=said):
        formats.load(folder)
    raw = {k: v.astype(np.float64) for k, v in _torch.read_torch(checkpoint / "ae.pt").items() if v.ndim}
    names = dictionary_learning.CLASSES["AutoEncoderTopK"][2]
    with pytest.raises(ConfigError, match=said):
        dictionary_learning._ours(checkpoint / "ae.pt", raw, names)


def test_sizes_say_the_memory_they_would_take():
    with pytest.raises(ConfigError, match=r"would take [\d.e+]+ GB of memory, and this machine has"):
        ReLUOutput(n_features=2**32 - 1)


def test_a_recipe_of_an_sae_may_be_larger_than_this_machine_and_its_parameters_not():
    sae = TopK(d_in=2**20, d_sae=2**30, k=1)
    with pytest.raises(ConfigError, match="would take"):
        sae.init_params(jax.random.key(0))
    with pytest.raises(ConfigError, match="would take"):
        SAERun(sae)
