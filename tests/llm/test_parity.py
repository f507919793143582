"""Our decoder against transformers on torch: tiny random models of every family, saved and read back.

Errors are relative to the largest number of the tensor. The port's mistakes that are easily made (each was, by
somebody) are made here on purpose, and every one must show.
"""

import copy
import dataclasses
import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from superposition.llm import LanguageModel, decoder, hub
from superposition.llm.families import FAMILIES, gpt_neox, parse
from superposition.llm.spec import Rotary
from tests.oracles import tiny_models
from tests.oracles.tiny_models import CASES, TOKENS

pytestmark = pytest.mark.parity
TOLERANCE = 5e-6  # measured: at most 2e-6; 1e-4 would let the exact GELU pass for the tanh form
STEPS = 32
# As initialised; with biases and norms moved, matrices larger; so large that scores reach the softcap; for text.
INITS = {
    "default": {},
    "moved": {"moved": True},
    "x30": {"moved": True, "scale": 30.0},
    "varied": {"moved": True, "scale": 12.0, "varied": True},
}
BOTH = [(case, init) for case in CASES for init in ("default", "moved")] + [("gemma2", "x30")]


@pytest.fixture(scope="module", autouse=True)
def quiet():
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The torch model of a case and its folder, made once."""

    @functools.cache
    def save(case, init="moved"):
        model = tiny_models.make(case, **INITS[init])
        folder = tmp_path_factory.mktemp(case)
        model.save_pretrained(folder)
        return model, folder

    return save


@pytest.fixture(scope="module")
def ours(saved):
    @functools.cache
    def load(case, init="moved", dtype="float32"):
        return LanguageModel.from_hf(saved(case, init)[1], dtype=dtype)

    return load


def theirs(model, tokens=TOKENS, mask=None, positions=None):
    """Logits, and inputs and outputs of every module on the way, by its name."""
    import torch

    inputs, outputs = {}, {}

    def keep(name, module, args, kwargs, out):
        inputs[name] = args[0] if args else kwargs.get("hidden_states")
        outputs[name] = out[0] if isinstance(out, tuple) else out

    handles = [
        module.register_forward_hook(functools.partial(keep, name), with_kwargs=True)
        for name, module in model.named_modules()
        if name
    ]
    given = {"input_ids": tokens, "attention_mask": mask, "position_ids": positions}
    with torch.no_grad():
        out = model(**{k: torch.tensor(np.asarray(v)) for k, v in given.items() if v is not None})
    for handle in handles:
        handle.remove()
    return out.logits.float().numpy(), inputs, outputs


def error(x, expected):
    x, expected = (np.asarray(a, np.float64) for a in (x, expected))
    return np.abs(x - expected).max() / np.abs(expected).max()


def family_of(case):
    return FAMILIES[tiny_models.settings(case)[0]]


def residuals(lm, case, inputs, outputs):
    """Every residual, and every block's parts, by the names of hook points."""
    family, found = family_of(case), {}
    second = (
        "ln_2" if case.startswith(("gpt2", "gpt_neo")) and "neox" not in case else "post_attention_layernorm"
    )
    for i in range(lm.spec.n_layers):
        block, at = family.block.format(i), f"blocks.{i}.hook_resid"
        found[f"{at}_pre"], found[f"{at}_post"] = inputs[block], outputs[block]
        if not lm.spec.parallel:
            found[f"{at}_mid"] = inputs[
                f"{block}.{'pre_feedforward_layernorm' if lm.spec.post_norms else second}"
            ]
        # module paths are names of hook points, whose values are what the modules give
        found |= {name: outputs[name] for name in (block, f"{block}.{family.attn}", f"{block}.{family.mlp}")}
    return found


@pytest.mark.parametrize(("case", "init"), BOTH)
def test_logits_and_every_residual(saved, ours, case, init):
    """Against float64: with large weights transformers' own float32 errs by more than TOLERANCE on some processors."""
    model, lm = saved(case, init)[0], ours(case, init)
    single, (logits, *exact) = theirs(model), theirs(copy.deepcopy(model).double())
    expected, near = residuals(lm, case, *exact), residuals(lm, case, *single[1:])
    ours_logits, seen = lm.run_with_cache(TOKENS, list(expected))
    assert error(ours_logits, logits) < max(TOLERANCE, 2 * error(single[0], logits))
    for name, value in expected.items():
        assert error(seen[name], value) < max(TOLERANCE, 2 * error(near[name], value)), name
    assert (
        len([name for name in expected if "hook_resid" in name])
        == (2 if lm.spec.parallel else 3) * lm.spec.n_layers
    )


