"""Configurations that lie, and places that are none: one clear error each, nothing executed."""

import json
import os

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superposition.errors import ConfigError, CorruptError, StoreError, SuperpositionError
from superposition.sae import ReLU
from superposition.storage import formats
from tests.support.formats import params_of
from tests.support.hostile_formats import CONFIG, SAVED, refused, save

VALUES = [True, False, None, "3", "", "x" * 10**4, [], [3], {}, 0, -1, 1.5, 3.0, 2**63, 10**400]


ACCEPTED = {  # what a field takes besides its own value
    ("saelens", "device"): VALUES,
    ("saelens", "finetuning_scaling_factor"): [False],
    ("saelens", "metadata"): [{}],
    ("saelens", "sae_lens_version"): [None, "", [], {}, 0, False],
    ("saelens", "apply_b_dec_to_input"): [True, False],
    ("sparsify", "expansion_factor"): [0, -1],
    ("sparsify", "normalize_decoder"): [True, False],
    ("sparsify", "multi_topk"): [True, False],
    ("sparsify", "metadata"): [{}],
    ("sparsify", "transcode"): [True, False],
    ("sparsify", "skip_connection"): [False],
    ("sparsify", "superposition"): [None],
}


@pytest.mark.parametrize("format", ["saelens", "sparsify"])
def test_every_field_of_a_config_by_every_wrong_type(tmp_path, format):
    path = save(tmp_path, format)
    config = path / CONFIG[format]
    good = json.loads(config.read_text())
    if format == "saelens":
        good["metadata"].pop("superposition")
    tried = 0
    for field in sorted(good):
        for value in VALUES:
            free = any(
                value is v or (type(value) is type(v) and value == v)
                for v in ACCEPTED.get((format, field), [])
            )
            if free or (type(value) is type(good[field]) and value == good[field]):
                continue
            try:
                config.write_text(json.dumps({**good, field: value}))
            except ValueError:  # more digits than Python writes
                config.write_text(json.dumps({**good, field: "@"}).replace('"@"', "1" + "0" * 400))
            refused(path)
            tried += 1
    assert tried > 80


@pytest.mark.parametrize(
    ("field", "value", "match"),
    [
        ("recipe", "os.system", "recipe must be one of relu"),
        (None, {"recipe": "gated", "fields": {}}, "superposition says Gated of what is a JumpReLU"),
        (None, 3, "must be an object"),
        (None, [], "must be an object"),
        ("fields", {"__class__": 1}, "jumprelu has no field __class__"),
        ("fields", {"penalty": "1"}, "jumprelu.penalty must be"),
        ("fields", {"penalty": True}, "jumprelu.penalty must be"),
        ("fields", {"penalty": -1.0}, "penalty must lie in"),
        ("fields", {"penalty": 10**400}, "penalty"),
        ("fields", {"sparsity_loss": ["step"]}, "jumprelu.sparsity_loss must be"),
        ("fields", [], "must be an object with recipe and fields"),
    ],
)
def test_our_own_entry_is_no_more_trusted(tmp_path, field, value, match):
    path = save(tmp_path, "saelens")
    cfg = json.loads((path / "cfg.json").read_text())
    own = cfg["metadata"]["superposition"]
    cfg["metadata"]["superposition"] = value if field is None else own | {field: value}
    (path / "cfg.json").write_text(json.dumps(cfg))
    refused(path, ConfigError, match)


@pytest.mark.parametrize(
    "text",
    [
        b"", b"null", b"[]", b"{", b'{"d_in": NaN}', b'{"d_in": 1e400}', b'{"d_in": -Infinity}', b'{"a": 1, "a": 2}',
        b'{"a": ' + b"[" * 10**5 + b"]" * 10**5 + b"}", b'{"a": ' + b"9" * 5000 + b"}", b'{"a": "\xff"}',
        b'{"a": "' + b"x" * (1 << 20) + b'"}',
    ],
)  # fmt: skip
def test_json_that_is_not_a_config(tmp_path, text):
    for format in CONFIG:
        path = save(tmp_path, format)
        (path / CONFIG[format]).write_bytes(text)
        refused(path, CorruptError)


