"""`superposition llm`: training, measuring, caching and generating on a language model, and what bad input does."""

import json
import signal
import sys

import jax
import numpy as np
import pytest

from superposition import metrics
from superposition._internal import memory
from superposition.activations.cache import Cache
from superposition.cli import main
from superposition.cli.llm import activations, text
from superposition.cli.llm.config import ModelConfig, TextConfig
from superposition.cli.llm.data import placed
from superposition.cli.llm.evaluation import decoder_norms
from superposition.cli.sae import training
from superposition.cli.sae.report import visible
from superposition.errors import ConfigError
from superposition.interventions import Attached, ablations, evaluate
from superposition.llm import SMALL_LM, LanguageModel
from superposition.llm.packing import RanDryError
from superposition.storage import formats
from tests.cli.test_sae import digests
from tests.oracles import tiny_lm
from tests.support.processes import python

POST = "blocks.0.mlp.hook_post"
TINY = ["--steps", "30", "--batch-size", "32", "--d-sae", "32", "--k", "4", "--examples", "500"]


def run(*arguments, capsys):
    status = main.main(["llm", *(str(a) for a in arguments)])
    out, err = capsys.readouterr()
    bars = ("training", "capturing")
    return status, out, "\n".join(line for line in err.splitlines() if line and not line.startswith(bars))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_lm.write_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def lm(model):
    return LanguageModel.from_hf(model)


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    return tiny_lm.write_texts(tmp_path_factory.mktemp("texts"))


@pytest.fixture(scope="module")
def trained(model, texts, tmp_path_factory):
    """Two SAEs on one stream, well trained."""
    out = tmp_path_factory.mktemp("runs") / "grid"
    options = [
        "--steps",
        "400",
        "--batch-size",
        "64",
        "--d-sae",
        "48",
        "--k",
        "2",
        "6",
        "--examples",
        "99999",
    ]
    arguments = ["train-sae", "--model", model, "--text", texts, *options, "--learning-rate", "0.003"]
    assert main.main(["llm", *map(str, arguments), "--out", str(out)]) == 0
    return out, arguments


def tokens_of(lm, **options):
    config = TextConfig(**options)
    text.check_text(config)
    return text.read_tokens(config, lm)


