"""Our files in their libraries, theirs in ours: SAELens, dictionary_learning and sparsify themselves compute."""

import json
import os

import jax.numpy as jnp
import numpy as np
import pytest

from superposition.errors import ConfigError
from superposition.sae.transforms import fold_decoder_norm, fold_scale
from superposition.storage import formats
from tests.oracles.peers import peer
from tests.support.formats import D_IN, D_OUT, D_SAE, OTHERS, SAELENS, close, inputs, params_of, recipe

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore")]

METADATA = {"model_name": "toy", "hook_name": "blocks.0.hook_resid_post"}


@pytest.fixture(scope="module")
def saelens():
    return peer("sae_lens")


def numpy(tensor):
    return tensor.detach().to_dense().numpy()


def randomise(module, seed=2):
    """Parameters of which no two are alike; thresholds positive, rows of a pursuit's dictionary unit."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
            if name == "threshold":
                parameter.abs_()
            if type(module).__name__.startswith("MatchingPursuit") and name == "W_dec":
                parameter.div_(parameter.norm(dim=-1, keepdim=True))
    return module


def report(record_property, ours, theirs):
    """The greatest difference, relative to the greatest number."""
    difference = np.abs(np.asarray(ours) - theirs).max() / max(1.0, np.abs(theirs).max())
    record_property("difference", float(difference))
    print(f"difference {difference:.1e}")


def agree(record_property, loaded, x, latents, y):
    ours = loaded.sae.reconstruct(loaded.params, jnp.asarray(x))
    report(record_property, ours[1], y)
    assert (latents != 0).any()
    close(ours[0], latents, 2e-6)
    close(ours[1], y, 2e-6)


# SAELens


def torch_of(x):
    import torch

    return torch.as_tensor(np.asarray(x))


@pytest.mark.parametrize(("name", "fields"), SAELENS)
def test_our_directory_in_saelens(saelens, record_property, tmp_path, name, fields):
    sae = recipe(name, **fields)
    path = formats.save(tmp_path / "sae", sae, params_of(sae), METADATA)
    if fields.get("d_out") and name in ("gated", "topk", "matching-pursuit"):
        with pytest.raises(KeyError, match="superposition_"):
            saelens.SAE.load_from_disk(path)
        return
    theirs = saelens.SAE.load_from_disk(path)
    x = inputs()
    agree(
        record_property, formats.load(path), x, numpy(theirs.encode(torch_of(x))), numpy(theirs(torch_of(x)))
    )
    assert theirs.cfg.metadata.hook_name == METADATA["hook_name"]
    # What SAELens writes of it is still ours, recipe and all.
    theirs.save_model(tmp_path / "back")
    back, ours = formats.load(tmp_path / "back"), formats.load(path)
    assert back.sae == ours.sae
    assert back.metadata == ours.metadata
    assert all(np.array_equal(back.params[key], ours.params[key]) for key in ours.params)


SIZES = {"d_in": D_IN, "d_sae": D_SAE}
PURSUIT = {"max_iterations": 4, "residual_threshold": 0.3}
THEIRS = [
    *((name, norm) for name in ("Standard", "Gated", "JumpReLU") for norm in ("none", "layer_norm")),
    ("Standard", "constant_norm_rescale"),
    ("Standard", {"apply_b_dec_to_input": False}),
    ("TopK", {"k": 3}),
    ("TopK", {"k": 3, "rescale_acts_by_decoder_norm": True}),
    ("AbsTopK", {"k": 4, "d_sae": 4}),
    ("MatchingPursuit", PURSUIT),
    ("MatchingPursuit", {**PURSUIT, "apply_b_dec_to_input": False, "stop_on_duplicate_support": False}),
    *((name, {"d_out": D_OUT, "apply_b_dec_to_input": False})
      for name in ("Transcoder", "SkipTranscoder", "JumpReLUTranscoder", "JumpReLUSkipTranscoder")),
]  # fmt: skip


def build(saelens, name, fields):
    from sae_lens.saes import abstopk_sae, transcoder

    fields = SIZES | ({"normalize_activations": fields} if isinstance(fields, str) else fields)
    home = transcoder if "coder" in name else abstopk_sae if name == "AbsTopK" else saelens
    full = name if "coder" in name else f"{name}SAE"
    return randomise(getattr(home, full)(getattr(home, f"{full}Config")(**fields)))


@pytest.mark.parametrize(("name", "fields"), THEIRS)
def test_a_directory_of_saelens(saelens, record_property, tmp_path, name, fields):
    theirs = build(saelens, name, fields)
    theirs.save_model(tmp_path)
    x = inputs()
    loaded = formats.load(tmp_path)
    agree(record_property, loaded, x, numpy(theirs.encode(torch_of(x))), numpy(theirs(torch_of(x))))


@pytest.mark.parametrize("rescale", [False, True])
@pytest.mark.parametrize(
    "name", ["BatchTopK", "MatryoshkaBatchTopK", "Standard", "Gated", "TopK", "JumpReLU"]
)
def test_what_saelens_trained(saelens, record_property, tmp_path, name, rescale):
    from sae_lens.saes import matryoshka_batchtopk_sae as matryoshka

    home = matryoshka if name.startswith("Matryoshka") else saelens
    extra = {"matryoshka_widths": [4, D_SAE]} if name.startswith("Matryoshka") else {}
    extra |= {"k": 3, "rescale_acts_by_decoder_norm": rescale} if "TopK" in name else {}
    trained = getattr(home, f"{name}TrainingSAE")(getattr(home, f"{name}TrainingSAEConfig")(**SIZES, **extra))
    randomise(trained)
    if "BatchTopK" in name:
        trained.topk_threshold.fill_(0.7)
    trained.save_inference_model(tmp_path)
    theirs = saelens.SAE.load_from_disk(tmp_path)
    x = inputs()
    loaded = formats.load(tmp_path)
    agree(record_property, loaded, x, numpy(theirs.encode(torch_of(x))), numpy(theirs(torch_of(x))))


def test_temporal_is_refused_by_name(saelens, tmp_path):
    cfg = {"architecture": "temporal", **SIZES, "metadata": {"sae_lens_version": "6.54.12"}}
    (tmp_path / "cfg.json").write_text(json.dumps(cfg))
    (tmp_path / "sae_weights.safetensors").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"architecture must be one of .*; got 'temporal'"):
        formats.load(tmp_path)


@pytest.mark.parametrize(("name", "fields"), [case for case in THEIRS if not isinstance(case[1], str)])
def test_folding_is_saelens_folding(saelens, tmp_path, name, fields):
    theirs = build(saelens, name, fields)
    theirs.save_model(tmp_path)
    loaded = formats.load(tmp_path)
    if name not in ("MatchingPursuit", "TopK", "AbsTopK") or fields.get("rescale_acts_by_decoder_norm"):
        theirs.fold_W_dec_norm()
        folded = fold_decoder_norm(loaded.sae, loaded.params)[1]
        for key, tensor in theirs.state_dict().items():
            close(folded[key], tensor.numpy())
    theirs = build(saelens, name, fields)
    if "coder" not in name:
        theirs.fold_activation_norm_scaling_factor(0.3)
        sae, folded = fold_scale(loaded.sae, loaded.params, 0.3)
        for key, tensor in theirs.state_dict().items():
            close(folded[key], tensor.numpy())
        if name == "MatchingPursuit":
            assert sae.residual_threshold == theirs.cfg.residual_threshold


@pytest.mark.parametrize("fields", [{}, {"d_out": D_OUT, "skip": True}, {"d_out": D_OUT}])
def test_gemma_scope_in_saelens(saelens, record_property, tmp_path, monkeypatch, fields):
    from sae_lens.loading import pretrained_sae_loaders as loaders
    from sae_lens.registry import get_sae_class

    sae = recipe("jumprelu", **{"apply_b_dec_to_input": False, **fields})
    metadata = {"model_name": "gemma-v3-270m-pt", "hf_hook_point_in": "model.layers.3.output"}
    metadata |= {"hf_hook_point_out": "model.layers.3.mlp.output"} if fields else {}
    folder = "transcoder/layer_3_width_16k_l0_small" if fields else "resid_post/layer_3_width_16k_l0_small"
    formats.save(tmp_path / folder, sae, params_of(sae), metadata, "gemma-scope-2")
    cases = [(loaders.gemma_3_sae_huggingface_loader, "google/gemma-scope-2-270m-pt", folder)]
    if not fields:
        first = "layer_3/width_16k/average_l0_5"
        formats.save(tmp_path / first, sae, params_of(sae), {}, "gemma-scope")
        cases.append((loaders.gemma_2_sae_huggingface_loader, "google/gemma-scope-2b-pt-res", first))

    def local(repo_id=None, filename=None, subfolder="", **_):
        return str(tmp_path / subfolder / filename)

    monkeypatch.setattr(loaders, "hf_hub_download", local)
    shapes = {"w_enc": [D_IN, D_SAE], "w_dec": [D_SAE, sae.target_width]}
    monkeypatch.setattr(loaders, "get_safetensors_tensor_shapes", lambda *_: shapes)
    for loader, repo, place in cases:
        overrides = SIZES if "2b" in repo else None
        cfg, state, _ = loader(repo, place, "cpu", False, overrides)
        cfg = loaders.handle_config_defaulting(cfg)
        kind, config = get_sae_class(cfg["architecture"])
        theirs = kind(config.from_dict(cfg))
        theirs.load_state_dict(state)
        x = inputs()
        got = formats.load(tmp_path / place)
        agree(record_property, got, x, numpy(theirs.encode(torch_of(x))), numpy(theirs(torch_of(x))))


# dictionary_learning

DICTIONARIES = [(name, fields) for format, name, fields in OTHERS if format == "dictionary-learning"]


@pytest.fixture(scope="module")
def dictionaries():
    return peer("dictionary_learning.utils")


@pytest.mark.parametrize(("name", "fields"), DICTIONARIES)
def test_our_files_in_dictionary_learning(dictionaries, record_property, tmp_path, name, fields):
    sae = recipe(name, **fields)
    path = formats.save(tmp_path / "sae", sae, params_of(sae), METADATA, "dictionary-learning")
    if name in ("relu", "bricken", "random") and not fields:  # their loader would make decoder rows unit
        theirs = dictionaries.AutoEncoder.from_pretrained(path / "ae.pt", normalize_decoder=False)
    else:
        theirs, config = dictionaries.load_dictionary(str(path), "cpu")
        assert config["trainer"]["dict_class"] == type(theirs).__name__
    x = inputs()
    loaded = formats.load(path, allow_pt=True)
    agree(record_property, loaded, x, numpy(theirs.encode(torch_of(x))), numpy(theirs(torch_of(x))))


def test_the_decoder_dictionary_learning_normalises(dictionaries, tmp_path):
    sae = recipe("relu")
    path = formats.save(tmp_path / "sae", sae, params_of(sae), METADATA, "dictionary-learning")
    theirs, _ = dictionaries.load_dictionary(str(path), "cpu")
    folded, params = fold_decoder_norm(sae, params_of(sae))
    close(folded.encode(params, inputs()), numpy(theirs.encode(torch_of(inputs()))), 2e-6)


@pytest.mark.parametrize("threshold", [-1.0, 0.4])
@pytest.mark.parametrize(
    "name",
    ["AutoEncoder", "AutoEncoderNew", "GatedAutoEncoder", "AutoEncoderTopK", "BatchTopKSAE",
     "MatryoshkaBatchTopKSAE", "JumpReluAutoEncoder"],
)  # fmt: skip
def test_files_of_dictionary_learning(dictionaries, record_property, tmp_path, name, threshold):
    import torch

    extra = {"k": 3} if "TopK" in name else {}
    extra |= {"group_sizes": [2, 4, 6]} if name.startswith("Matryoshka") else {}
    theirs = randomise(getattr(dictionaries, name)(D_IN, D_SAE, **extra))
    if "TopK" in name:
        theirs.threshold.fill_(threshold)
    torch.save(theirs.state_dict(), tmp_path / "ae.pt")
    trainer = {"dict_class": name, "activation_dim": D_IN, "dict_size": D_SAE, "lr": 1e-3, **extra}
    (tmp_path / "config.json").write_text(json.dumps({"trainer": trainer, "buffer": {"d_submodule": D_IN}}))
    x = inputs()
    loaded = formats.load(tmp_path, allow_pt=True)
    agree(record_property, loaded, x, numpy(theirs.encode(torch_of(x))), numpy(theirs(torch_of(x))))


# sparsify

SPARSIFY = [fields for format, _, fields in OTHERS if format == "sparsify"]


@pytest.fixture(scope="module")
def sparsify():
    os.environ["SPARSIFY_DISABLE_TRITON"] = "1"  # read when it is imported; its kernels want a GPU
    return peer("sparsify")


def run(theirs, x):
    """Dense latents and output of a SparseCoder."""
    out = theirs(torch_of(x))
    latents = np.zeros((len(x), theirs.num_latents), np.float32)
    np.put_along_axis(latents, out.latent_indices.numpy(), numpy(out.latent_acts), -1)
    return latents, numpy(out.sae_out)


@pytest.mark.parametrize("fields", SPARSIFY)
def test_our_files_in_sparsify(sparsify, record_property, tmp_path, fields):
    sae = recipe("topk", **fields)
    path = formats.save(tmp_path / "sae", sae, params_of(sae), METADATA, "sparsify")
    theirs = sparsify.SparseCoder.load_from_disk(path)
    agree(record_property, formats.load(path), inputs(), *run(theirs, inputs()))


@pytest.mark.parametrize("latents", [0, D_SAE])
@pytest.mark.parametrize("transcode", [False, True])
@pytest.mark.parametrize("skip", [False, True])
def test_files_of_sparsify(sparsify, record_property, tmp_path, latents, transcode, skip):
    cfg = sparsify.SparseCoderConfig(
        expansion_factor=2, num_latents=latents, k=3, skip_connection=skip, transcode=transcode
    )
    theirs = randomise(sparsify.SparseCoder(D_IN, cfg))
    theirs.save_to_disk(tmp_path)
    agree(record_property, formats.load(tmp_path), inputs(), *run(theirs, inputs()))
