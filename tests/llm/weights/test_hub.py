"""Names and folders of models: what ships, what the hub refuses, what is fetched, and the tokenizer."""

import json
import os

import pytest

from superposition.errors import ConfigError
from superposition.llm import LanguageModel, hub
from superposition.llm.families import parse


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