@pytest.mark.parametrize(
    ("format", "change", "match"),
    [
        ("saelens", {"architecture": "crosscoder"}, "architecture must be one of standard, .* got 'crosscoder'"),
        ("saelens", {"l1_coefficient": 1.0}, "l1_coefficient means nothing to jumprelu"),
        ("saelens", {"normalize_activations": "covariance_whitening"}, "fold the whitening"),
        ("saelens", {"finetuning_scaling_factor": True}, "fold it into W_dec"),
        ("saelens", {"dtype": "float8"}, "dtype must be one of float32"),
        ("saelens", {"architecture": "jumprelu_transcoder"}, "apply_b_dec_to_input must be false"),
        ("saelens", {"d_in": 4}, r"expected shape \(5, 4\), got \(5, 3\)"),
        ("gemma-scope-2", {"architecture": "topk"}, "architecture must be jump_relu; got 'topk'"),
        ("gemma-scope-2", {"affine_connection": True}, "affine_connection is True"),
        ("dictionary-learning", {"trainer": {"dict_class": "CrossCoder"}}, "dict_class must be one of AutoEncoder"),
        ("dictionary-learning", {"trainer": {"dict_class": "BatchTopKSAE", "dict_size": 6}}, "dict_size is 6"),
        ("dictionary-learning", {"trainer": {"dict_class": "BatchTopKSAE", "k": 4}}, "one integer k"),
        ("dictionary-learning", {"trainer": {"dict_class": "AutoEncoder"}}, "expected the tensors|mean nothing"),
        ("sparsify", {"signed": True}, "signed must be false"),
        ("sparsify", {"n_heads": 2}, "n_heads is not known"),
        ("sparsify", {"k": 6}, "k must be at most"),
    ],
)  # fmt: skip
def test_configs_that_do_not_fit(tmp_path, format, change, match):
    path = save(tmp_path, format)
    config = path / CONFIG[format]
    config.write_text(json.dumps(json.loads(config.read_text()) | change))
    refused(path, match=match)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=40)
@given(st.data())
def test_any_json_at_all(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("any")
    for format in ("saelens", "sparsify", "gemma-scope-2"):
        source = save(path, format)
        config = source / CONFIG[format]
        cfg = json.loads(config.read_text())
        field = data.draw(st.sampled_from(sorted(cfg)))
        config.write_text(json.dumps({**cfg, field: data.draw(json_values)}))
        try:
            loaded = formats.load(source)
        except SuperpositionError as error:
            message = str(error)
            assert str(source) in message
        else:
            assert np.isfinite(loaded.sae.encode(loaded.params, jnp.ones(3))).all()
        for file in os.listdir(source):
            (source / file).unlink()


def test_links_stay_at_home_or_in_the_hub_cache(tmp_path):
    path = save(tmp_path, "saelens")
    weights = path / "sae_weights.safetensors"
    os.rename(weights, tmp_path / "elsewhere")
    weights.symlink_to(tmp_path / "elsewhere")
    refused(path, StoreError, "a link that leaves the directory")
    weights.unlink()
    weights.symlink_to(tmp_path / "nowhere")
    refused(path, StoreError)
    weights.unlink()
    weights.symlink_to(weights.name)
    refused(path, StoreError)
    snapshot, blobs = tmp_path / "repo" / "snapshots" / "abc" / "layer", tmp_path / "repo" / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    os.rename(tmp_path / "elsewhere", blobs / "1")
    os.rename(path / "cfg.json", blobs / "2")
    (snapshot / weights.name).symlink_to("../../../blobs/1")
    (snapshot / "cfg.json").symlink_to("../../../blobs/2")
    assert formats.load(snapshot).sae == SAVED["saelens"]


def test_what_is_no_file_is_not_opened(tmp_path):
    path = save(tmp_path, "saelens")
    (path / "cfg.json").unlink()
    os.mkfifo(path / "cfg.json")  # to open it would wait for ever
    refused(path, StoreError, "expected a regular file")
    (path / "cfg.json").unlink()
    (path / "cfg.json").mkdir()
    refused(path, StoreError, "expected a regular file")


def test_what_is_there_decides_the_format(tmp_path):
    with pytest.raises(StoreError, match=r"expected one of sae_weights.safetensors \(saelens\)"):
        formats.load(tmp_path)
    with pytest.raises(StoreError, match="found nothing"):
        formats.load(tmp_path / "absent")
    path = save(tmp_path, "saelens")
    (path / "sae.safetensors").write_bytes(b"")
    refused(path, StoreError, "give format")
    assert formats.load(path, "saelens").sae == SAVED["saelens"]
    with pytest.raises(ConfigError, match="format must be one of"):
        formats.load(path, "onnx")
    (tmp_path / "weights.bin").write_bytes(b"")
    refused(tmp_path / "weights.bin", StoreError)


def test_a_sparsity_of_another_width_is_corrupt(tmp_path):
    path = formats.save(tmp_path / "a", ReLU(3, 5), params_of(ReLU(3, 5)), sparsity=np.zeros(5))
    other = formats.save(tmp_path / "b", ReLU(3, 4), params_of(ReLU(3, 4)), sparsity=np.zeros(4))
    (path / "sparsity.safetensors").write_bytes((other / "sparsity.safetensors").read_bytes())
    refused(path, CorruptError, "sparsity")
