"""A model's folder that we wrote loads as it was written, or is refused as damaged, in one line."""

import os
import shutil
import subprocess

import numpy as np
import pytest

from superposition.errors import CorruptError
from superposition.llm import LanguageModel
from superposition.llm.hub import SHIPPED
from superposition.llm.sums import SUMS, seal
from tests.oracles import tiny_lm
from tests.support.mutations import mutations
from tests.support.processes import SECONDS

TEXT = "the waves came in שלום 2 + 3"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tiny_lm.write_model(tmp_path_factory.mktemp("lm") / "model")
    (path / "README.md").write_text("a card")
    seal(path)
    return path


def held(folder):
    lm = LanguageModel.from_hf(folder)
    params = {name: np.asarray(value).tobytes() for name, value in lm.params.items()}
    return lm.spec, params, lm.tokenizer(TEXT)["input_ids"], lm.tokenizer.all_special_ids


def test_no_mutation_goes_unseen(tmp_path, folder):
    path = tmp_path / "model"
    shutil.copytree(folder, path)
    whole, unseen, seen = held(path), [], 0
    files = {name: (path / name).read_bytes() for name in sorted(os.listdir(path))}
    assert set(files) == {
        "README.md",
        SUMS,
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    for what, name, data in mutations(files, np.random.default_rng(0)):
        (path / name).unlink()
        if data is not None:
            (path / name).write_bytes(data)
        try:
            if held(path) != whole:
                unseen.append(what)
        except CorruptError as error:
            seen += 1
            unseen += [f"{what}: {error}"] if "\n" in str(error) else []
        (path / name).write_bytes(files[name])
    assert unseen == []
    assert seen > 200
    assert held(path) == whole


def test_a_change_that_is_meant_is_sealed_anew_or_unsealed(tmp_path, folder):
    path = tmp_path / "model"
    shutil.copytree(folder, path)
    config = path / "config.json"
    config.write_text(config.read_text().replace('"gelu_new"', '"relu"'))
    with pytest.raises(CorruptError, match=rf"config.json is not as it was written, .* delete {path / SUMS}"):
        LanguageModel.from_hf(path)
    seal(path)
    assert LanguageModel.from_hf(path).spec.activation == "relu"
    config.write_text(config.read_text().replace('"relu"', '"silu"'))
    (path / SUMS).unlink()  # as a folder that was written before
    assert LanguageModel.from_hf(path).spec.activation == "silu"


@pytest.mark.parametrize("name", SHIPPED)
def test_the_models_that_ship_have_digests_of_all_that_is_read(name):
    listed = {line.split("  ")[1] for line in (SHIPPED[name] / SUMS).read_text().splitlines()}
    assert listed == {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    LanguageModel.from_hf(name)


def test_the_digests_are_those_of_sha256sum(folder):
    if shutil.which("sha256sum") is None:
        pytest.skip("sha256sum is not installed")
    subprocess.run(
        ["sha256sum", "--check", "--strict", SUMS],
        cwd=folder,
        check=True,
        capture_output=True,
        timeout=SECONDS,
    )


@pytest.mark.filterwarnings("ignore")
def test_transformers_reads_the_folder(folder):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, tokenizer = (
        AutoModelForCausalLM.from_pretrained(folder).eval(),
        AutoTokenizer.from_pretrained(folder),
    )
    ids = tokenizer(TEXT, return_tensors="pt")["input_ids"][:, :32]
    with torch.no_grad():
        theirs = model(ids).logits.numpy()
    assert np.allclose(theirs, np.asarray(LanguageModel.from_hf(folder)(ids.numpy())), atol=1e-4)


def test_what_transformers_writes_of_it_has_no_digests_of_ours(tmp_path, folder):
    pytest.importorskip("torch", reason="torch is not installed")
    from transformers import AutoModelForCausalLM

    AutoModelForCausalLM.from_pretrained(folder).save_pretrained(tmp_path)
    assert not (tmp_path / SUMS).exists()
    LanguageModel.from_hf(tmp_path)
