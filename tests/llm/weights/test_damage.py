"""Folders of weights that are damaged are refused as what they are."""

import json
import os
import struct

import numpy as np
import pytest

from superposition.errors import ConfigError, CorruptError, StoreError, SuperpositionError
from tests.support.weights import read, rewrite, shard, write_index


def test_an_index_is_held_to_its_word(folder):
    places = shard(folder)
    first, second = sorted(set(places.values()))[:2]
    (folder / second).rename(folder / "elsewhere")
    with pytest.raises(ConfigError, match=f"missing: {second}"):
        read(folder)
    (folder / "elsewhere").rename(folder / second)
    held = next(key for key in places if places[key] == first)
    write_index(folder, {**places, held: second, "novelty": first})
    with pytest.raises(ConfigError) as caught:
        read(folder)
    assert f"in {first}, not by model.safetensors.index.json: {held}" in str(caught.value)
    assert f"in model.safetensors.index.json, not in {first}: novelty" in str(caught.value)


@pytest.mark.parametrize(
    "name", ["../model.safetensors", "/etc/passwd", "a/b.safetensors", "x.bin", ".safetensors", 3]
)
def test_an_index_names_files_of_its_folder_only(folder, name):
    write_index(folder, {**shard(folder), "transformer.wte.weight": name})
    with pytest.raises(ConfigError, match=r"expected names of \.safetensors files beside it"):
        read(folder)


@pytest.mark.parametrize("places", [None, {}, [], "x"])
def test_an_index_without_a_map(folder, places):
    shard(folder)
    write_index(folder, places)
    with pytest.raises(ConfigError, match="weight_map"):
        read(folder)


def test_damage_is_found_or_harmless(folder):
    path = folder / "model.safetensors"
    data, expected = path.read_bytes(), read(folder)
    rng, found = np.random.default_rng(0), 0
    length = 8 + int.from_bytes(data[:8], "little")
    spoilt = [data[:n] for n in (0, 7, 8, 100, length, len(data) - 1)] + [data + b"x"]
    spoilt += [struct.pack("<Q", n) + data[8:] for n in (0, 2**63, 9 << 20, length - 9)]
    for at in rng.integers(0, length, 200):
        mutated = bytearray(data)
        mutated[at] ^= 1 << rng.integers(8)
        spoilt.append(bytes(mutated))
    for mutated in spoilt:
        path.write_bytes(mutated)
        try:
            params = read(folder)
        except SuperpositionError as error:
            found += 1
            assert str(folder) in str(error)  # noqa: PT017
        else:  # such as a space that became another in the padding, or two tensors that changed places
            assert params.keys() == expected.keys()
    assert found > 0.9 * len(spoilt)


def test_a_header_of_many_megabytes_and_odd_names(folder):
    path = folder / "model.safetensors"
    data = path.read_bytes()
    length = 8 + int.from_bytes(data[:8], "little")
    path.write_bytes(struct.pack("<Q", 9 << 20) + data[8:length].ljust(9 << 20) + data[length:])
    with pytest.raises(CorruptError, match="expected a header of <= "):
        read(folder)
    path.write_bytes(data)
    rewrite(folder, lambda stored: stored.update({"</script>\n": np.ones(1, np.float32)}))
    with pytest.raises(CorruptError, match="plain names"):
        read(folder)


def test_a_file_that_is_no_file(folder):
    (folder / "model.safetensors").unlink()
    os.mkfifo(folder / "model.safetensors")
    with pytest.raises(StoreError, match="regular file"):
        read(folder)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"\xff\xfe",
        b'{"a": NaN}',
        b'{"a": 1e999}',
        b'{"a": 1, "a": 2}',
        b"[" * 10**5,
        b'{"a": ' + b"9" * 5000 + b"}",
        b" " * (9 << 20) + b"{}",
    ],
)
def test_a_config_that_is_no_json(folder, data):
    (folder / "config.json").write_bytes(data)
    with pytest.raises(CorruptError, match=r"config\.json"):
        read(folder)


def test_errors_of_a_config_name_the_folder(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "novelty": 1}))
    with pytest.raises(ConfigError, match=f"{folder}: .*\n.*novelty"):
        read(folder)
