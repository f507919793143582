"""Padding is no data: no token sees it, no position counts it, nothing is trained or measured on it."""

import json

import jax
import numpy as np
import pytest

from superposition.activations.cache import Cache
from superposition.cli import main
from superposition.interventions import Attached, ablations, activations_of, dose_response, evaluate, firing
from superposition.llm import LanguageModel
from superposition.llm.packing import concatenate, token_array
from superposition.llm.stream import lm_stream
from superposition.pages.llm.activations import Activations
from superposition.pages.llm.effects import Effects, decoder_rows
from superposition.sae import TopK
from superposition.storage import formats
from tests.oracles.sae_cases import params_of
from tests.oracles.tokenizer_kinds import byte_level, write_model

BOS, EOS, UNK, PAD = range(4)
HOOK = "blocks.1.hook_resid_post"


@pytest.fixture(scope="module")
def lm(tmp_path_factory):
    return LanguageModel.from_hf(write_model(tmp_path_factory.mktemp("m"), byte_level(), puts_bos=True))


@pytest.fixture(scope="module")
def sae():
    recipe = TopK(d_in=16, d_sae=8, k=2)
    return recipe, params_of(recipe)


def rows(n=24, length=9, seed=0):
    ids = np.random.default_rng(seed).integers(10, 300, (n, length))
    ids[:, 0] = BOS
    return ids


def padded(ids, left, right=0):
    return np.pad(ids, ((0, 0), (left, right)), constant_values=PAD)


def tokens(lm, ids):
    return token_array(ids, vocab=lm.spec.d_vocab, facts=lm.token_facts)


def test_padding_and_bos_are_not_usable(lm):
    found = tokens(lm, np.array([[3, 3, 3, 0, 20, 21, 22, 23], [0, 20, 21, 22, 3, 3, 3, 3]]))
    np.testing.assert_array_equal(found.usable, [[0, 0, 0, 0, 1, 1, 1, 1], [0, 1, 1, 1, 0, 0, 0, 0]])
    np.testing.assert_array_equal(found.valid, [[0, 0, 0, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0, 0, 0]])
    np.testing.assert_array_equal(found.every().usable, found.valid)
    other = tokens(lm, np.array([[3, 3, 20, 21, 22]]))  # the first token of a row, wherever it stands
    np.testing.assert_array_equal(other.usable, [[0, 0, 0, 1, 1]])
    np.testing.assert_array_equal(other.scored, [[0, 0, 1, 1]])
    np.testing.assert_array_equal(concatenate([found, tokens(lm, rows(2, 8))]).valid[2:], True)


@pytest.mark.parametrize(("left", "right"), [(3, 0), (0, 4), (2, 2)])
def test_activations_are_those_of_rows_without_padding(lm, left, right):
    ids = rows()
    wanted = np.asarray(lm.run_with_cache(ids, [HOOK])[1][HOOK])[:, 1:].reshape(-1, 16)
    found = tokens(lm, padded(ids, left, right))
    assert found.usable.sum() == len(wanted)
    np.testing.assert_allclose(Activations(lm, HOOK, found)._x(slice(0, 24), 24), wanted, atol=2e-4)
    stream = lm_stream(jax.random.key(0), lm, found, HOOK, mixing=0)
    batch = np.asarray(stream.sample(64, batch=64)[0])
    distance = np.abs(batch[:, None] - wanted[None]).max(-1).min(1)
    assert distance.max() < 2e-4 < np.abs(wanted).max() / 100


def test_measurements_are_those_of_rows_without_padding(lm, sae):
    plain = tokens(lm, rows())
    with_padding = tokens(lm, padded(rows(), 3, 2))

    def numbers(of):
        measured = evaluate(Attached(lm, HOOK, *sae), of, ablations(lm, HOOK, of))
        dose = dose_response(Attached(lm, HOOK, *sae), of, 1, [0.0, 2.0], [[20, 21]])
        return [*measured.numbers.values(), *measured.densities, *firing(Attached(lm, HOOK, *sae), of).mean,
                *dose.kl.mean, *dose.log_probability.mean.ravel()]  # fmt: skip

    np.testing.assert_allclose(numbers(with_padding), numbers(plain), rtol=2e-3, atol=2e-3)
    a, b = (activations_of(Attached(lm, HOOK, *sae), of, [1, 2]) for of in (plain, with_padding))
    np.testing.assert_allclose(a, b, atol=2e-3)


