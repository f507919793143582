"""`superposition llm train-sae`: what it writes, resumes, and reads."""

import json
import signal

import numpy as np
import pytest

from superposition import metrics
from superposition.cli.llm.config import ModelConfig
from superposition.errors import ConfigError
from superposition.llm import SMALL_LM, reading
from superposition.llm.place import placed
from superposition.storage import formats
from superposition.training.progress import terminal
from tests.oracles import tiny_lm
from tests.support.llm_commands import POST, TINY, run, tokens_of
from tests.support.processes import python
from tests.support.sae_commands import digests


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
    with terminal(10, 64, "tokens") as bar:
        bar.advance(2)
        bar.advance(8)
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
    few = reading._demonstration(lm, 3000, 0)
    assert 0 < len(few.sources) < len(tokens.sources)
    with pytest.raises(ConfigError, match=r"fills a row of ctx = 10000000; give a smaller --ctx, or --text"):
        reading._demonstration(lm, 10**7, 0)
