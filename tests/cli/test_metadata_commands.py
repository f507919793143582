"""Metadata of SAEs, as published ones have them, in the commands that run an SAE on a model."""

import json

import numpy as np
import pytest

from superposition.cli import main, settings
from superposition.cli.features.acts import ablate, steer
from superposition.cli.features.config import AblateConfig, OnSAE, PageConfig, SteerConfig
from superposition.cli.features.page import write_pages
from superposition.cli.llm.config import LMEvalConfig
from superposition.cli.llm.needs import open_sae, text_for
from superposition.cli.llm.run import eval_saes
from superposition.errors import ConfigError
from superposition.llm import LanguageModel
from superposition.pages.server.live import answers
from superposition.sae import ReLU
from superposition.storage import formats
from tests.oracles import tiny_lm

D = 16
HOOK = "blocks.1.hook_resid_post"
CENTRED = {"model_from_pretrained_kwargs": {"center_writing_weights": True}}
PROMPT = "the waves came in"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(tiny_lm.write_model(tmp_path_factory.mktemp("lm") / "scratch", layers=2))


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    return (tiny_lm.write_texts(tmp_path_factory.mktemp("texts")) / "sea.txt",)


def exact(path, metadata, hook=HOOK):
    """An SAE that is exact on activations without a mean, as those of a centred model are."""
    eye = np.eye(D, dtype=np.float32)
    out = eye - np.float32(1 / D)
    params = {"W_enc": np.concatenate([eye, -eye], 1), "W_dec": np.concatenate([out, -out]),
              "b_enc": np.zeros(2 * D, np.float32), "b_dec": np.zeros(D, np.float32)}  # fmt: skip
    sae = ReLU(D, 2 * D, apply_b_dec_to_input=False)
    return formats.save(path, sae, params, {"hook_name": hook, **metadata}, overwrite=True)


def measured(saes, model, text, **options):
    config = LMEvalConfig(saes=tuple(saes), model=model, text=text, **options)
    settings.check(config)
    return eval_saes(config)


def test_an_sae_of_a_centred_model_is_measured_on_one(tmp_path, model, text, capsys):
    plain, centred = exact(tmp_path / "plain", {}), exact(tmp_path / "centred", CENTRED)
    result = measured([plain, centred, centred], model, text, ctx=16)
    before, after, again = (one["metrics"] for one in result["saes"])
    assert before["fvu"] > 1e-3  # there is a mean, which this SAE cannot write
    assert after["fvu"] < 1e-10
    assert again["fvu"] == after["fvu"]
    assert after["ce"] == pytest.approx(before["ce"], rel=1e-5)
    assert abs(after["kl"]) < 1e-6
    assert (
        f"note: {centred}: as its metadata say, the model's writing weights are centred"
        in capsys.readouterr().err
    )
    assert result["saes"][0]["data"] != result["saes"][1]["data"]  # by the model's digest


def test_a_config_from_before_version_6_is_obeyed_too(tmp_path, model, text):
    path = exact(tmp_path / "flat", {})
    cfg = {"d_in": D, "d_sae": 2 * D, "dtype": "float32", "hook_point": HOOK, "model_name": "scratch", "lr": 1e-4,
           "hook_point_head_index": None, "apply_b_dec_to_input": False, "activation_fn_str": "relu", **CENTRED}  # fmt: skip
    (path / "cfg.json").write_text(json.dumps(cfg))
    weights = path / "sae_weights.safetensors"
    data = weights.read_bytes()
    weights.write_bytes(data.replace(b'"cfg.json"', b'"cfg.jsom"'))  # as of another program
    assert measured([path], model, text, ctx=16)["saes"][0]["metrics"]["fvu"] < 1e-10
    (path / "cfg.json").write_text(json.dumps(cfg | {"hook_point_head_index": 1}))
    with pytest.raises(ConfigError, match=r"flat: the SAE is for head 1 of blocks.1.hook_resid_post alone"):
        measured([path], model, text, ctx=16)


