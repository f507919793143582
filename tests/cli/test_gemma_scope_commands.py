"""A Gemma-2 checkpoint with a Gemma Scope SAE goes through every command: a small random one of each, in their layouts."""

import json

import numpy as np
import pytest

from superposition.cli import main
from superposition.cli.features.config import OnSAE
from superposition.cli.llm.config import TextConfig
from superposition.cli.llm.data import read_tokens
from superposition.cli.llm.needs import open_sae
from superposition.interventions import firing, latents_of
from superposition.llm import LanguageModel
from superposition.pages.server.live import answers
from superposition.pages.server.served import read_index
from tests.oracles import tiny_lm, tiny_models
from tests.support.server import post, serving

HOOK, LATENTS, L0, DEAD = "blocks.1.hook_resid_post", 16, 4, 11


def write_tokenizer(folder, size):
    """As Gemma's: BPE over text whose spaces are ▁, bytes for what it lacks, no spaces of its own, BOS before a text.

    Returns its length.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, processors, trainers

    special = ["<pad>", "<bos>", "<eos>", "<unk>"]
    learner = Tokenizer(models.BPE())
    learner.normalizer = normalizers.Replace(" ", "▁")
    trainer = trainers.BpeTrainer(vocab_size=size - 260, show_progress=False, max_token_length=8)
    learner.train_from_iterator(tiny_lm.TEXTS.values(), trainer)
    learned = json.loads(learner.to_str())["model"]
    named = [*special, *(f"<0x{i:02X}>" for i in range(256)), *learned["vocab"]]
    vocab = {token: i for i, token in enumerate(named)}
    merges = [tuple(merge) for merge in learned["merges"]]
    own = Tokenizer(models.BPE(vocab, merges, byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    own.normalizer = normalizers.Replace(" ", "▁")
    own.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    own.add_special_tokens(special)
    own.post_processor = processors.TemplateProcessing("<bos> $A", special_tokens=[("<bos>", 1)])
    own.save(str(folder / "tokenizer.json"))
    about = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        **{f"{n}_token": f"<{n}>" for n in ("bos", "eos", "pad", "unk")},
    }
    (folder / "tokenizer_config.json").write_text(
        json.dumps({**about, "clean_up_tokenization_spaces": False})
    )
    return len(named)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gemma") / "gemma-2-tiny"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny_models, "VOCABULARY", 420)
        tiny_models.write(folder, "gemma2")
    assert write_tokenizer(folder, 420) <= 420
    return folder


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    return tiny_lm.write_texts(tmp_path_factory.mktemp("texts"))


@pytest.fixture(scope="module")
def scope(model, texts, tmp_path_factory):
    """layer_1/width_16/average_l0_4/params.npz: each latent fires on the quarter of the text where it is largest."""
    lm = LanguageModel.from_hf(model)
    random = np.random.default_rng(0)
    W_dec = random.normal(size=(LATENTS, lm.spec.d_model))
    W_dec /= np.linalg.norm(W_dec, axis=1, keepdims=True)
    ids = [
        [lm.spec.bos, *lm.tokenizer(t, add_special_tokens=False)["input_ids"][:60]]
        for t in tiny_lm.TEXTS.values()
    ]
    x = np.concatenate([np.asarray(lm.run_with_cache([row], [HOOK])[1][HOOK])[0, 1:] for row in ids])
    b_dec = x.mean(0)
    pre = (x - b_dec) @ W_dec.T
    threshold = np.quantile(pre, 1 - L0 / LATENTS, axis=0)
    threshold[DEAD] = 1e6
    arrays = {
        "W_enc": W_dec.T, "b_enc": -b_dec @ W_dec.T, "W_dec": W_dec, "b_dec": b_dec, "threshold": np.maximum(threshold, 1e-3),
    }  # fmt: skip
    folder = tmp_path_factory.mktemp("scope") / "layer_1" / "width_16" / "average_l0_4"
    folder.mkdir(parents=True)
    np.savez(folder / "params.npz", **{name: value.astype(np.float32) for name, value in arrays.items()})
    return folder


@pytest.fixture(scope="module")
def shared(model, scope):
    return [str(scope), "--model", str(model), "--hook", HOOK]


def run(*arguments, capsys):
    status = main.main([str(a) for a in arguments])
    out, err = capsys.readouterr()
    assert status == 0, err
    return out


def test_eval_sae(shared, texts, tmp_path, capsys):
    numbers = tmp_path / "n.json"
    run("llm", "eval-sae", *shared, "--text", texts, "--ctx", 32, "--json", numbers, capsys=capsys)
    measured = json.loads(numbers.read_text())["saes"][0]
    assert measured["hook"] == HOOK
    assert measured["metrics"]["l0"] == pytest.approx(L0, abs=1.5)
    assert measured["metrics"]["dead_fraction"] == pytest.approx(1 / LATENTS)
    assert measured["metrics"]["ce_spliced"] != pytest.approx(measured["metrics"]["ce"], abs=1e-3)
    assert set(measured["by_source"]) == set(tiny_lm.TEXTS)


def test_the_hook_point_is_to_be_given(scope, model, capsys):
    status = main.main(["steer", str(scope), "--model", str(model), "--latent", "3", "--prompt", "the"])
    assert status == 2
    assert "give --hook" in capsys.readouterr().err
    status = main.main(
        ["steer", str(scope), "--model", str(model), "--hook", "blocks.1.mlp.hook_post", "--latent", "3"]
    )
    assert status == 2
    assert "64" in capsys.readouterr().err


def test_steer(shared, texts, capsys):
    words = [
        "--latent",
        3,
        "--strength",
        -2,
        0,
        2,
        "--prompt",
        "the waves came",
        "--n",
        6,
        "--text",
        texts,
        "--ctx",
        32,
    ]
    out = run("steer", *shared, *words, capsys=capsys)
    rows = [
        line.split() for line in out.splitlines() if line.split()[:1] and line.split()[0] in ("-2", "0", "2")
    ]
    assert [row[0] for row in rows] == ["-2", "0", "2"]
    assert float(rows[1][1]) == 0
    assert min(float(rows[0][1]), float(rows[2][1])) > 1e-3
    status = main.main(
        [str(a) for a in ("steer", *shared, "--latent", DEAD, "--text", texts, "--ctx", 32, "--prompt", "a")]
    )
    assert status == 2
    assert f"latent {DEAD} never fires" in capsys.readouterr().err


def test_ablate(shared, texts, capsys):
    out = run("ablate", *shared, "--latent", 3, 5, "--prompt", "the waves came in and", capsys=capsys)
    assert "▁" not in out
    assert "rank" in out
    assert "integrated" in out


def test_pages_and_what_they_ask_of_the_server(shared, scope, model, texts, tmp_path, capsys):
    out = tmp_path / "pages"
    said = run("page", *shared, "--text", texts, "--ctx", 32, "--out", out, capsys=capsys)
    assert f"serve {scope} --model {model} --hook {HOOK} --pages {out}" in said
    columns = read_index(out)["columns"]
    assert columns["id"] == list(range(LATENTS))
    assert any(columns["top"])
    attached = open_sae(OnSAE(sae=str(scope), model=str(model), hook=HOOK))
    lm = attached.lm
    tokens = read_tokens(TextConfig(text=(texts,), ctx=32), lm)
    seen = firing(attached, tokens)
    np.testing.assert_allclose(columns["density"], seen.density, rtol=1e-3)
    assert columns["density"][DEAD] == 0
    assert min(np.delete(columns["density"], DEAD)) > 0.05
    maxima = dict(zip(columns["id"], columns["max"], strict=True))
    live = answers(attached, maxima)
    with serving(out, live) as server:
        status, found, _ = post(server, {"text": "the waves 你"}, "/api/activations")
        assert status == 200
        ids = lm.tokenizer("the waves 你", add_special_tokens=False)["input_ids"]
        assert len(found["tokens"]) == len(found["top"]) == len(ids)
        assert "".join(found["tokens"][:-3]) == "the waves "
        assert found["tokens"][-3:] == ["⟨E4⟩", "⟨BD⟩", "你"]
        latents = np.asarray(latents_of(attached, [[lm.spec.bos, *ids]]))[0, 1:]
        assert [{i for i, *_ in top} for top in found["top"]] == [set(np.flatnonzero(row)) for row in latents]
        asked = {
            "prompt": "the waves came",
            "id": 3,
            "strengths": [-2, 0, 2],
            "n": 6,
            "temperature": 0,
            "seed": 0,
        }
        status, found, _ = post(server, asked, "/api/steer")
        assert status == 200
        kls = [row["kl"] for row in found["rows"]]
        assert kls[1] == 0
        assert min(kls[0], kls[2]) > 1e-3
        status, found, _ = post(server, asked | {"id": DEAD}, "/api/steer")
        assert status == 400
        assert f"latent {DEAD} never fired" in found["error"]