def test_the_cases_have_what_hides_mistakes():
    specs = {case: spec for case in CASES for _, spec in [parse_case(case)]}
    length = TOKENS.shape[1]
    assert all(layer.window < length for spec in specs.values() for layer in spec.layers if layer.window)
    assert {spec.family for spec in specs.values() if spec.layers[-1].window or spec.layers[0].window} >= {
        "gpt_neo",
        "mistral",
        "qwen2",
        "gemma2",
        "gemma3",
    }
    assert specs["gemma3_text"].n_layers >= 6
    assert sum(spec.d_head * spec.n_heads != spec.d_model for spec in specs.values()) >= 5
    assert sum(1 < spec.n_kv_heads < spec.n_heads for spec in specs.values()) >= 5


def parse_case(case):
    kind, arguments = tiny_models.settings(case)
    return parse({"model_type": kind, **arguments})


@pytest.mark.parametrize("case", CASES)
def test_a_saved_config_in_either_style(saved, case):
    config = json.loads((saved(case)[1] / "config.json").read_text())
    assert parse(config)[1] == parse_case(case)[1] == parse(tiny_models.old_keys(config))[1]


@pytest.mark.parametrize("kind", FAMILIES)
def test_absent_keys_mean_what_they_mean_to_transformers(kind):
    from transformers import AutoConfig

    full = json.loads(AutoConfig.for_model(kind).to_json_string(use_diff=False))
    assert full.keys() > {"model_type"}
    assert parse({"model_type": kind})[1] == parse(full)[1]


@pytest.mark.parametrize("case", [case for case in CASES if case != "gemma3"])
def test_goldens_are_what_transformers_gives(tmp_path, case):
    tiny_models.write(tmp_path, case)
    golden = json.loads(tiny_models.GOLDENS.read_text())[case]
    logits = tiny_models.logits_by_transformers(tmp_path)
    assert np.abs(logits[tiny_models.SPOTS] - golden["logits"]).max() < 1e-6 * golden["largest"]


def mask_of(side):
    mask = np.ones(TOKENS.shape, int)
    mask[0, :9] = 0  # more than a window
    mask[1, :3] = 0
    return mask if side == "left" else mask[:, ::-1].copy()


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("case", CASES)
def test_padding(saved, ours, case, side):
    mask = mask_of(side)
    positions = np.maximum(np.cumsum(mask, 1) - 1, 0)
    expected, _, outputs = theirs(saved(case)[0], mask=mask, positions=positions)
    last = f"blocks.{ours(case).spec.n_layers - 1}.hook_resid_post"
    logits, seen = ours(case).run_with_cache(TOKENS, [last], mask=mask)
    residual = outputs[family_of(case).block.format(ours(case).spec.n_layers - 1)]
    real = mask.astype(bool)
    assert error(np.asarray(logits)[real], expected[real]) < TOLERANCE
    assert error(np.asarray(seen[last])[real], residual.numpy()[real]) < TOLERANCE
    other = np.where(real, TOKENS, 3 + (TOKENS + 1) % 90)  # what the padding says is of no account
    assert np.array_equal(np.asarray(ours(case)(other, mask=mask))[real], np.asarray(logits)[real])


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("init", ["default", "moved"])
def test_bfloat16_errs_at_most_twice_as_far(saved, ours, case, init):
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

    model, folder = saved(case, init)
    exact = theirs(model)[0]
    cls = AutoModelForImageTextToText if case == "gemma3" else AutoModelForCausalLM
    half = cls.from_pretrained(folder, dtype=torch.bfloat16, attn_implementation="eager").eval()
    lm = ours(case, init, "bfloat16")
    logits = lm(TOKENS)
    assert logits.dtype == jnp.bfloat16
    expected, _, outputs = theirs(half)
    assert error(logits.astype(jnp.float32), exact) <= 2 * error(expected, exact)
    name = next(n for n in outputs if n.endswith(("embed_tokens", "wte", "embed_in")))
    embedded = lm.run_with_cache(TOKENS, ["hook_embed"])[1]["hook_embed"].astype(jnp.float32)
    np.testing.assert_array_equal(embedded, outputs[name].float().numpy())  # with Gemma's scale, to the bit