def test_steering_ablation_pages_and_the_server_run_the_centred_model(tmp_path, model, text):
    path = str(exact(tmp_path / "sae", CENTRED))
    common = {"sae": path, "model": model, "text": text, "ctx": 16}
    attached = open_sae(OnSAE(**common))
    ids = [attached.lm.prompt_ids(PROMPT)]
    x = np.asarray(attached.lm.run_with_cache(ids, [HOOK])[1][HOOK])[0]
    assert np.abs(x.mean(-1)).max() < 1e-4
    latent = int(np.argmax(np.abs(x[-1])))
    latent += D * (x[-1, latent] < 0)
    acts = steer(SteerConfig(**common, latent=latent, strength=(0,), n=2, prompt=PROMPT))["rows"][0][
        "activations"
    ]
    assert acts[len(ids[0]) - 1] == pytest.approx(np.abs(x[-1]).max(), rel=1e-4)
    rows = ablate(AblateConfig(**common, latent=(latent,), prompt=PROMPT, steps=2, top=1))["effects"]
    spliced = next(row for row in rows if row["run"] == "on the SAE's reconstruction")
    assert abs(spliced["kl"]) < 1e-5
    write_pages(PageConfig(**common, out=tmp_path / "pages", latents=(latent,)))
    live = answers(attached, {latent: 1.0}, lambda ids: [str(i) for i in ids])
    top = live["/api/activations"]({"text": PROMPT})["top"][-1]
    assert top[0][1] == pytest.approx(np.abs(x[-1]).max(), rel=1e-3)


def test_a_model_with_rms_norm_is_refused(tmp_path, text, capsys):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    folder = tmp_path / "llama"
    LlamaForCausalLM(LlamaConfig(vocab_size=300, hidden_size=D, intermediate_size=24, num_hidden_layers=2,
                                 num_attention_heads=2, bos_token_id=0, eos_token_id=0)).save_pretrained(folder)  # fmt: skip
    tiny_lm.write_tokenizer(folder)
    path = exact(tmp_path / "sae", CENTRED)
    assert main.main(["llm", "eval-sae", str(path), "--model", str(folder), "--text", str(text[0])]) == 2
    (line,) = [li for li in capsys.readouterr().err.splitlines() if "error" in li]
    assert "center_writing_weights is for models with LayerNorm" in line
    assert str(path) in line


def rows_of(tmp_path, model, text, metadata, **options):
    config = OnSAE(sae=str(exact(tmp_path / "sae", metadata)), model=model, text=text, **options)
    attached = open_sae(config)
    return attached, text_for(config, attached)


def test_rows_are_such_as_the_sae_was_trained_on(tmp_path, model, text, capsys):
    said = {"prepend_bos": False, "context_size": 12, "seqpos_slice": [3, -1], "exclude_special_tokens": True}
    attached, tokens = rows_of(tmp_path, model, text, said)
    assert tokens.tokens.shape[1] == 12
    assert (tokens.tokens[:, 0] != 0).any()  # 0 is BOS
    assert not tokens.usable[:, [0, 1, 2, 11]].any()
    assert tokens.usable[:, 3:11].any(0).all()
    assert attached.lm.prompt_ids(PROMPT) == attached.lm.token_ids(PROMPT)
    noted = capsys.readouterr().err
    assert "rows and prompts begin without BOS" in noted
    assert "positions [3, -1, null] of each row count" in noted


def test_flags_win_and_are_said_to(tmp_path, model, text, capsys):
    said = {"prepend_bos": False, "context_size": 12, "seqpos_slice": [3, -1], "exclude_special_tokens": True}
    attached, tokens = rows_of(tmp_path, model, text, said, ctx=20, bos=True, keep_bos=True)
    assert tokens.tokens.shape[1] == 20
    assert (tokens.tokens[:, 0] == 0).all()
    assert tokens.usable.all()
    noted = capsys.readouterr().err
    for kind, line in (
        ("note", "--bos wins over prepend_bos false in its metadata"),
        ("warning", "--ctx 20 wins over context_size 12 in its metadata: later positions are new to it"),
        (
            "note",
            "--keep-bos wins over seqpos_slice [3, -1, null] and exclude_special_tokens in its metadata",
        ),
    ):
        assert f"{kind}: {attached.name}: {line}\n" in noted


def test_metadata_that_agree_with_the_model_are_not_spoken_of(tmp_path, model, text, capsys):
    said = {"prepend_bos": True, "context_size": 16, "seqpos_slice": [None], "exclude_special_tokens": True,
            "model_name": "scratch", "hook_head_index": None, "model_from_pretrained_kwargs": {}}  # fmt: skip
    _, tokens = rows_of(tmp_path, model, text, said)
    assert tokens.tokens.shape[1] == 16
    assert capsys.readouterr().err == ""


