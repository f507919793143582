"""Folders of weights: every layout gives the same parameters, and what is wrong is said whole, by name."""

import json
import os
import struct

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from superposition.errors import ConfigError, CorruptError, StoreError, SuperpositionError
from superposition.llm import LanguageModel, hub, weights
from superposition.llm.families import parse
from tests.oracles import tiny_models


def host(name, array):
    return array


def read(folder, dtype="float32", put=host):
    return hub.read(folder, dtype, put)[2]


@pytest.fixture
def folder(tmp_path):
    tiny_models.write(tmp_path / "model", "gpt2")
    return tmp_path / "model"


def rewrite(folder, change):
    """Lets `change` have its way with the tensors of a folder."""
    stored = load_file(folder / "model.safetensors")
    change(stored)
    save_file(stored, folder / "model.safetensors")


def shard(folder, n=3):
    """Splits a folder's weights into n files and an index."""
    stored = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    places = {}
    for i in range(n):
        name = f"model-{i + 1:05}-of-{n:05}.safetensors"
        part = dict(list(stored.items())[i::n])
        save_file(part, folder / name)
        places |= dict.fromkeys(part, name)
    write_index(folder, places)
    return places


def write_index(folder, places):
    index = {"metadata": {"total_size": 1}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def test_fused_and_transposed_tensors_are_taken_apart(tmp_path):
    spec, stored = tiny_models.write(tmp_path / "gpt2", "gpt2")
    params, fused = read(tmp_path / "gpt2"), stored["transformer.h.1.attn.c_attn.weight"]
    for i, part in enumerate("QKV"):
        np.testing.assert_array_equal(params[f"blocks.1.attn.W_{part}"], fused[:, 48 * i : 48 * (i + 1)])
    np.testing.assert_array_equal(params["blocks.1.attn.W_O"], stored["transformer.h.1.attn.c_proj.weight"])
    spec, stored = tiny_models.write(tmp_path / "neox", "gpt_neox")
    params, fused = read(tmp_path / "neox"), stored["gpt_neox.layers.0.attention.query_key_value.weight"]
    for head in range(spec.n_heads):  # rows: head, then queries, keys, values, then dimensions
        keys = fused[head * 48 + 16 : head * 48 + 32]
        np.testing.assert_array_equal(params["blocks.0.attn.W_K"][:, head * 16 : (head + 1) * 16], keys.T)
    np.testing.assert_array_equal(params["unembed.W"], stored["lm_head.weight"].T)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_half_precision_widens_exactly_and_rounds_to_nearest(tmp_path, dtype):
    _, stored = tiny_models.write(tmp_path / "half", "llama", dtype=dtype)
    table = stored["model.embed_tokens.weight"]
    params = read(tmp_path / "half")
    assert all(array.dtype == np.float32 for array in params.values())
    np.testing.assert_array_equal(params["embed.W"], table.astype(np.float32))
    rounded = read(tmp_path / "half", "bfloat16")
    assert all(array.dtype == ml_dtypes.bfloat16 for array in rounded.values())
    np.testing.assert_array_equal(rounded["embed.W"], table.astype(ml_dtypes.bfloat16))


@pytest.mark.parametrize(
    ("case", "prefixes"),
    [
        ("gpt2", ["transformer.", ""]),
        ("gpt_neox", ["gpt_neox.", ""]),
        ("qwen3", ["model.", ""]),
        ("gemma3", ["model.language_model.", "language_model.model.", ""]),
    ],
)
def test_names_with_and_without_their_prefix(tmp_path, case, prefixes):
    results = []
    for i, prefix in enumerate(prefixes):
        tiny_models.write(tmp_path / str(i), case, prefix)
        results.append(read(tmp_path / str(i)))
    for other in results[1:]:
        assert other.keys() == results[0].keys()
        assert all((other[name] == results[0][name]).all() for name in other)


def test_shards_give_the_same_and_each_tensor_is_read_once(folder, monkeypatch):
    expected, reads, put = read(folder), [], []
    places = shard(folder)
    original = weights.Stored.read
    monkeypatch.setattr(weights.Stored, "read", lambda s, *a: reads.append(s.key) or original(s, *a))
    params = read(folder, put=lambda name, array: put.append((name, len(reads))) or array)
    assert params.keys() == expected.keys()
    assert all((params[name] == expected[name]).all() for name in params)
    assert sorted(reads) == sorted(places)
    # one tensor at a time: what a tensor gives is put away before the next is read
    assert [n for _, n in put] == sorted(n for _, n in put)
    assert {n for _, n in put} == set(range(1, len(places) + 1))


def test_parameters_own_their_memory(folder):
    assert all(array.flags["C_CONTIGUOUS"] and array.flags["WRITEABLE"] for array in read(folder).values())


@pytest.mark.parametrize(
    ("case", "names"),
    [
        ("gpt2", ["transformer.h.0.attn.bias", "h.1.attn.masked_bias"]),
        ("gpt_neo", ["transformer.h.0.attn.attention.bias"]),
        ("gpt_neox", ["gpt_neox.layers.0.attention.rotary_emb.inv_freq", "gpt_neox.layers.1.attention.bias"]),
        ("llama", ["model.layers.0.self_attn.rotary_emb.inv_freq", "model.rotary_emb.inv_freq"]),
        ("gemma3", ["vision_tower.vision_model.x", "model.multi_modal_projector.y", "model.vision_tower.z"]),
    ],
)
def test_buffers_and_the_vision_tower_are_left_out(tmp_path, case, names):
    tiny_models.write(tmp_path, case)
    expected = read(tmp_path)
    rewrite(tmp_path, lambda stored: stored.update({name: np.ones((2, 2), bool) for name in names}))
    assert read(tmp_path).keys() == expected.keys()


def test_the_old_name_of_the_unembedding(tmp_path):
    tiny_models.write(tmp_path, "gpt_neox")
    expected = read(tmp_path)["unembed.W"]
    rewrite(tmp_path, lambda stored: stored.update({"embed_out.weight": stored.pop("lm_head.weight")}))
    np.testing.assert_array_equal(read(tmp_path)["unembed.W"], expected)


def test_everything_that_does_not_fit_is_said_at_once(folder):
    def spoil(stored):
        del stored["transformer.ln_f.bias"], stored["transformer.h.1.mlp.c_fc.weight"]
        stored["score.weight"] = np.ones((2, 48), np.float32)
        stored["vision_tower.x"] = np.ones(2, np.float32)
        stored["wte.weight"] = stored["transformer.wte.weight"]  # twice, under both its names
        stored["transformer.h.0.attn.c_attn.weight"] = np.ones((48, 143), np.float32)
        stored["transformer.h.0.ln_1.bias"] = np.ones(48, np.float64)

    rewrite(folder, spoil)
    with pytest.raises(ConfigError) as caught:
        read(folder)
    for said in (
        "missing: ln_f.bias",
        "missing: h.1.mlp.c_fc.weight",
        "surplus: score.weight",
        "surplus: vision_tower.x",
        "wte.weight",
        "h.0.attn.c_attn.weight: shape (48, 143), by the config (48, 144)",
        "h.0.ln_1.bias: F64, accepted: F32, F16, BF16",
    ):
        assert said in str(caught.value)
    assert "h.0.ln_1.weight" not in str(caught.value)


def test_a_head_beside_the_embedding_it_is_tied_to_must_be_the_same(folder):
    expected = read(folder)
    rewrite(folder, lambda s: s.update({"lm_head.weight": s["transformer.wte.weight"].copy()}))
    assert read(folder).keys() == expected.keys()

    def change(stored):
        stored["lm_head.weight"][100, 47] += 1e-3

    rewrite(folder, change)
    with pytest.raises(ConfigError, match=r"differs from transformer\.wte\.weight, but tie_word_embeddings"):
        read(folder)


def test_a_head_that_is_not_tied_must_be_there(tmp_path):
    tiny_models.write(tmp_path, "llama")
    rewrite(tmp_path, lambda stored: stored.pop("lm_head.weight"))
    with pytest.raises(ConfigError, match=r"missing: lm_head\.weight"):
        read(tmp_path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_damage(folder, value):
    def change(stored):
        stored["transformer.h.1.mlp.c_proj.bias"][7] = value

    rewrite(folder, change)
    with pytest.raises(CorruptError, match=r"h\.1\.mlp\.c_proj\.bias.*finite"):
        read(folder)


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


def test_what_a_folder_lacks(tmp_path, folder):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"no config\.json"):
        hub.resolve(tmp_path / "empty")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match=r"no weights. Expected model\.safetensors"):
        hub.resolve(folder)
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(
        ConfigError, match=r"Its pytorch_model\.bin is a pickle, which can run code and is never read"
    ):
        LanguageModel.from_hf(str(folder))
    for missing in (tmp_path / "gone", str(tmp_path / "gone"), "./gone", "a/b/c"):
        with pytest.raises(ConfigError, match="no such folder"):
            hub.resolve(missing)


