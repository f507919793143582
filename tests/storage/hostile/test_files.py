"""Files that lie: cut, flipped or with a false header, each one clear error."""

import json
import os
import struct
import tracemalloc

import numpy as np
import pytest
import safetensors.numpy

from superposition.errors import ConfigError, CorruptError, StoreError, SuperpositionError
from superposition.storage import formats
from tests.support.formats import params_of
from tests.support.hostile_formats import JUMP, SAVED, refused, save


def header_of(data):
    size = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + size]), data[8 + size :]


def with_header(header, data):
    encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(encoded)) + encoded + data


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