def test_special_tokens_count_where_the_sae_was_trained_on_them(tmp_path, model, text, capsys):
    _, tokens = rows_of(tmp_path, model, text, {"exclude_special_tokens": False, "context_size": 8})
    assert tokens.usable.all()
    assert "special tokens count as text does" in capsys.readouterr().err
    _, tokens = rows_of(
        tmp_path, model, text, {"exclude_special_tokens": False, "context_size": 8}, keep_bos=False
    )
    assert not tokens.usable[:, 0].any()
    assert "--no-keep-bos wins over exclude_special_tokens false in its metadata" in capsys.readouterr().err


def test_rows_of_ids_are_compared_with_what_the_sae_was_trained_on(tmp_path, model, capsys):
    ids = np.arange(1, 41).reshape(2, 20)
    ids[0, 0] = 0
    np.save(tmp_path / "rows.npy", ids)
    said = {"prepend_bos": True, "context_size": 12}
    rows_of(tmp_path, model, (), said, tokens=tmp_path / "rows.npy")
    noted = capsys.readouterr().err
    assert "1 rows of --tokens begin without BOS, and prepend_bos is true in its metadata" in noted
    assert "--tokens, whose rows have 20 tokens, wins over context_size 12" in noted


def test_another_model_is_warned_of_in_one_line(tmp_path, model, text, capsys):
    rows_of(tmp_path, model, text, {"model_name": "meta-llama/Llama-3.1-8B"})
    (line,) = capsys.readouterr().err.splitlines()
    assert (
        line
        == f"warning: {tmp_path / 'sae'}: the SAE is of the model meta-llama/Llama-3.1-8B, and this is {model}"
    )


def test_latents_are_ablated_and_shown_where_the_sae_was_trained(tmp_path, model, text):
    attached, _ = rows_of(tmp_path, model, text, {"seqpos_slice": [3, None], "context_size": 16})
    live = answers(attached, dict.fromkeys(range(2 * D), 1.0), lambda ids: [str(i) for i in ids])
    top = live["/api/activations"]({"text": PROMPT})["top"]
    assert [bool(one) for one in top] == [False, False, *[True] * (len(top) - 2)]  # BOS is position 0
    common = {"sae": attached.name, "model": model, "text": text, "steps": 1, "top": 2}
    few = attached.lm.tokenizer.decode(attached.lm.token_ids(PROMPT)[:2])
    with pytest.raises(
        ConfigError, match=r"the prompt has 3 tokens, and yields no token at the positions \[3, null, null\]"
    ):
        ablate(AblateConfig(**common, prompt=few))


def test_a_hook_point_that_the_model_lacks_is_stood_for_by_the_flag(tmp_path, model, text, capsys):
    path = exact(tmp_path / "sae", {}, hook="blocks.1.hook_mlp_in")
    with pytest.raises(ConfigError, match=r"no hook point named 'blocks.1.hook_mlp_in'.*give --hook"):
        measured([path], model, text, ctx=16)
    assert measured([path], model, text, ctx=16, hook=HOOK)["saes"][0]["hook"] == HOOK
    assert (
        f"--hook {HOOK} stands for the hook point blocks.1.hook_mlp_in of its metadata"
        in capsys.readouterr().err
    )
    known = exact(tmp_path / "known", {})
    with pytest.raises(
        ConfigError, match=f"is for the hook point {HOOK}; leave --hook blocks.0.hook_resid_post out"
    ):
        measured([known], model, text, ctx=16, hook="blocks.0.hook_resid_post")


def test_a_wrong_type_names_the_sae(tmp_path, model, text):
    path = exact(tmp_path / "sae", {"prepend_bos": "yes"})
    with pytest.raises(
        ConfigError, match=rf"{path}: prepend_bos in its metadata must be true or false; got 'yes'"
    ):
        measured([path], model, text, ctx=16)


def test_a_cache_of_the_model_as_it_is_has_no_activations_of_a_centred_one(tmp_path, model, text):
    cache = tmp_path / "acts"
    arguments = ["--model", model, "--text", str(text[0]), "--ctx", "16", "--hook", HOOK, "--out", str(cache)]
    assert main.main(["llm", "activations", *arguments]) == 0
    path = exact(tmp_path / "sae", CENTRED)
    with pytest.raises(
        ConfigError, match="center_writing_weights in its metadata changes activations, and --cache holds"
    ):
        write_pages(PageConfig(sae=str(path), model=model, cache=cache, out=tmp_path / "pages"))


def test_the_sae_that_ships_runs_without_a_word(capsys):
    attached = open_sae(OnSAE())
    assert isinstance(attached.lm, LanguageModel)
    assert capsys.readouterr().err == ""