def test_effects_on_pages_are_those_of_rows_without_padding(lm, sae):
    recipe, params = sae
    effects = Effects(lm, "blocks.0.hook_resid_post", recipe, decoder_rows(recipe, params, np.arange(8)))
    values = np.abs(np.random.default_rng(1).normal(size=(2, 9)))
    values[:, 0] = 0
    shown = np.array([[2, 3, 8], [4, 5, 6]])
    found = []
    for left in (0, 3):
        clean = effects.clean(tokens(lm, padded(rows(2), left)), 0, 2, 2)
        moved = np.pad(values, ((0, 0), (left, 0)))
        r, c = np.nonzero(moved[:, : left + 8])
        found.append(effects.full(clean, np.arange(2), np.array([1, 2]), moved, shown + left))
        found.append(effects.direct(clean, r, c, r + 1, moved[r, c]))
    assert np.abs(found[0]).max() > 0.01
    np.testing.assert_allclose(found[2], found[0], atol=1e-3)
    np.testing.assert_allclose(found[3], found[1], atol=1e-3)


def test_a_row_cut_in_the_middle_is_scored_on_neither_side(lm):
    found = tokens(lm, np.array([[BOS, 20, 21, PAD, 22, 23]]))
    np.testing.assert_array_equal(found.usable, [[0, 1, 1, 0, 1, 1]])
    np.testing.assert_array_equal(found.scored, [[1, 1, 0, 0, 1]])


def test_commands_leave_padding_out(lm, tmp_path, capsys):
    np.save(tmp_path / "padded.npy", padded(rows(80, 8), 0, 8))
    arguments = ["--model", lm.folder, "--tokens", tmp_path / "padded.npy", "--hook", HOOK]
    train = [
        "--architecture",
        "topk",
        "--k",
        2,
        "--d-sae",
        16,
        "--steps",
        3,
        "--batch-size",
        16,
        "--out",
        tmp_path / "o",
    ]
    for command in (
        ["llm", "activations", *arguments, "--out", tmp_path / "cache"],
        ["llm", "train-sae", *arguments, *train],
    ):
        assert main.main([str(a) for a in command]) == 0, capsys.readouterr().err
    assert Cache(tmp_path / "cache").manifest.rows == 80 * 7
    (folder,) = [path.parent for path in (tmp_path / "o").rglob("cfg.json")]
    about = json.loads((folder / "cfg.json").read_text())["metadata"]
    assert about["superposition"]["data"]["usable"] == 80 * 7
    assert formats.load(folder).metadata["prepend_bos"] is True


@pytest.mark.parity
def test_models_of_torch_are_told_of_padding(tmp_path):
    import torch
    import transformers

    from superposition.llm.torch_source import TorchModel, torch_stream

    torch.manual_seed(0)
    config = transformers.GPT2Config(n_layer=2, n_embd=32, n_head=4, vocab_size=320, n_positions=16)
    theirs = TorchModel(transformers.GPT2LMHeadModel(config).eval())
    ids, name = rows(), "transformer.h.1"
    (wanted,) = theirs.run(ids, (name,))
    valid = padded(ids, 4) != PAD
    (found,) = theirs.run(padded(ids, 4), (name,), valid)
    np.testing.assert_allclose(found[:, 4:], wanted, atol=1e-5)
    facts = LanguageModel.from_hf(write_model(tmp_path, byte_level(), puts_bos=True)).token_facts
    found = token_array(padded(ids, 4), vocab=320, facts=facts)
    x = np.asarray(torch_stream(jax.random.key(0), theirs, found, name, mixing=0).sample(64, batch=64)[0])
    distance = np.abs(x[:, None] - wanted[:, 1:].reshape(1, -1, 32)).max(-1).min(1)
    assert distance.max() < 1e-5
