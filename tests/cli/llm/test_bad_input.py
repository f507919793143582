"""What `superposition llm` says of bad input: one line, and nothing is left behind."""

import json

import jax
import numpy as np
import pytest

from superposition._internal import memory
from superposition.errors import ConfigError
from superposition.evaluation import sae_directory
from superposition.llm.packing import RanDryError
from tests.oracles import tiny_lm
from tests.support.llm_commands import TINY, one_line, run, tokens_of


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--hook", "blocks.0.mlp.hook_pots"], "did you mean blocks.0.mlp.hook_post"),
        (["--hook", "attn.hook_pattern"], "no activation per token"),
        (["--target-hook", "nothing"], "no hook point named 'nothing'"),
        (["--dataset", "x"], "give one of --text, --dataset, --tokens; got text and dataset"),
        (["--split", "test"], "--split goes with --dataset"),
        (["--ctx", "33"], "at most the model's 32 positions; got 33"),
        (["--ctx", "1"], "ctx must be an integer >= 2"),
        (["--max-tokens", "0"], "max_tokens must be an integer >= 1"),
        (["--max-tokens", "99999"], "--max-tokens asks for 99,999; give --max-tokens 3"),
        (["--data-seed", "-1"], "data_seed"),
        (["--mixing", "-1"], "mixing must be"),
        (
            ["--mixing", "1000000"],
            "takes 3.07 GB; give a smaller --mixing or --batch-size, or --memory-gb 3.07",
        ),
        (["--batch-size", "4000"], "the text has 107: give more text, or a smaller batch_size"),
        (["--dtype", "float16"], "dtype must be one of float32, bfloat16"),
        (["--skip"], "--target-hook"),
        (["--k", "99"], "k must be at most d_sae=32"),
        (["--text", "nowhere.txt"], "no file or folder nowhere.txt"),
        (["--sedes", "3"], "--sedes"),
    ],
)
def test_bad_settings_of_training(model, texts, tmp_path, capsys, options, said):
    arguments = ["train-sae", "--model", model, "--text", texts, *TINY, "--memory-gb", "3", *options]
    one_line(*run(*arguments, "--out", tmp_path / "out", capsys=capsys), said)
    assert not list(tmp_path.iterdir())


def test_bad_text(model, tmp_path, capsys):
    (tmp_path / "latin.txt").write_bytes("café".encode("latin1") * 99)
    (tmp_path / "short.txt").write_text("too short")
    (tmp_path / "binary.txt").write_bytes(b"\0\1\2" * 99)
    np.save(tmp_path / "large.npy", np.full((3, 8), 300))
    np.save(tmp_path / "flat.npy", np.arange(8))
    np.save(tmp_path / "special.npy", np.zeros((3, 8), int))
    np.save(tmp_path / "long.npy", np.ones((3, 40), int))
    cases = [
        ("--text", "latin.txt", "not UTF-8: byte 0xe9 at offset 3"),
        ("--text", "short.txt", "do not fill one row of ctx = 32; use ctx <="),
        ("--text", "binary.txt", "is binary, not text"),
        ("--tokens", "large.npy", "id 300 is outside the vocabulary [0, 300)"),
        ("--tokens", "flat.npy", "tokens must be integers (n_seq, ctx)"),
        ("--tokens", "special.npy", "no usable position"),
        ("--tokens", "long.npy", "rows of 40 tokens exceed the model's 32 positions"),
        ("--tokens", "none.npy", "cannot be read"),
    ]
    for flag, name, said in cases:
        for command in (
            ["train-sae", *TINY, "--out", tmp_path / "out"],
            ["activations", "--out", tmp_path / "out"],
        ):
            one_line(*run(*command, "--model", model, flag, tmp_path / name, capsys=capsys), said)
    tokens = ["--tokens", tmp_path / "large.npy", "--ctx", "8", "--out", tmp_path / "out"]
    one_line(*run("train-sae", "--model", model, *tokens, capsys=capsys), "leave --ctx out")
    assert not list(tmp_path.glob("out*"))