@pytest.mark.parametrize("case", CASES)
def test_greedy_tokens_with_and_without_cache(saved, ours, case):
    import torch

    model, lm = saved(case, "varied")[0], ours(case, "varied")
    prompt = TOKENS[:, :12]

    def generated(use_cache, mask):
        return model.generate(
            input_ids=torch.tensor(prompt),
            attention_mask=torch.tensor(mask),
            max_new_tokens=STEPS,
            min_new_tokens=STEPS,
            eos_token_id=None,
            do_sample=False,
            use_cache=use_cache,
        )[:, 12:].numpy()

    everyone = np.ones(prompt.shape, int)
    expected = generated(True, everyone)
    assert expected.shape == (2, STEPS)
    np.testing.assert_array_equal(generated(False, everyone), expected)
    np.testing.assert_array_equal(lm.generate(prompt, STEPS), expected)
    row = np.zeros((2, 12 + STEPS), int)  # without a cache: the whole row again for every token
    row[:, :12] = prompt
    for t in range(12, 12 + STEPS):
        mask = np.arange(12 + STEPS)[None] < t
        row[:, t] = np.asarray(lm(row, mask=np.broadcast_to(mask, row.shape)))[:, t - 1].argmax(-1)
    np.testing.assert_array_equal(row[:, 12:], expected)
    left = everyone.copy()
    left[0, :7] = 0
    np.testing.assert_array_equal(lm.generate(prompt, STEPS, mask=left), generated(True, left))
    assert len(np.unique(expected)) >= 10  # no constant, which any model would give


# Mutations: the table of mistakes, and its neighbours. Each takes Spec and parameters and gives others.


def settings(**fields):
    return lambda spec, params, patch: (dataclasses.replace(spec, **fields), params)


def layered(**change):
    """Layers with fields changed, each a function of the Spec and the layer."""

    def mutate(spec, params, patch):
        layers = [
            dataclasses.replace(layer, **{name: new(spec, layer) for name, new in change.items()})
            for layer in spec.layers
        ]
        return dataclasses.replace(spec, layers=tuple(layers)), params

    return mutate


def turned(**change):
    """Layers with their rotary positions changed."""
    return layered(rotary=lambda spec, layer: dataclasses.replace(layer.rotary, **change))


def params_changed(suffix, change):
    def mutate(spec, params, patch):
        return spec, {n: change(spec, p) if n.endswith(suffix) else p for n, p in params.items()}

    return mutate


def interleaved(spec, params, patch):
    """Pairs of neighbours turned instead of the halves (GPT-J)."""

    def rotate(x, positions, rotary):
        angles = positions[..., None] * decoder_frequencies(rotary)
        cos, sin = jnp.cos(angles)[:, :, None], jnp.sin(angles)[:, :, None]
        a, b = x[..., 0 : rotary.dims : 2], x[..., 1 : rotary.dims : 2]
        pairs = jnp.stack([a * cos - b * sin, b * cos + a * sin], -1).reshape(*a.shape[:-1], -1)
        return jnp.concatenate([pairs, x[..., rotary.dims :]], -1)

    patch.setattr(decoder, "rotate", rotate)
    return spec, params


def decoder_frequencies(rotary: Rotary):
    from superposition.llm.rotary import frequencies

    return frequencies(rotary)


def other_final_norm(spec, params, patch):
    normalise = decoder.normalise

    def changed(spec, params, x, tap=decoder.through, name=""):
        spec = dataclasses.replace(spec, norm_eps=1e-6) if name == "ln_final" else spec
        return normalise(spec, params, x, tap, name)

    patch.setattr(decoder, "normalise", changed)
    return spec, params


def tiled(spec, params, patch):
    """Query head h reads key-value head h mod K, not h // (H / K)."""
    order = sorted(range(spec.n_heads), key=lambda head: head % spec.n_kv_heads)

    def reorder(name, p):
        if name.endswith("W_Q"):
            return p.reshape(spec.d_model, spec.n_heads, -1)[:, order].reshape(p.shape)
        return p.reshape(spec.n_heads, -1, spec.d_model)[order].reshape(p.shape)

    return spec, {n: reorder(n, p) if n.endswith(("attn.W_Q", "attn.W_O")) else p for n, p in params.items()}


def contiguous(spec, params, patch):
    """NeoX's fused tensor read as all queries, all keys, all values."""

    def fused(which):  # (..., 3 d), as stored: (head, q k v, d_head)
        parts = [params[f"blocks.{i}.attn.{which}_{n}"] for n in "QKV"]
        split = [p.reshape(*p.shape[:-1], spec.n_heads, spec.d_head) for p in parts]
        return np.stack(split, -2).reshape(*parts[0].shape[:-1], -1)

    changed = dict(params)
    for i in range(spec.n_layers):
        for which in "Wb":
            for n, part in zip("QKV", np.split(fused(which), 3, -1), strict=True):
                changed[f"blocks.{i}.attn.{which}_{n}"] = part
    return spec, changed


def without_qk_norm(spec, params, patch):
    kept = {n: p for n, p in params.items() if "_norm.w" not in n}
    return dataclasses.replace(spec, qk_norm=False), kept


def flipped(spec, params, patch):
    windows = [layer.window for layer in spec.layers][::-1]
    layers = [dataclasses.replace(layer, window=w) for layer, w in zip(spec.layers, windows, strict=True)]
    return dataclasses.replace(spec, layers=tuple(layers)), params


