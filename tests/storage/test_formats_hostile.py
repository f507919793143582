"""Files that lie: one clear error each, nothing executed, memory bounded."""

import json
import os
import struct
import tracemalloc

import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from superposition.errors import ConfigError, CorruptError, StoreError, SuperpositionError
from superposition.sae import BatchTopK, JumpReLU, ReLU, TopK
from superposition.storage import formats
from tests.oracles.unsealed import unsealed
from tests.storage.test_formats import params_of

JUMP = JumpReLU(3, 5, apply_b_dec_to_input=False)
SAVED = {
    "saelens": JumpReLU(3, 5),
    "gemma-scope": JUMP,
    "gemma-scope-2": JUMP,
    "dictionary-learning": BatchTopK(3, 5, k=2),
    "sparsify": TopK(3, 5, k=2),
}
CONFIG = {"saelens": "cfg.json", "gemma-scope-2": "config.json", "dictionary-learning": "config.json"}
CONFIG["sparsify"] = "cfg.json"


def save(tmp_path, format):
    return unsealed(formats.save(tmp_path / format, SAVED[format], params_of(SAVED[format]), format=format))


def refused(path, error=SuperpositionError, match=None, **options):
    """The message of the refusal, which names a file of `path`."""
    with pytest.raises(error, match=match) as caught:
        formats.load(path, **{"allow_pt": True, **options})
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 1500
    return str(caught.value)


def header_of(data):
    size = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + size]), data[8 + size :]


def with_header(header, data):
    encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(encoded)) + encoded + data


# Any file, cut, flipped or empty


@pytest.mark.parametrize("format", SAVED)
def test_a_file_that_ends_early_is_corrupt(tmp_path, format):
    path = save(tmp_path, format)
    weights = path / formats.FORMATS[format].weights
    data = weights.read_bytes()
    for size in {0, 1, 7, 8, 9, 40, len(data) // 2, len(data) - 1}:
        weights.write_bytes(data[:size])
        refused(path, CorruptError)
    weights.unlink()
    refused(path, StoreError)


@pytest.mark.parametrize("format", SAVED)
def test_any_flipped_bit_gives_an_error_or_an_sae(tmp_path, format):
    path = save(tmp_path, format)
    rng = np.random.default_rng(0)
    for file in sorted(os.listdir(path)):
        data = (path / file).read_bytes()
        header = len(data) if file.endswith(".json") else 400
        for _ in range(60):
            at = int(rng.integers(0, min(header, len(data))))
            broken = data[:at] + bytes([data[at] ^ (1 << int(rng.integers(8)))]) + data[at + 1 :]
            (path / file).write_bytes(broken)
            try:
                formats.load(path, allow_pt=True)
            except SuperpositionError as error:
                message = str(error)
                assert str(path) in message
        (path / file).write_bytes(data)
    formats.load(path, allow_pt=True)


# safetensors

HEADERS = {
    "a size beyond the file": lambda h, d: struct.pack("<Q", 2**60) + b"{}",
    "a size that wraps": lambda h, d: struct.pack("<Q", 2**64 - 1) + b"{}",
    "no object": lambda h, d: with_header(b"[]", d),
    "not JSON": lambda h, d: with_header(b"{{", d),
    "nested": lambda h, d: with_header(b"[" * 100_000 + b"]" * 100_000, d),
    "a key twice": lambda h, d: with_header(json.dumps(h).encode()[:-1] + b',"b_enc":{}}', d),
    "a hole": lambda h, d: with_header(h | {"b_dec": h["b_dec"] | {"data_offsets": [4, 16]}}, d),
    "an overlap": lambda h, d: with_header({n: {**e, "data_offsets": [0, e["data_offsets"][1]]} for n, e in h.items()}, d),
    "data after": lambda h, d: with_header(h, d + b"\0" * 4),
    "a huge shape": lambda h, d: with_header(h | {"b_dec": h["b_dec"] | {"shape": [2**62, 2**62]}}, d),
    "a negative shape": lambda h, d: with_header(h | {"b_dec": h["b_dec"] | {"shape": [-3]}}, d),
    "a bool shape": lambda h, d: with_header(h | {"b_dec": h["b_dec"] | {"shape": [True]}}, d),
    "a shape of text": lambda h, d: with_header(h | {"b_dec": h["b_dec"] | {"shape": "3"}}, d),
    "an unknown dtype": lambda h, d: with_header(h | {"b_dec": h["b_dec"] | {"dtype": "F31"}}, d),
    "integers": lambda h, d: with_header(h | {"b_dec": h["b_dec"] | {"dtype": "I32"}}, d),
    "a dtype that is a list": lambda h, d: with_header(h | {"b_dec": h["b_dec"] | {"dtype": []}}, d),
    "no entry": lambda h, d: with_header(h | {"b_dec": None}, d),
    "transposed": lambda h, d: with_header(h | {"W_enc": h["W_enc"] | {"shape": h["W_enc"]["shape"][::-1]}}, d),
    "another name": lambda h, d: with_header({"../../evil" if n == "b_dec" else n: e for n, e in h.items()}, d),
    "many names": lambda h, d: with_header({str(n): {} for n in range(5000)}, d),
}  # fmt: skip


@pytest.mark.parametrize("name", HEADERS)
def test_headers_that_lie(tmp_path, name):
    path = save(tmp_path, "saelens")
    weights = path / "sae_weights.safetensors"
    header, data = header_of(weights.read_bytes())
    header.pop("__metadata__")
    weights.write_bytes(HEADERS[name](header, data))
    refused(path, CorruptError)
    weights.write_bytes(with_header(header, data))
    formats.load(path)


@pytest.mark.parametrize(("name", "value"), [("W_enc", np.nan), ("b_enc", np.inf), ("threshold", -0.5)])
@pytest.mark.parametrize("format", ["saelens", "gemma-scope", "gemma-scope-2", "dictionary-learning"])
def test_numbers_no_sae_has(tmp_path, monkeypatch, format, name, value):
    sae = JUMP if format != "saelens" else SAVED[format]
    params = {n: np.array(a) for n, a in params_of(sae).items()}
    params[name].flat[1] = value
    monkeypatch.setattr(formats._recipe, "checked", lambda sae, params: (sae, params))
    monkeypatch.setattr(formats._seal, "cast", lambda arrays, _: arrays)
    monkeypatch.setattr(formats._seal, "to_safetensors", lambda arrays, *_: safetensors.numpy.save(arrays))
    path = formats.save(tmp_path / "sae", sae, params, format=format)
    assert name.lower() in refused(path, CorruptError).lower()


def test_a_config_cannot_ask_for_more_than_the_file_has(tmp_path):
    path = save(tmp_path, "saelens")
    cfg = json.loads((path / "cfg.json").read_text())
    cfg["metadata"].pop("superposition")
    tracemalloc.start()
    for size, error in (
        (2**20, CorruptError),
        (2**26, CorruptError),
        (2**26 + 1, ConfigError),
        (10**300, ConfigError),
    ):
        (path / "cfg.json").write_text(json.dumps({**cfg, "d_sae": size}))
        refused(path, error)
    (path / "cfg.json").write_text(json.dumps({**cfg, "d_in": 2**26, "d_sae": 2**26}))
    refused(path, ConfigError, "accepted: <=")
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()


# Configs

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
        ("fields", {"sparsity": ["step"]}, "jumprelu.sparsity must be"),
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


# Places


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