def test_a_folder_is_itself_and_has_no_revisions(folder):
    assert hub.resolve(folder) == hub.resolve(str(folder)) == folder
    with pytest.raises(ConfigError, match="a revision belongs to a name"):
        hub.resolve(folder, revision="main")


def test_names_that_ship_are_folders_of_the_package(monkeypatch, folder):
    assert [path.name for path in hub.SHIPPED.values()] == ["seed0", "seed1"]
    assert all(path.is_relative_to(os.path.dirname(hub.__file__)) for path in hub.SHIPPED.values())
    monkeypatch.setitem(hub.SHIPPED, "superposition/small-lm", folder)
    assert hub.resolve("superposition/small-lm") == folder


def test_a_name_without_a_network_says_how_to_give_a_folder(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ConfigError, match=r"could not be fetched.*give a folder"):
        hub.resolve("no-such-person/no-such-model")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("GatedRepoError", "hf auth login"),
        ("RepositoryNotFoundError", "neither a folder here nor a model on the hub"),
        ("RevisionNotFoundError", "no revision 'v2'"),
    ],
)
def test_what_the_hub_refuses(monkeypatch, name, said):
    import huggingface_hub
    from huggingface_hub import errors

    def refuse(*args, **kwargs):
        error = getattr(errors, name)
        raise error.__new__(error)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(ConfigError, match=f"{said}.*give a folder"):
        hub.resolve("someone/something", revision="v2")


