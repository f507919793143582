"""Which names are of one model: warned of is what is known to be another."""

import json

import pytest

from superposition.llm import LanguageModel
from superposition.llm.model_names import other_model
from tests.oracles import tiny_lm


def named(name, folder=None):
    return LanguageModel(tiny_lm.spec(), {}, name=name, folder=folder)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("gpt2", "gpt2-small"), ("openai-community/gpt2", "gpt2-small"), ("gpt2", "GPT2"), ("openai-community/gpt2", "gpt2"),
        ("meta-llama/Llama-3.1-8B", "meta-llama/Meta-Llama-3.1-8B"), ("EleutherAI/pythia-70m-deduped", "pythia-70m-deduped"),
        ("google/gemma-2-2b", "gemma-2-2b"), ("roneneldan/TinyStories-33M", "tiny-stories-33M"),
        ("superposition/small-lm", "superposition/small-lm"), ("mistralai/Mistral-7B-v0.1", "mistral-7b"),
        ("/models/gpt2/", "gpt2-small"), ("gpt2", ""), ("", "gpt2"), ("gpt2", "  "),
        ("מודל", "./מודל"), ("...", "gpt2"), ("gpt2", "--"),
    ],
)  # fmt: skip
def test_the_same_or_nothing_known(ours, theirs):
    assert not other_model(named(ours), theirs)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("gpt2", "gpt2-medium"), ("gpt2", "meta-llama/Llama-3.1-8B"),
        ("superposition/small-lm", "superposition/small-lm-seed1"), ("superposition/small-lm", "gpt2"),
        ("EleutherAI/pythia-70m", "pythia-70m-deduped"),
        ("google/gemma-2-2b-it", "gemma-2-2b"),
        ("superposition/small-lm-seed1", "superposition/small-lm"), ("gpt2", "a\x00b"), ("gpt2", "x" * 5000),
    ],
)  # fmt: skip
def test_another(ours, theirs):
    assert other_model(named(ours), theirs)


def test_folders(tmp_path, monkeypatch):
    folder = tiny_lm.write_model(tmp_path / "scratch")
    lm = LanguageModel.from_hf(folder)
    monkeypatch.chdir(tmp_path)
    for same in (str(folder), "scratch", "scratch/", "./scratch", "/elsewhere/scratch"):
        assert not other_model(lm, same), same
    assert other_model(lm, "gpt2-small")
    tiny_lm.write_model(tmp_path / "another")
    assert other_model(lm, "another")
    (folder / "superposition.sha256").unlink()
    config = json.loads((folder / "config.json").read_text()) | {"_name_or_path": "openai-community/gpt2"}
    (folder / "config.json").write_text(json.dumps(config))
    assert not other_model(LanguageModel.from_hf("scratch"), "gpt2-small")


def test_the_folder_of_a_model_that_ships_and_a_snapshot_of_the_hub(tmp_path):
    shipped = LanguageModel.from_hf("superposition/small-lm")
    assert not other_model(LanguageModel.from_hf(shipped.folder), "superposition/small-lm")
    assert other_model(LanguageModel.from_hf(shipped.folder), "superposition/small-lm-seed1")
    snapshot = tmp_path / "models--openai-community--gpt2" / "snapshots" / "0a1b"
    snapshot.mkdir(parents=True)
    assert not other_model(named(str(snapshot), snapshot), "gpt2-small")