def one_theta(spec, params, patch):
    layers = [dataclasses.replace(layer, rotary=spec.layers[5].rotary) for layer in spec.layers]
    return dataclasses.replace(spec, layers=tuple(layers)), params


def bumped(by):
    return layered(window=lambda spec, layer: layer.window and layer.window + by)


NO_WINDOW = layered(window=lambda spec, layer: None)
ZERO = params_changed(("b_Q", "b_K", "b_V"), lambda spec, p: 0 * p)
MISTAKES = [
    ("gpt2", "exact gelu", settings(activation="gelu")),
    ("gpt2", "eps 1e-6", settings(norm_eps=1e-6)),
    ("gpt2", "c_proj transposed", params_changed("attn.W_O", lambda spec, p: p.T)),
    ("gpt2", "no scale", layered(scale=lambda spec, layer: 1.0)),
    ("gpt2-inverse-layer", "no inverse layer", layered(scale=lambda spec, layer: spec.d_head**-0.5)),
    ("gpt2-inverse-layer", "tanh gelu", settings(activation="gelu_tanh")),
    ("gpt_neo", "scaled", layered(scale=lambda spec, layer: spec.d_head**-0.5)),
    ("gpt_neo", "no window", NO_WINDOW),
    ("gpt_neo", "window + 1", bumped(1)),
    ("gpt_neox", "sequential", settings(parallel=False)),
    ("gpt_neox", "contiguous qkv", contiguous),
    (
        "gpt_neox",
        "whole head turned",
        layered(rotary=lambda s, y: dataclasses.replace(y.rotary, dims=s.d_head)),
    ),
    ("gpt_neox", "interleaved", interleaved),
    ("gpt_neox", "tanh gelu", settings(activation="gelu_tanh")),
    ("gpt_neox", "final eps 1e-6", other_final_norm),
    ("gpt_neox-sequential", "parallel", settings(parallel=True)),
    ("llama", "interleaved", interleaved),
    ("llama", "tiled heads", tiled),
    ("llama", "eps 1e-6", settings(norm_eps=1e-6)),
    ("llama-3", "no llama3 scaling", turned(scaling=())),
    ("mistral", "no window", NO_WINDOW),
    ("mistral", "window + 1", bumped(1)),
    ("mistral", "window - 1", bumped(-1)),
    ("qwen2", "no q, k, v biases", ZERO),
    ("qwen2", "no linear scaling", turned(scaling=())),
    ("qwen2", "window in the wrong layers", flipped),
    ("qwen3", "no q, k norm", without_qk_norm),
    ("qwen3", "scale of d / H", layered(scale=lambda spec, layer: (spec.d_model / spec.n_heads) ** -0.5)),
    ("gemma", "w for 1 + w", settings(norm="rms")),
    ("gemma", "no embedding scale", settings(embed_scale=None)),
    ("gemma", "exact gelu", settings(activation="gelu")),
    ("gemma2", "no attention softcap", settings(attention_softcap=None)),
    ("gemma2", "no final softcap", settings(logit_softcap=None)),
    ("gemma2", "scale of head_dim", layered(scale=lambda spec, layer: spec.d_head**-0.5)),
    ("gemma2", "window in the wrong layers", flipped),
    ("gemma3_text", "one theta", one_theta),
    ("gemma3_text", "no linear scaling", turned(scaling=())),
]


@pytest.mark.parametrize(("case", "mistake", "mutate"), MISTAKES, ids=[f"{c}: {m}" for c, m, _ in MISTAKES])
def test_every_mistake_shows(saved, case, mistake, mutate, monkeypatch):
    found, logits = {}, None
    for init in ["default", "moved"] + (["x30"] if case == "gemma2" else []):
        model, folder = saved(case, init)
        spec, _, params = hub.read(folder, "float32", lambda name, array: array)
        spec, params = mutate(spec, params, monkeypatch)
        logits = logits or traced(spec)
        found[init] = error(logits(params), theirs(model)[0])
    assert max(found.values()) > TOLERANCE, found


def traced(spec):
    """Logits as a function of parameters, traced anew: what was patched takes effect."""
    positions = jnp.arange(TOKENS.shape[1])[None]
    return jax.jit(lambda params: decoder.Decoder(spec, params)(TOKENS, positions)[0])


def test_the_fused_tensor_of_neox_is_per_head():
    fused = np.arange(4 * 3 * 16 * 2).reshape(4 * 3 * 16, 2)
    spec = parse_case("gpt_neox")[1]
    first = [gpt_neox.part(spec, i)(fused)[0, 0] for i in range(3)]
    assert first == [0, 16 * 2, 32 * 2]