def test_only_what_is_needed_is_fetched(monkeypatch, folder):
    import fnmatch

    import huggingface_hub

    asked = {}
    monkeypatch.setattr(
        huggingface_hub,
        "snapshot_download",
        lambda name, **kwargs: asked.update(kwargs, name=name) or str(folder),
    )
    assert hub.resolve("someone/something") == folder
    assert (asked["name"], asked["revision"]) == ("someone/something", None)

    def wanted(file):
        return any(fnmatch.fnmatch(file, pattern) for pattern in asked["allow_patterns"])

    needed = ["config.json", "model.safetensors", "model-00001-of-00002.safetensors", "tokenizer.json"]
    needed += [
        "model.safetensors.index.json",
        "tokenizer.model",
        "vocab.json",
        "merges.txt",
        "special_tokens_map.json",
    ]
    assert all(map(wanted, [*needed, "added_tokens.json"]))
    refused = ["pytorch_model.bin", "consolidated.safetensors", "modeling_mine.py", "flax_model.msgpack"]
    assert not any(map(wanted, [*refused, "original/model.pth", "onnx/model.onnx", "training_args.bin"]))


def test_the_tokenizer_of_a_folder(folder):
    from tokenizers import Tokenizer, models, pre_tokenizers

    with pytest.raises(ConfigError, match="no tokenizer, none of"):
        hub.load_tokenizer(folder)
    own = Tokenizer(models.WordLevel({"[UNK]": 0, "a": 1, "b": 2}, unk_token="[UNK]"))
    own.pre_tokenizer = pre_tokenizers.Whitespace()
    own.save(str(folder / "tokenizer.json"))
    about = {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "[UNK]"}
    (folder / "tokenizer_config.json").write_text(json.dumps(about))
    assert hub.load_tokenizer(folder)("b a c")["input_ids"] == [2, 1, 0]
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(ConfigError, match="no tokenizer that can be read"):
        hub.load_tokenizer(folder)


def test_code_in_a_folder_is_never_run(folder):
    mark = folder / "ran"
    (folder / "mine.py").write_text(f"open({str(mark)!r}, 'w')\nclass Mine: pass\n")
    about = {"tokenizer_class": "Mine", "auto_map": {"AutoTokenizer": ["mine.Mine", None]}}
    (folder / "tokenizer_config.json").write_text(json.dumps(about))
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(ConfigError, match="no tokenizer that can be read"):
        hub.load_tokenizer(folder)
    config = json.loads((folder / "config.json").read_text())
    with pytest.raises(ConfigError, match="never run"):
        parse({**config, "auto_map": {"AutoModel": "mine.Mine"}})
    assert not mark.exists()