def test_bad_models(model, tmp_path, capsys, monkeypatch):
    import shutil

    from safetensors.numpy import load_file, save_file

    def folder(name, **change):
        shutil.copytree(model, path := tmp_path / name)
        (path / "superposition.sha256").unlink()  # these are not damaged, but of other programs
        config = json.loads((path / "config.json").read_text())
        (path / "config.json").write_text(json.dumps({**config, **change}))
        return path

    tensors = load_file(model / "model.safetensors")
    lacking = {
        n: a for n, a in tensors.items() if n not in ("transformer.wpe.weight", "transformer.h.0.ln_1.bias")
    }
    save_file(
        {**lacking, "transformer.extra": np.zeros(2, np.float32)}, folder("tensors") / "model.safetensors"
    )
    (folder("weights") / "model.safetensors").unlink()
    (folder("config") / "config.json").unlink()
    (folder("tokenizer") / "tokenizer.json").unlink()
    folder("unsupported", model_type="mamba")
    folder("remote", auto_map={"AutoModelForCausalLM": "modeling.Mine"})
    folder("shape", n_embd=20)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    cases = [
        ("config", ["no config.json"]),
        ("weights", ["no weights"]),
        ("tensors", ["missing: wpe.weight", "missing: h.0.ln_1.bias", "surplus: transformer.extra"]),
        ("unsupported", ["gpt2", "gemma3_text", "torch_source"]),
        ("remote", ["auto_map asks for code"]),
        ("shape", ["(20,)"]),
        ("tokenizer", ["no tokenizer"]),
    ]
    for name, words in cases:
        status, printed, errors = run(
            "generate", "--model", tmp_path / name, "--prompt", "a", "--n", 3, capsys=capsys
        )
        assert (status in (1, 2), printed) == (True, "")
        assert errors.startswith("superposition: error: ")
        assert all(said in errors for said in words), errors
    one_line(*run("generate", "--model", "some/where", capsys=capsys), "or give a folder that holds it")
    one_line(*run("generate", "--model", "./nowhere", capsys=capsys), "no such folder")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--n", "32"], "the model has 32 positions; got 2 and 32 to come"),
        (["--n", "0"], "n must be an integer >= 1"),
        (["--temperature", "-1"], "temperature must lie in"),
        (["--top-p", "0"], "top_p must lie in (0, 1]"),
        (["--seed", "-1"], "seed must be"),
        (["--prompt"], "--prompt takes at least one text"),
    ],
)
def test_bad_settings_of_generation(model, capsys, options, said):
    one_line(*run("generate", "--model", model, "--prompt", "t", *options, capsys=capsys), said)


def test_a_model_of_several_layers_needs_a_hook(tmp_path, texts, capsys):
    deep = tiny_lm.write_model(tmp_path / "deep", layers=2)
    arguments = ["train-sae", "--model", deep, "--text", texts, *TINY]
    said = "a model of 2 layers needs --hook, for example blocks.1.hook_resid_post"
    one_line(*run(*arguments, "--out", tmp_path / "out", capsys=capsys), said)
    said = "did you mean blocks.{0..1}.mlp.hook_post"
    one_line(*run(*arguments, "--hook", "mlp.hook_post", "--out", tmp_path / "out", capsys=capsys), said)


@pytest.mark.filterwarnings("default")  # datasets' own
def test_a_dataset_is_read_up_to_max_tokens_and_may_run_dry(lm, tmp_path):
    pytest.importorskip("datasets")
    (tmp_path / "data").mkdir()
    rows = [json.dumps({"text": tiny_lm.TEXTS["sea"], "n": n}) for n in range(5)]
    (tmp_path / "data" / "train.jsonl").write_text("\n".join(rows))
    name = str(tmp_path / "data")
    tokens = tokens_of(lm, dataset=name, max_tokens=640)
    assert (tokens.tokens.shape, tokens.sources) == ((20, 32), (name,))
    with pytest.raises(
        RanDryError, match=r"runs dry after (.*) tokens, --max-tokens asks for 99,999;"
    ) as caught:
        tokens_of(lm, dataset=name, max_tokens=99_999)
    assert len(caught.value.tokens.tokens) > 100
    np.testing.assert_array_equal(caught.value.tokens.tokens[:20], tokens.tokens)
    with pytest.raises(ConfigError, match="needs --max-tokens"):
        tokens_of(lm, dataset=name)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("RESOURCE_EXHAUSTED: while running"),
        jax.errors.JaxRuntimeError(
            "INTERNAL: Error dispatching computation: Out of memory allocating 6144 bytes."
        ),
    ],
    ids=["python", "gpu", "cpu"],
)
def test_too_little_memory_says_what_to_make_smaller(model, texts, tmp_path, capsys, monkeypatch, error):
    def fit(*args, **kwargs):
        raise error

    monkeypatch.setattr(sae_directory, "fit_grid", fit)
    arguments = ["train-sae", "--model", model, "--text", texts, *TINY, "--out", tmp_path / "out"]
    status, printed, errors = run(*arguments, capsys=capsys)
    one_line(status, printed, errors, "give a smaller --batch-size, --mixing or --ctx; --resume", 1)


def test_other_errors_are_not_about_memory():
    def fail():
        raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"), memory.enough_memory("no"):
        fail()