@pytest.mark.parametrize("command", ["train-sae", "eval-sae", "activations", "generate"])
def test_help_does_not_import_jax(command):
    code = (
        "import sys\nfrom superposition.cli import main as cli\n"
        f"try:\n    cli.main(['llm', '{command}', '--help'])\nexcept SystemExit as stop:\n    assert not stop.code\n"
        "heavy = {'jax', 'flax', 'transformers', 'xarray', 'matplotlib', 'optax', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = python("-c", code)
    assert done.returncode == 0, done.stderr
    assert "--model" in done.stdout


def test_the_default_model_is_the_one_that_ships():
    assert ModelConfig().model == SMALL_LM


# --- train-sae


def test_train_writes_sae_directories_that_say_where_they_belong(trained, model, texts, lm):
    out, _ = trained
    results = json.loads((out / "results.json").read_text())
    assert [record["name"] for record in results["records"]] == ["k=2,seed=0", "k=6,seed=0"]
    assert not out.with_name("grid.partial").exists()
    assert not (out / "tokens.npz").exists()
    tokens = tokens_of(lm, text=(texts,))
    x = np.asarray(lm.run_with_cache(tokens.tokens, [POST])[1][POST])[tokens.usable]
    for record in results["records"]:
        loaded = formats.load(out / record["name"])
        about = loaded.metadata
        assert (about["hook_name"], about["model_name"]) == (POST, str(model))
        assert (about["context_size"], about["prepend_bos"], about["exclude_special_tokens"]) == (
            32,
            True,
            True,
        )
        data = about["superposition"]["data"]
        assert data["sources"] == sorted(tiny_lm.TEXTS)
        assert (data["usable"], data["rows"]) == (len(x), len(tokens.tokens))
        # Independently, over every usable token once.
        latents, x_hat = (np.asarray(a) for a in loaded.sae.reconstruct(loaded.params, x))
        assert metrics.fvu(x, x_hat) == pytest.approx(record["metrics"]["fvu"], rel=0.1)
        assert metrics.l0(latents) == pytest.approx(record["settings"]["k"], abs=0.01)
        assert record["metrics"]["examples"] == len(x)
        assert record["metrics"]["fvu"] < 0.6
    history = json.loads((out / "history.json").read_text())
    assert history["k=6,seed=0"]["fvu"][-1] < 0.5 * history["k=6,seed=0"]["fvu"][0]


def test_the_bar_counts_tokens(trained, capsys):
    with training.progress(10, 64, "tokens") as advance:
        advance(2)
        advance(8)
    assert "tokens/s" in capsys.readouterr().err


def test_resume_returns_a_finished_run_and_refuses_another(trained, texts, capsys, tmp_path):
    out, arguments = trained
    before = digests(out)
    status, printed, errors = run(*arguments, "--out", out, "--resume", capsys=capsys)
    assert status == 0, errors
    assert "sae show" in printed
    (tmp_path / "other.txt").write_text("something else altogether. " * 50)
    for change, said in (
        (["--hook", "hook_embed"], "hook"),
        (["--text", tmp_path], "data.text"),
        (["--mixing", "3"], "mixing"),
        (["--data-seed", "1"], "data_seed"),
    ):
        status, _, errors = run(*arguments, *change, "--out", out, "--resume", capsys=capsys)
        assert (status, said in errors, errors.count("\n")) == (2, True, 0), errors
    status, _, errors = run(*arguments, "--out", out, capsys=capsys)
    assert (status, "--resume" in errors) == (2, True)
    assert digests(out) == before


def test_an_interrupted_run_goes_on_with_the_same_tokens_bit_for_bit(
    model, tmp_path, capsys, interrupted_in_third
):
    own = tiny_lm.write_texts(tmp_path / "texts")
    arguments = ["train-sae", "--model", model, "--text", own, *TINY, "--steps", "80", "--mixing", "3"]
    whole, out, again = tmp_path / "whole", tmp_path / "a", ["--out", tmp_path / "a", "--resume"]
    assert run(*arguments, "--out", whole, capsys=capsys)[0] == 0
    starts = interrupted_in_third(signal.SIGINT)
    status, _, errors = run(*arguments, "--out", out, capsys=capsys)
    assert (status, "--resume" in errors, errors.count("\n")) == (130, True, 0)
    assert not out.exists()

    other = tiny_lm.write_texts(tmp_path / "others")
    status, _, errors = run(*arguments, "--text", other, *again, capsys=capsys)
    assert (status, "data.text" in errors) == (2, True), errors
    changed = tiny_lm.write_model(tmp_path / "tiny", seed=1)
    status, _, errors = run(*arguments, "--model", changed, *again, capsys=capsys)
    assert (status, "model_sha256" in errors) == (2, True), errors
    kept = tmp_path / "a.partial" / "tokens.npz"
    good = kept.read_bytes()
    kept.write_bytes(good[:500] + bytes([good[500] ^ 1]) + good[501:])
    status, _, errors = run(*arguments, *again, capsys=capsys)
    assert (status, "tokens.npz is damaged" in errors, errors.count("\n")) == (1, True, 0), errors
    kept.write_bytes(good)

    (own / "sea.txt").write_text("a dataset may give something else by now. " * 99)
    begun = len(starts)
    status, _, errors = run(*arguments, *again, capsys=capsys)
    assert status == 0, errors
    assert starts[begun] > 0  # from the checkpoint
    assert digests(out) == digests(whole)
    for file in ("results.json", "history.json"):
        assert (out / file).read_bytes() == (whole / file).read_bytes()
    assert not (tmp_path / "a.partial").exists()


def test_a_transcoder_and_heads_say_their_hooks(model, texts, tmp_path, capsys):
    ends = ["--hook", "blocks.0.ln2.hook_normalized", "--target-hook", "blocks.0.hook_mlp_out", "--skip"]
    arguments = ["train-sae", "--model", model, "--text", texts, *TINY]
    status, _, errors = run(*arguments, *ends, "--out", tmp_path / "t", capsys=capsys)
    assert status == 0, errors
    loaded = formats.load(tmp_path / "t" / "seed=0")
    assert (loaded.sae.d_in, loaded.sae.d_out, loaded.sae.skip) == (16, 16, True)
    assert loaded.metadata["hook_name"] == "blocks.0.ln2.hook_normalized"
    assert loaded.metadata["hook_name_out"] == "blocks.0.hook_mlp_out"
    status, _, errors = run("eval-sae", tmp_path / "t", "--model", model, "--text", texts, capsys=capsys)
    assert (status, "transcoder" in errors, errors.count("\n")) == (2, True, 0)
    place = {"model_name": "m"}
    z = {"model_name": "m", "hook_name": "blocks.0.attn.hook_z", "reshape_activations": "hook_z"}
    assert placed(place, "blocks.0.attn.hook_z", None) == z


def test_all_positions_when_asked(lm, texts):
    plain, every = (tokens_of(lm, text=(texts,), keep_bos=keep) for keep in (False, True))
    assert every.usable.all()
    assert not plain.usable[:, 0].any()
    assert plain.usable.sum() < every.usable.sum()


def test_max_tokens_is_a_random_part_of_files_and_the_beginning_of_rows(lm, texts, tmp_path):
    whole = tokens_of(lm, text=(texts,))
    part = tokens_of(lm, text=(texts,), max_tokens=32 * 40 + 5)
    assert part.tokens.shape == (40, 32)
    assert set(part.source) == {0, 1, 2}
    assert {row.tobytes() for row in part.tokens} < {row.tobytes() for row in whole.tokens}
    other = tokens_of(lm, text=(texts,), max_tokens=32 * 40, data_seed=1)
    assert (other.tokens != part.tokens).any()
    np.save(tmp_path / "ids.npy", whole.tokens)
    first = tokens_of(lm, tokens=tmp_path / "ids.npy", max_tokens=96)
    np.testing.assert_array_equal(first.tokens, whole.tokens[:3])
    np.testing.assert_array_equal(first.usable, whole.usable[:3])


def test_demonstration_text_leaves_out_what_fills_no_row(lm):
    tokens = tokens_of(lm, data_seed=3)
    assert {"json", "hebrew", "dna"} <= set(tokens.sources)
    few = text._demonstration(lm, 3000, 0)
    assert 0 < len(few.sources) < len(tokens.sources)
    with pytest.raises(ConfigError, match=r"fills a row of ctx = 10000000; give a smaller --ctx, or --text"):
        text._demonstration(lm, 10**7, 0)


# --- eval-sae


def test_eval_measures_every_sae_where_it_was_trained(trained, model, texts, lm, tmp_path, capsys):
    out, _ = trained
    file = tmp_path / "numbers.json"
    where = ["--model", model, "--text", texts]
    status, printed, errors = run("eval-sae", out, *where, "--json", file, capsys=capsys)
    assert status == 0, errors
    assert "recovered" in printed
    assert "שלום" in printed
    result = json.loads(file.read_text())
    tokens = tokens_of(lm, text=(texts,))
    floor = ablations(lm, POST, tokens)
    assert [one["name"] for one in result["saes"]] == ["k=2,seed=0", "k=6,seed=0"]
    for one in result["saes"]:
        loaded = formats.load(out / one["name"])
        measured = evaluate(Attached(lm, POST, loaded.sae, loaded.params), tokens, floor)
        norms = np.linalg.norm(np.asarray(loaded.params["W_dec"]), axis=1)
        expected = {k: v if np.isfinite(v) else None for k, v in measured.numbers.items()}
        assert one["metrics"] == pytest.approx(expected | {"decoder_norm": np.median(norms)})
        assert one["hook"] == POST
        assert set(one["by_source"]) == set(tiny_lm.TEXTS)
        assert sum(s["tokens"] for s in one["by_source"].values()) == one["metrics"]["tokens"]
        histogram = one["log10_density"]
        assert sum(histogram["counts"]) + histogram["dead"] == 48
        assert (one["decoder_norms"]["min"], one["decoder_norms"]["max"]) == pytest.approx(
            (norms.min(), norms.max())
        )
        assert sum(one["decoder_norms"]["counts"]) == 48
    few, many = result["saes"]
    assert many["metrics"]["fvu"] < few["metrics"]["fvu"]
    assert many["metrics"]["kl"] < few["metrics"]["kl"]
    status, _, errors = run("eval-sae", out, *where, "--json", file, capsys=capsys)
    assert (status, "--overwrite" in errors) == (2, True)


def test_which_hook_an_sae_is_for(trained, model, texts, tmp_path, capsys):
    out, _ = trained
    where = ["--model", model, "--text", texts, "--max-tokens", "320"]
    status, _, errors = run("eval-sae", out, *where, "--hook", "mlp.hook_pre", capsys=capsys)
    assert (status, f"is for the hook point {POST}; leave --hook mlp.hook_pre out" in errors) == (2, True)
    assert run("eval-sae", out / "k=2,seed=0", *where, "--hook", "mlp.hook_post", capsys=capsys)[0] == 0
    bare = tmp_path / "bare"
    loaded = formats.load(out / "k=2,seed=0")
    formats.save(bare, loaded.sae, loaded.params)
    status, _, errors = run("eval-sae", bare, *where, capsys=capsys)
    assert (status, "give --hook" in errors, str(bare) in errors) == (2, True, True)
    assert run("eval-sae", bare, *where, "--hook", "mlp.hook_pre", capsys=capsys)[0] == 0
    status, _, errors = run("eval-sae", bare, *where, "--hook", "hook_embed", capsys=capsys)
    assert (status, errors.count("\n")) == (2, 0)
    assert "reads 24 numbers, hook_embed has 16; hook points of that width: blocks.0.mlp.hook_pre" in errors
    formats.save(tmp_path / "odd", loaded.sae, loaded.params, {"hook_name": "blocks.7.hook_resid_pre"})
    status, _, errors = run("eval-sae", tmp_path / "odd", *where, capsys=capsys)
    assert (status, "no hook point named 'blocks.7.hook_resid_pre'" in errors) == (2, True)
    status, _, errors = run("eval-sae", *where, capsys=capsys)
    assert (status, "at least one SAE" in errors) == (2, True)


def test_decoder_norms():
    norms = decoder_norms(np.array([[3.0, 4.0], [0.0, 1.0], [0.0, 2.0]], np.float32))
    assert (norms["min"], norms["median"], norms["max"]) == (1, 2, 5)
    counts, edges = np.array(norms["counts"]), np.array(norms["edges"])
    assert counts.sum() == 3
    assert (edges[0], edges[-1]) == (0, 5)
    assert counts[-1] == counts[np.searchsorted(edges, 1.0, "right") - 1] == 1
    assert sum(decoder_norms(np.zeros((4, 2)))["counts"]) == 4


# --- activations

BOTH = ["--hook", "mlp.hook_post", "attn.hook_z"]


@pytest.fixture(scope="module")
def cached(model, texts, tmp_path_factory):
    out = tmp_path_factory.mktemp("caches") / "both"
    assert (
        main.main(["llm", *map(str, ["activations", "--model", model, "--text", texts, *BOTH, "--out", out])])
        == 0
    )
    return out


def files_of(directory):
    return {p.name: p.read_bytes() for p in directory.iterdir() if p.name != "lock"}


def test_a_cache_holds_what_the_model_gives_at_every_usable_token(cached, model, texts, lm, capsys):
    cache, tokens = Cache(cached), tokens_of(lm, text=(texts,))
    assert cache.hooks == {POST: 24, "blocks.0.attn.hook_z": 16}
    seen = lm.run_with_cache(tokens.tokens, list(cache.hooks))[1]
    for hook in cache.hooks:
        rows = cache.rows(hook)
        expected = np.asarray(seen[hook]).reshape(*tokens.tokens.shape, -1)[tokens.usable]
        np.testing.assert_allclose(rows.read(np.arange(len(rows))), expected, atol=1e-5)
    np.testing.assert_array_equal(cache.places(), np.nonzero(tokens.usable))
    np.testing.assert_array_equal(cache.tokens(), tokens.tokens)
    before = files_of(cached)
    arguments = ["activations", "--model", model, "--text", texts, *BOTH, "--out", cached]
    status, _, errors = run(*arguments, capsys=capsys)
    assert (status, "--resume" in errors) == (2, True)
    status, printed, errors = run(*arguments, "--resume", capsys=capsys)
    assert status == 0, errors
    assert "3317 tokens" in printed
    status, _, errors = run(*arguments, "--resume", "--ctx", "16", capsys=capsys)
    assert (status, "about.ctx is 32 there and 16 here" in errors) == (2, True)
    assert files_of(cached) == before


def test_an_interrupted_cache_goes_on_to_the_byte(model, texts, tmp_path, capsys, monkeypatch, interrupt):
    monkeypatch.setattr(activations, "SHARD_BYTES", 1)  # 1024 rows, of 3317
    monkeypatch.setattr(activations, "CELLS", 32 * 64 * 10)  # ten rows at a time, of 107
    arguments = ["activations", "--model", model, "--text", texts, *BOTH]
    assert run(*arguments, "--out", tmp_path / "whole", capsys=capsys)[0] == 0
    begun, real = [], LanguageModel.run_with_cache

    def stop_in_fifth(*args, **kwargs):
        begun.append(1)
        if len(begun) == 5:
            interrupt(signal.SIGINT)
        return real(*args, **kwargs)

    monkeypatch.setattr(LanguageModel, "run_with_cache", stop_in_fifth)
    status, _, errors = run(*arguments, "--out", tmp_path / "a", capsys=capsys)
    assert (status, "--resume" in errors, errors.count("\n")) == (130, True, 0)
    assert len(Cache(tmp_path / "a").rows(POST)) == 1024
    whole = len(begun)
    status, _, errors = run(*arguments, "--out", tmp_path / "a", "--resume", capsys=capsys)
    assert status == 0, errors
    assert 0 < len(begun) - whole < 10  # not from the beginning: 11 or so in all
    assert files_of(tmp_path / "a") == files_of(tmp_path / "whole")


def test_text_that_runs_dry_leaves_a_finished_cache(model, texts, tmp_path, capsys):
    arguments = [
        "activations",
        "--model",
        model,
        "--text",
        texts,
        "--max-tokens",
        "9999",
        "--out",
        tmp_path / "a",
    ]
    status, printed, errors = run(*arguments, capsys=capsys)
    assert (status, printed, errors.count("\n")) == (2, "", 0)
    assert "runs dry after 3,424 tokens, --max-tokens asks for 9,999; give --max-tokens 3424" in errors
    assert "a holds the activations of what there is" in errors
    assert len(Cache(tmp_path / "a").rows(POST)) == 3317


def test_train_on_a_cache(cached, model, tmp_path, capsys):
    arguments = ["train-sae", "--cache", cached, *TINY]
    status, _, errors = run(*arguments, "--hook", "mlp.hook_post", "--out", tmp_path / "a", capsys=capsys)
    assert status == 0, errors
    loaded = formats.load(tmp_path / "a" / "seed=0")
    assert (loaded.sae.d_in, loaded.metadata["hook_name"], loaded.metadata["context_size"]) == (24, POST, 32)
    assert loaded.metadata["model_name"] == str(model)
    assert loaded.metadata["superposition"]["metrics"]["fvu"] < 1
    for options, said in (
        ([], "choose one with --hook"),
        (["--hook", "hook_embed"], "no hook 'hook_embed'; it holds"),
        (["--hook", POST, "--model", "x"], "leave --model out"),
        (["--hook", POST, "--ctx", "8"], "leave --ctx out"),
        (["--hook", POST, "--mixing", "1000000", "--memory-gb", "3"], "give a smaller --mixing"),
        (["--cache", tmp_path], "no cache of activations here"),
    ):
        one_line(*run(*arguments, *options, "--out", tmp_path / "b", capsys=capsys), said)
    assert not list(tmp_path.glob("b*"))


# --- generate


def test_generate_goes_on_as_the_model_does(model, lm, capsys):
    prompts = ["the waves", "3 + 4 =", ""]
    arguments = ["generate", "--model", model, "--n", "9"]
    status, printed, errors = run(*arguments, "--temperature", "0", "--prompt", *prompts, capsys=capsys)
    assert status == 0, errors
    expected = []
    for prompt in prompts:
        ids = [0, *lm.tokenizer(prompt, add_special_tokens=False)["input_ids"]] if prompt else [0]
        row = lm.generate(np.array([ids]), 9)[0].tolist()
        row = row[: row.index(0)] if 0 in row else row
        expected.append(visible(prompt + lm.tokenizer.decode(row)))
    assert printed == "\n---\n".join(expected) + "\n"
    draws = [
        run(*arguments, "--prompt", "the", "--seed", seed, "--temperature", "1", capsys=capsys)[1]
        for seed in (0, 0, 1)
    ]
    assert draws[0] == draws[1] != draws[2]


def test_a_continuation_ends_where_the_model_ends_its_text(model, monkeypatch, capsys):
    ids = LanguageModel.from_hf(model).tokenizer("sand", add_special_tokens=False)["input_ids"]

    def ended(self, tokens, n, **options):
        (end,) = options["end"]
        return np.array([[*ids, end, end]])

    monkeypatch.setattr(LanguageModel, "generate", ended)
    assert run("generate", "--model", model, "--prompt", "the ", capsys=capsys)[1] == "the sand\n"


def test_a_terminal_only_shows_what_a_model_writes(monkeypatch):
    assert visible("a\x1b[31mb\r\x07\u202ec\u2028") == "a\\x1b[31mb\\r\\x07\\u202ec\\u2028"
    assert visible("two\nlines שלום क्‍ष 水") == "two\nlines שלום क्‍ष 水"

    class Ascii:
        encoding = "ascii"

    monkeypatch.setattr(sys, "stdout", Ascii())
    assert visible("שa") == "\\u05e9a"


# --- bad input: one line, nothing left behind


def one_line(status, printed, errors, said, expected=2):
    assert status == expected, errors
    assert said in errors
    assert errors.startswith("superposition: error: ")
    assert errors.count("\n") == 0
    assert printed == ""


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

    monkeypatch.setattr(training, "fit_grid", fit)
    arguments = ["train-sae", "--model", model, "--text", texts, *TINY, "--out", tmp_path / "out"]
    status, printed, errors = run(*arguments, capsys=capsys)
    one_line(status, printed, errors, "give a smaller --batch-size, --mixing or --ctx; --resume", 1)


def test_other_errors_are_not_about_memory():
    def fail():
        raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"), memory.enough_memory("no"):
        fail()
